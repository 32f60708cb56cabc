// Sessions that are told how hot the machine is, and models that find the number of their instances.

import { afterEach, expect, jest, test } from "bun:test";
import { join } from "node:path";
import type { ThermalState } from "../../../src/core/thermal.ts";
import { f32, type FeatureValue } from "../../../src/core/tensor.ts";
import { describeHost } from "../../../src/engines/device.ts";
import { rangeFor } from "../../../src/runtime/pool/instance-range.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { writeSumModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

afterEach(() => {
  jest.useRealTimers();
});

const left = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const pair = new Map<string, FeatureValue>([
  ["left", left],
  ["right", left],
]);

test("heat lowers how many predictions of each model run at once, cold raises it again", async () => {
  using folder = tempFolder();
  const path = writeSumModel(join(folder.path, "sum.mlpackage"));
  let state: ThermalState = "nominal";
  jest.useFakeTimers();
  await using session = await openSession({ thermal: { read: () => state } });
  await session.load(path, { instances: 4 });
  const allowed = () => session.stats.models.map(({ instances }) => instances.allowed);
  expect(allowed()).toEqual([4]);
  state = "serious";
  jest.advanceTimersByTime(5_000);
  expect(allowed()).toEqual([3]);
  jest.advanceTimersByTime(60_000);
  const late = await session.load(path, { instances: 2 });
  expect(allowed()).toEqual([2, 1]);
  expect(session.stats).toMatchObject({
    thermal: { state: "serious", share: 0.5, lowered: 2, raised: 0 },
    process: { thermalState: "serious" },
  });
  state = "nominal";
  jest.advanceTimersByTime(35_000);
  expect(allowed()).toEqual([3, 2]);
  jest.useRealTimers();
  expect((await late.predict(pair)).get("sum")).toEqual(f32([2, 4, 6, 8, 10, 12], [2, 3]));
});

test("instances are by the machine where nobody says, and a number that cannot be is refused", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const path = writeSumModel(join(folder.path, "sum.mlpackage"));
  const { usual, most } = rangeFor(describeHost());
  expect((await session.load(path)).stats.instances).toMatchObject({ limit: usual, allowed: usual });
  const auto = await session.load(path, { instances: "auto" });
  expect(auto.stats.instances).toMatchObject({
    limit: most,
    search: { state: "searching", size: most, settled: 0, throughput: [] },
  });
  expect((await auto.predict(pair)).get("sum")).toEqual(f32([2, 4, 6, 8, 10, 12], [2, 3]));
  for (const instances of [0, -1, 1.5, Number.NaN, 1e9]) {
    expect((await rejectionOf(session.load(path, { instances }))).code).toBe("USAGE");
  }
});
