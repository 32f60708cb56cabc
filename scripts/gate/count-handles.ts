// Handles of libcoremlx that are alive while models answer, and when everything is closed: evidence for `coremlx gate`. Run by
// gate-evidence.ts, on Linux where the Swift library runs over stand-ins. Arguments: the file to write.

import { basename, join } from "node:path";
import { f32 } from "../../src/core/tensor.ts";
import { CoremlLibrary } from "../../src/native/coreml.ts";
import { openSession } from "../../src/runtime/session.ts";
import type { HandlesRaw } from "../../src/suites/gate/sources/counts.ts";
import { port } from "../../tests/support/program-models.ts";
import { coremlPath } from "../../tests/support/standin.ts";
import { writeStandInPackage } from "../../tests/support/standin-package.ts";
import { tempFolder } from "../../tests/support/temp.ts";

const rounds = 5;
const predictionsPerRound = 200;
/** What the framework still holds of a call that was given up comes back by itself, or not at all. */
const patienceMs = 10_000;

using folder = tempFolder();
const shape = [1, 64];
const path = writeStandInPackage(join(folder.path, "Model.mlpackage"), {
  inputs: [port("x", "float32", shape)],
  outputs: [port("y", "float32", shape)],
});
const x = f32(
  Array.from({ length: 64 }, (_, i) => i),
  shape,
);
const inputs = new Map([["x", x]]);
const library = CoremlLibrary.open(coremlPath());
const before = library.liveHandles;
let most = 0;
let predictions = 0;
for (let round = 0; round < rounds; round++) {
  const cacheDir = join(folder.path, "cache");
  await using session = await openSession({ engine: "coreml", coremlPath: coremlPath(), cacheDir });
  await using model = await session.load(path, { device: "cpu", instances: 2 });
  for (let run = 0; run < predictionsPerRound; run += 2) {
    await Promise.all([model.predict(inputs), model.predict(inputs)]);
    predictions += 2;
    most = Math.max(most, library.liveHandles - before);
  }
}
const endMs = performance.now() + patienceMs;
while (library.liveHandles !== before && performance.now() < endMs) await Bun.sleep(10);
const raw: HandlesRaw = {
  schemaVersion: 1,
  kind: "handles",
  library: basename(coremlPath()),
  isStandIn: process.platform === "linux",
  predictions,
  most,
  live: library.liveHandles - before,
};
await Bun.write(process.argv[2] ?? "handles.json", `${JSON.stringify(raw)}\n`);
console.log(`${raw.live} of up to ${most} handles alive after ${predictions} predictions`);
