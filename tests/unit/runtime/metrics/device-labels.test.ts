import { expect, test } from "bun:test";
import { describeHost } from "../../../../src/engines/device.ts";
import { deviceLabels } from "../../../../src/runtime/metrics/device-labels.ts";

const host = { ...describeHost(), arch: "arm64", platform: "darwin", kernel: "25.5.0" };

test("a machine is labelled by its chip and system", () => {
  const mac = { ...host, cpu: "Apple M4 Max", chip: "M4 Max", system: "macOS 26.5 (25F71)" };
  expect(deviceLabels(mac, { engine: "portable", version: "0.1.0" })).toEqual({
    chip: "M4 Max",
    os: "macOS 26.5 (25F71)",
    arch: "arm64",
    engine: "portable",
    version: "0.1.0",
  });
});

test("by its processor and kernel where these have no name, and what is not said stays out", () => {
  const bare = { ...host, cpu: "Example CPU", chip: undefined, system: undefined };
  expect(deviceLabels(bare)).toEqual({ chip: "Example CPU", os: "darwin 25.5.0", arch: "arm64" });
});
