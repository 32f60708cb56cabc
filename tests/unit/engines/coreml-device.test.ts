// The choice of devices for Core ML: by measurement, once, whatever becomes of the candidates.

import { describe, expect, test } from "bun:test";
import { chooseUnits } from "../../../src/engines/coreml-device.ts";
import type { CoremlUnits } from "../../../src/native/coreml-model.ts";
import { tempFolder } from "../../support/temp.ts";

const candidates: readonly CoremlUnits[] = ["all", "cpuAndAne", "cpu"];
const key = ["Apple M4", "24F74", "digest"];

/** Measures what the table says; an error is thrown. Notes who was asked. */
function measures(table: Partial<Record<CoremlUnits, number | Error>>) {
  const asked: CoremlUnits[] = [];
  const measure = async (units: CoremlUnits) => {
    asked.push(units);
    const entry = table[units] ?? new Error("not in the table");
    if (entry instanceof Error) throw entry;
    return { medianMs: entry };
  };
  return { asked, measure };
}

test("the fastest is chosen, and the reason names them all in order", async () => {
  const { measure } = measures({ all: 5, cpuAndAne: 0.5, cpu: 12 });
  expect(await chooseUnits({ candidates, measure, folder: undefined, key })).toEqual({
    choice: "cpuAndAne",
    reason: "cpuAndAne 0.50 ms, all 5.0 ms, cpu 12 ms",
    isRemembered: false,
  });
});

test("among equals the first is chosen", async () => {
  const { measure } = measures({ all: 1, cpuAndAne: 1, cpu: 1 });
  expect((await chooseUnits({ candidates, measure, folder: undefined, key })).choice).toBe("all");
});

test("a candidate that fails is left out, and says why", async () => {
  const { measure } = measures({ all: new Error("no surface"), cpuAndAne: 2, cpu: 3 });
  expect(await chooseUnits({ candidates, measure, folder: undefined, key })).toMatchObject({
    choice: "cpuAndAne",
    reason: "cpuAndAne 2.0 ms, cpu 3.0 ms, all failed (no surface)",
  });
});

describe("with a folder", () => {
  test("nothing is measured twice for the same chip, system and model", async () => {
    using folder = tempFolder();
    const first = measures({ all: 5, cpuAndAne: 1, cpu: 9 });
    await chooseUnits({ candidates, measure: first.measure, folder: folder.path, key });
    const second = measures({});
    expect(
      await chooseUnits({ candidates, measure: second.measure, folder: folder.path, key }),
    ).toMatchObject({
      choice: "cpuAndAne",
      isRemembered: true,
    });
    expect([first.asked, second.asked]).toEqual([["all", "cpuAndAne", "cpu"], []]);
    const another = measures({ all: 1, cpuAndAne: 2, cpu: 3 });
    const update = ["Apple M4", "25A1", "digest"];
    await chooseUnits({ candidates, measure: another.measure, folder: folder.path, key: update });
    expect(another.asked).toEqual(["all", "cpuAndAne", "cpu"]);
  });

  test("a candidate that ended the process is not tried again", async () => {
    using folder = tempFolder();
    const measure = (units: CoremlUnits) =>
      units === "all" ? new Promise<never>(() => {}) : Promise.resolve({ medianMs: 1 });
    void chooseUnits({ candidates, measure, folder: folder.path, key }); // the process ends here
    await Promise.resolve();
    const after = measures({ cpuAndAne: 4, cpu: 2 });
    const isAlive = () => false;
    expect(
      await chooseUnits({ candidates, measure: after.measure, folder: folder.path, key, isAlive }),
    ).toEqual({
      choice: "cpu",
      reason: "cpu 2.0 ms, cpuAndAne 4.0 ms, all failed (the process ended)",
      isRemembered: false,
    });
    expect(after.asked).toEqual(["cpuAndAne", "cpu"]);
  });

  test("a candidate that another process is measuring is measured here too", async () => {
    using folder = tempFolder();
    void chooseUnits({ candidates, measure: () => new Promise<never>(() => {}), folder: folder.path, key });
    const { measure } = measures({ all: 1, cpuAndAne: 2, cpu: 3 });
    expect((await chooseUnits({ candidates, measure, folder: folder.path, key })).choice).toBe("all");
  });

  test("where all fail, the model is to blame, and it is tried again the next time", async () => {
    using folder = tempFolder();
    const failing = measures({});
    expect(
      await chooseUnits({ candidates, measure: failing.measure, folder: folder.path, key }),
    ).toMatchObject({
      choice: "all",
    });
    const well = measures({ all: 3, cpuAndAne: 2, cpu: 1 });
    expect((await chooseUnits({ candidates, measure: well.measure, folder: folder.path, key })).choice).toBe(
      "cpu",
    );
  });
});
