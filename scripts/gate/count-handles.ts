// Handles of libcoremlx that are alive while models answer, and when everything is closed: evidence for `coremlx gate`. Run by
// gate-evidence.ts, on Linux where the Swift library runs over stand-ins. Arguments: the file to write.

import { resolve } from "node:path";
import { CoremlLibrary } from "../../src/native/coreml.ts";
import { openSession } from "../../src/runtime/session.ts";
import { generate } from "../../src/codecs/generate.ts";
import type { HandlesRaw } from "../../src/suites/gate/sources/counts.ts";
import { coremlPath } from "../../tests/support/standin.ts";

const rounds = 5;
const predictionsPerRound = 200;
const model = resolve(import.meta.dir, "../../examples/digits/Digits.mlpackage");

const library = CoremlLibrary.open(coremlPath());
const before = library.liveHandles;
let most = 0;
let predictions = 0;
for (let round = 0; round < rounds; round++) {
  await using session = await openSession({ engine: "coreml", coremlPath: coremlPath(), cache: false });
  await using loaded = await session.load(model, { instances: 2 });
  const inputs = new Map(loaded.inputs.map((input) => [input.name, generate(input, "random")]));
  for (let run = 0; run < predictionsPerRound; run += 2) {
    await Promise.all([loaded.predict(inputs), loaded.predict(inputs)]);
    predictions += 2;
    most = Math.max(most, library.liveHandles - before);
  }
}
const raw: HandlesRaw = {
  schemaVersion: 1,
  kind: "handles",
  library: coremlPath().split("/").at(-1) ?? "",
  isStandIn: process.platform === "linux",
  predictions,
  most,
  live: library.liveHandles - before,
};
await Bun.write(process.argv[2] ?? "handles.json", `${JSON.stringify(raw)}\n`);
console.log(`${raw.live} of up to ${most} handles alive after ${predictions} predictions`);
