// Packages whose inputs take several shapes: what each allowed shape gives, and how the others are refused. Made, with numpy's
// answers, by scripts/fixtures/flexible.py.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { describeType } from "../../src/codecs/convert.ts";
import { decodeNpz, encodeNpy } from "../../src/codecs/npy.ts";
import type { DType } from "../../src/core/dtype.ts";
import { type FeatureValues, isTensor, type Tensor, zeros } from "../../src/core/tensor.ts";
import { openSession } from "../../src/runtime/session.ts";
import { expectAllClose, type Tolerance, tolerances } from "../support/close.ts";
import { expectFailure } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

const folder = join(import.meta.dir, "../fixtures/models");

interface FlexiblePackage {
  readonly declares: string;
  readonly inputs: Readonly<Record<string, string>>;
  /** What the archive holds. */
  readonly cases: readonly string[];
  /** Given instead of the first case's value: the input, the shape, and what is said. */
  readonly refused: readonly (readonly [name: string, shape: readonly number[], reason: string])[];
  readonly tolerance?: Tolerance;
}

const packages: Readonly<Record<string, FlexiblePackage>> = {
  flexible_batch: {
    declares: "a range of batch sizes",
    inputs: { x: "a float32 array [1..8, 3, 12, 12]" },
    cases: ["batch1", "batch3", "batch8"],
    refused: [
      ["x", [9, 3, 12, 12], "shape must be [1..8, 3, 12, 12], got [9, 3, 12, 12]: axis 0 must be 1..8"],
      ["x", [0, 3, 12, 12], "shape must be [1..8, 3, 12, 12], got [0, 3, 12, 12]: axis 0 must be 1..8"],
      ["x", [2, 3, 12, 13], "shape must be [1..8, 3, 12, 12], got [2, 3, 12, 13]: axis 3 must be 12"],
    ],
    // Computed in float32; its inputs and outputs are float16 on the way.
    tolerance: tolerances.float16,
  },
  flexible_enumerated: {
    declares: "one of several shapes",
    inputs: { x: "a float32 array one of [1, 2, 4, 4], [1, 2, 6, 4], [1, 2, 4, 8]" },
    cases: ["size4x4", "size6x4", "size4x8"],
    refused: [
      ["x", [1, 2, 6, 8], "shape must be one of [1, 2, 4, 4], [1, 2, 6, 4], [1, 2, 4, 8], got [1, 2, 6, 8]"],
    ],
  },
  flexible_unbounded: {
    declares: "a length without an upper bound",
    inputs: { x: "a float32 array [2.., 3]" },
    cases: ["length2", "length9", "length300"],
    refused: [["x", [1, 3], "shape must be [2.., 3], got [1, 3]: axis 0 must be 2.."]],
  },
  flexible_two_inputs: {
    declares: "two inputs, each in one of several shapes",
    inputs: {
      tokens: "a float32 array one of [1, 2, 4], [1, 5, 4], [1, 8, 4]",
      mask: "a float32 array one of [1, 2], [1, 5], [1, 8]",
    },
    cases: ["length2", "length5", "length8"],
    refused: [
      ["tokens", [1, 3, 4], "shape must be one of [1, 2, 4], [1, 5, 4], [1, 8, 4], got [1, 3, 4]"],
      ["mask", [1, 6], "shape must be one of [1, 2], [1, 5], [1, 8], got [1, 6]"],
    ],
  },
  flexible_image_range: {
    declares: "a picture in a range of sizes",
    inputs: { image: "a picture [4..16, 6..12] in RGB" },
    cases: ["size8x8", "size4x12", "size15x7"],
    refused: [
      ["image", [4, 13, 3], "size [height, width] must be [4..16, 6..12], got [4, 13]: axis 1 must be 6..12"],
    ],
  },
  flexible_image_enumerated: {
    declares: "a picture in one of several sizes",
    inputs: { image: "a picture one of [8, 8], [4, 6], [12, 8] in RGB" },
    cases: ["size8x8", "size4x6", "size12x8"],
    refused: [
      ["image", [8, 12, 3], "size [height, width] must be one of [8, 8], [4, 6], [12, 8], got [8, 12]"],
    ],
  },
};

describe("flexible inputs", () => {
  for (const [name, { declares, inputs, cases, refused, tolerance }] of Object.entries(packages)) {
    test(`${name}: ${declares}, in any order on one session`, async () => {
      await using session = await openSession({ engine: "portable" });
      const model = await session.load(packagePath(name), { threads: 1 });
      const names = model.inputs.map((input) => input.name);
      expect(Object.fromEntries(model.inputs.map((input) => [input.name, describeType(input.type)]))).toEqual(
        inputs,
      );

      const archive = await readCases(name, names);
      expect([...archive.keys()]).toEqual([...cases]);
      for (const { given, wanted } of [...archive.values(), ...[...archive.values()].toReversed()])
        expectAllClose(arrays(await model.predict(given)), wanted, tolerance);

      const [usual] = archive.values();
      for (const [input, shape, reason] of refused) {
        const dtype: DType = model.inputs.some((own) => own.type.kind === "image") ? "uint8" : "float32";
        const given = new Map(usual?.given).set(input, zeros(dtype, shape));
        const refusal = { code: "BAD_INPUT", message: `Cannot use input "${input}": ${reason}` };
        expect(await model.predict(given).catch((error: unknown) => error)).toMatchObject(refusal);
      }
    });
  }

  test("a batch larger than allowed ends the command line with exit code 4", async () => {
    using temp = tempFolder();
    const file = join(temp.path, "nine.npy");
    await Bun.write(file, encodeNpy(zeros("float32", [9, 3, 12, 12])));
    await expectFailure(["infer", packagePath("flexible_batch"), "-i", `x=${file}`], {
      exit: 4,
      code: "BAD_INPUT",
      message:
        'Cannot use input "x": shape must be [1..8, 3, 12, 12], got [9, 3, 12, 12]: axis 0 must be 1..8',
      hint: undefined,
    });
  });
});

function packagePath(name: string): string {
  return join(folder, `${name}.mlpackage`);
}

interface Prediction {
  readonly given: FeatureValues;
  readonly wanted: Readonly<Record<string, Tensor>>;
}

/** The archive beside a package, case by case, its features split by the names of the inputs. */
async function readCases(name: string, inputs: readonly string[]): Promise<ReadonlyMap<string, Prediction>> {
  const path = join(folder, `${name}.npz`);
  const entries = [...decodeNpz(await Bun.file(path).bytes(), path)].map(([key, tensor]) => {
    const dot = key.indexOf(".");
    return { id: key.slice(0, dot), feature: key.slice(dot + 1), tensor };
  });
  const predictions = [...Map.groupBy(entries, ({ id }) => id)].map(([id, own]): [string, Prediction] => {
    const isInput = ({ feature }: { feature: string }) => inputs.includes(feature);
    const given = own.filter(isInput).map(({ feature, tensor }) => [feature, tensor] as const);
    const wanted = own
      .filter((entry) => !isInput(entry))
      .map(({ feature, tensor }) => [feature, tensor] as const);
    return [id, { given: new Map(given), wanted: Object.fromEntries(wanted) }];
  });
  return new Map(predictions);
}

function arrays(values: FeatureValues): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(
    [...values].flatMap(([key, value]) => (isTensor(value) ? [[key, value] as const] : [])),
  );
}
