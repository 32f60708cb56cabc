// Whole networks against torch: packages that coremltools converted, and what torch computes in float32 from the weights in
// them.

import { describe, expect, test } from "bun:test";
import { decodeNpz } from "../../src/codecs/npy.ts";
import type { FeatureDescription, ModelDescription } from "../../src/core/model.ts";
import {
  type FeatureValue,
  type FeatureValues,
  isTensor,
  numbersOf,
  type Tensor,
} from "../../src/core/tensor.ts";
import { loadBody } from "../../src/engines/portable.ts";
import type { MilFunction, MilNamedType } from "../../src/formats/mil.ts";
import type { Model, ModelBody } from "../../src/formats/model.ts";
import { openModel } from "../../src/formats/open.ts";
import { portableRuntime } from "../support/portable.ts";
import { sharedPath } from "../support/shared.ts";

/** Largest difference allowed, as a share of the range of the expected values. */
const allowedShare = 1e-4;

const networks = [
  { name: "fastvit_t8_fp16", output: "classLabel_probs" },
  { name: "mobilenet_v2_fp16", output: "logits" },
  { name: "mobilenet_v2_int8", output: "logits" },
  { name: "mobilenet_v2_pal6", output: "logits" },
  { name: "resnet50_fp16", output: "logits" },
  { name: "vit_tiny_fp16", output: "logits" },
];

describe("reference networks", () => {
  for (const { name, output } of networks) {
    test(`${name} answers as torch does, and gives the answer in its declared type`, async () => {
      const folder = sharedPath(`models/reference/${name}`);
      using model = await openModel(`${folder}/model.mlpackage`);
      await using declared = await load(model.body, model.description);
      // Rounding the scores to float16 alone may cost more than what is allowed: judge them before it.
      const wide = withWideOutputs(model);
      await using loaded = await load(wide.body, wide.description);
      const inputs = await readArchive(`${folder}/inputs.npz`);
      const cases = [...inputs.keys()].map((key) => key.slice(0, key.indexOf(".")));
      const keys = cases.map((id) => `${id}.${output}`);
      const expected = await readArchive(`${folder}/expected_pkgweights.npz`, keys);
      const verdicts = [];
      for (const id of cases) {
        const results = await loaded.predict(featuresOf(inputs, id));
        const wanted = numbersOf(expected.get(`${id}.${output}`) ?? missing(output));
        const value = results.get(output) ?? missing(output);
        const rounded = (await declared.predict(featuresOf(inputs, id))).get(output) ?? missing(output);
        verdicts.push({
          id,
          ...compare(scores(value), wanted),
          label: labelOf(model, results, wanted),
          isOnlyRounded: isRounding(rounded, value),
        });
      }
      const good = {
        count: 1000,
        isWithinTolerance: true,
        sameTopFive: true,
        label: true,
        isOnlyRounded: true,
      };
      expect(verdicts).toEqual(cases.map((id) => ({ id, ...good })));
    }, 60_000);
  }
});

async function load(body: ModelBody, { functions, kind }: ModelDescription) {
  const [description] = functions;
  if (description === undefined) throw new Error("the model has no function");
  const runtime = await portableRuntime();
  return loadBody(body, description, kind, { runtime, precision: undefined, threads: 2 });
}

/** The same model with float16 outputs declared as float32. */
function withWideOutputs(model: Model): Pick<Model, "body" | "description"> {
  if (model.body.kind !== "mlProgram") throw new Error("not an ML program");
  const functions = [...model.body.program.functions].map(([name, fn]): [string, MilFunction] => {
    const results = new Set(fn.block.outputs);
    const operations = fn.block.operations.map((op) => ({
      ...op,
      outputs: op.outputs.map((output): MilNamedType => {
        if (!results.has(output.name) || output.type.kind !== "tensor" || output.type.dtype !== "float16")
          return output;
        return { ...output, type: { ...output.type, dtype: "float32" } };
      }),
    }));
    return [name, { ...fn, block: { ...fn.block, operations } }];
  });
  const descriptions = model.description.functions.map((description) => ({
    ...description,
    outputs: description.outputs.map((output): FeatureDescription => {
      if (output.type.kind !== "multiArray" || output.type.dtype !== "float16") return output;
      return { ...output, type: { ...output.type, dtype: "float32" } };
    }),
  }));
  return {
    body: { kind: "mlProgram", program: { ...model.body.program, functions: new Map(functions) } },
    description: { ...model.description, functions: descriptions },
  };
}

/** Whether a result is another one in a narrower type, or the same. */
function isRounding(rounded: FeatureValue, value: FeatureValue): boolean {
  const narrow = scores(rounded);
  const isHalf = isTensor(rounded) && rounded.dtype === "float16";
  return scores(value).every((number, index) => narrow[index] === (isHalf ? Math.f16round(number) : number));
}

async function readArchive(path: string, keys?: readonly string[]): Promise<ReadonlyMap<string, Tensor>> {
  return decodeNpz(await Bun.file(path).bytes(), path, { keys });
}

function featuresOf(inputs: ReadonlyMap<string, Tensor>, id: string): FeatureValues {
  return new Map(
    [...inputs].flatMap(([key, tensor]): [string, Tensor][] =>
      key.startsWith(`${id}.`) ? [[key.slice(id.length + 1), tensor]] : [],
    ),
  );
}

/** A vector of scores, or a classifier's dictionary in the order of its labels. */
function scores(value: FeatureValue): readonly number[] {
  if (typeof value !== "object" || Array.isArray(value)) throw new Error("the output is not a vector");
  if (value instanceof Map) return [...value.values()].map(Number);
  if (isTensor(value)) return [...numbersOf(value)];
  throw new Error("the output is not a vector");
}

function compare(actual: readonly number[], wanted: Float64Array) {
  const range = Math.max(...wanted) - Math.min(...wanted);
  const largest = Math.max(...actual.map((value, index) => Math.abs(value - (wanted[index] ?? Number.NaN))));
  const share = largest / range;
  return {
    count: actual.length,
    // A number where it is too much, so that the failure shows it.
    isWithinTolerance: share <= allowedShare ? true : share,
    sameTopFive: Bun.deepEquals(topFive(actual), topFive([...wanted])),
  };
}

function topFive(values: readonly number[]): readonly number[] {
  return values
    .map((value, index) => ({ value, index }))
    .toSorted((a, b) => b.value - a.value)
    .slice(0, 5)
    .map(({ index }) => index);
}

/** Whether a classifier names the best class; true where there is nothing to name. */
function labelOf(model: Model, results: FeatureValues, wanted: Float64Array): boolean {
  const [description] = model.description.functions;
  const predicted = description?.predictedFeatureName;
  const labels = model.description.classLabels;
  if (!predicted || labels === undefined) return true;
  return results.get(predicted) === labels[topFive([...wanted])[0] ?? -1];
}

function missing(name: string): never {
  throw new Error(`no "${name}"`);
}
