// Damage of every kind to real models: whatever comes, the reader ends quickly and with an error of ours.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError } from "../../../src/core/errors.ts";
import { openModel } from "../../../src/formats/open.ts";
import { countOps, summarizeWeights } from "../../../src/formats/summary.ts";
import { readBytes, writeFiles } from "../../support/model-files.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

const fixtures = resolve(import.meta.dir, "../../fixtures/formats");
const maxMs = 2000;

const models: readonly (readonly [name: string, path: string, folder?: string])[] = [
  [
    "a program with control flow",
    join(fixtures, "control_flow.mlpackage/Data/com.apple.CoreML/model.mlmodel"),
    join(fixtures, "control_flow.mlpackage/Data/com.apple.CoreML"),
  ],
  [
    "a program with states",
    join(fixtures, "stateful.mlpackage/Data/com.apple.CoreML/model.mlmodel"),
    join(fixtures, "stateful.mlpackage/Data/com.apple.CoreML"),
  ],
  ["an interface of every type", join(fixtures, "flexible.mlmodel")],
  ["a classifier", join(fixtures, "classifier_integers.mlmodel")],
  ["a dense network", sharedPath("models/onnxmltools-keras-dense/keras2coreml_Dense_ImageNet_small.mlmodel")],
  ["a pipeline", sharedPath("models/onnxmltools-onehot/onehot_simple.mlmodel")],
  [
    "a tree ensemble",
    sharedPath("models/improveai-xgb-2-numeric-items-no-context-binary-reward/model.mlmodel"),
  ],
];

/** One change to a file: its place as a fraction, so that the same seed suits every length. */
const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  kind: fc.constantFrom("set", "flip", "insert", "remove", "cut", "repeat"),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(0x00, 0x7f, 0x80, 0xff)),
  count: fc.integer({ min: 1, max: 40 }),
});
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function damage(original: Uint8Array, edits: readonly Edit[]): Uint8Array<ArrayBuffer> {
  let bytes = [...original];
  for (const { at, kind, byte, count } of edits) {
    const index = Math.floor(at * bytes.length);
    if (kind === "set") bytes[index] = byte;
    else if (kind === "flip") bytes[index] = (bytes[index] ?? 0) ^ (1 << (byte & 7));
    else if (kind === "insert") bytes.splice(index, 0, ...Array.from({ length: count }, () => byte));
    else if (kind === "remove") bytes.splice(index, count);
    else if (kind === "cut") bytes = bytes.slice(0, index);
    else bytes.splice(index, 0, ...bytes.slice(index, index + count));
  }
  return Uint8Array.from(bytes);
}

/** Reads and walks the whole model. Only a CoremlxError other than INTERNAL may come out, and soon. */
function survive(read: () => Parameters<typeof countOps>[0]): void {
  const started = performance.now();
  try {
    const model = read();
    countOps(model);
    summarizeWeights(model);
  } catch (error) {
    if (!(error instanceof CoremlxError) || error.code === "INTERNAL") throw error;
  }
  expect(performance.now() - started).toBeLessThan(maxMs);
}

describe("damaged bytes never do worse than a BAD_MODEL", () => {
  for (const [name, path, folder] of models) {
    test(name, () => {
      const original = new Uint8Array(readFileSync(path));
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
          survive(() => readBytes(damage(original, edits), folder === undefined ? {} : { folder }));
        }),
        { seed: 1, numRuns: 300 },
      );
    });
  }

  test("any bytes at all", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => survive(() => readBytes(bytes))),
      { seed: 2, numRuns: 1000 },
    );
  });
});

test("damaged files never do worse than a BAD_MODEL", async () => {
  const source = join(fixtures, "control_flow.mlpackage");
  const names = [
    "Manifest.json",
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
  ];
  const originals = names.map((name) => new Uint8Array(readFileSync(join(source, name))));
  using folder = tempFolder();
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.array(edit, { minLength: 1, maxLength: 4 }), async (which, edits) => {
      writeFiles(
        folder.path,
        Object.fromEntries(
          names.map((name, i) => [
            name,
            i === which ? damage(originals[i] ?? new Uint8Array(), edits) : originals[i],
          ]),
        ),
      );
      const started = performance.now();
      try {
        using _model = await openModel(folder.path);
      } catch (error) {
        if (!(error instanceof CoremlxError) || error.code !== "BAD_MODEL") throw error;
        expect(error.message).toStartWith("Cannot open ");
      }
      expect(performance.now() - started).toBeLessThan(maxMs);
    }),
    { seed: 3, numRuns: 300 },
  );
});
