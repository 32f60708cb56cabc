// Programs in the style of converters, against numpy: scripts/fixtures/held_out.py made them and computed the answers. Each
// runs as coremltools wrote it, and with its constants written where they are used, as other writers of the format do.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../src/core/dtype.ts";
import { type FeatureValue, isTensor, numbersOf, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import { PortableEngine } from "../../src/engines/portable.ts";
import type { MilBinding, MilBlock, MilProgram, MilValue } from "../../src/formats/mil.ts";
import type { Model, ModelBody } from "../../src/formats/model.ts";
import { openModel } from "../../src/formats/open.ts";
import { expectClose } from "../support/close.ts";
import { portableRuntime } from "../support/portable.ts";

interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
type Stored =
  | StoredTensor
  | { readonly label: string | number }
  | { readonly dictionary: readonly (readonly [string | number, number])[] };

interface Answers {
  /** Of the greatest magnitude in a result, plus one. */
  readonly tolerance: number;
  /** The cases follow one another on one state. */
  readonly isSequence: boolean;
  readonly cases: readonly {
    readonly function?: string;
    readonly inputs: Readonly<Record<string, StoredTensor>>;
    readonly outputs: Readonly<Record<string, Stored>>;
  }[];
}

const folder = join(import.meta.dir, "../fixtures/packages");

/** Package by package, what is special about it. */
const packages = {
  adapters: "two functions share their weights, a third of the answers comes from the default one",
  "bert-overflowing-mask": "an attention mask made of float32's least number, which no half can hold",
  "centre-heatmap": "peaks, top k over a map, and whole division of the positions",
  "classifier-numbers": "labels beyond 32 bits",
  "classifier-strings": "a picture is classified, labels with commas, none at all, and not in ASCII",
  "copied-sizes": "reshape copies sizes nobody knows",
  "dynamic-batch": "attention over any batch of any length",
  "gpt-four-bit-blocks":
    "a decoder with its cache in states, prompts of several lengths, 4-bit weights in blocks",
  "gray-half-picture": "pictures of halves go in and come out",
  "greedy-decoder": "a loop that feeds its results back, stops by itself, and keeps a list",
  "half-interface": "halves and whole numbers at the interface",
  "masks-and-infinities": "masks of truth values and of infinities",
  "named-like-ours": "features with the names of graph values, one that nothing reads",
  "optional-inputs": "inputs left out take their default",
  "padded-backbone": "zeros around convolutions and pools of signed values, every level given out",
  "pipeline-classifier": "a pipeline that ends in labels",
  "point-cloud": "neighbours gathered batch by batch",
  "quantised-activations": "values quantised and back within the program",
  "recurrent-zoo": "gru before and after reset, rnn, lstm with peepholes and a clipped cell, in halves",
  "regions-ios16-every-image": "every box is cut from every image",
  "scalars-and-metadata": "results of rank 0, one under two names, an input given back",
  "sparse-ios18-palette": "weights that are sparse and chosen from a table",
  "ssd-head": "results whose size depends on the values",
  "style-transfer-bgr": "a picture in, a picture out, blue first",
  "two-enumerated-inputs": "two inputs with sizes of their own to choose from",
  vocoder: "transposed convolutions by stride, pads, wanted size, groups and dilation",
} as const;

describe("held-out programs", () => {
  for (const [name, behaviour] of Object.entries(packages)) {
    test(`${name}: ${behaviour}`, () => check(name, (model) => model));
    test(`${name}, with constants in place`, () => check(name, withConstantsInPlace));
  }
});

async function check(name: string, change: (model: Model) => Model): Promise<void> {
  const text = readFileSync(join(folder, `${name}.json`), "utf8");
  const { tolerance, isSequence, cases } = JSON.parse(text) as Answers;
  using opened = await openModel(join(folder, `${name}.mlpackage`));
  const model = change(opened);
  const engine = new PortableEngine({ runtime: await portableRuntime() });
  for (const [functionName, own] of Map.groupBy(cases, (item) => item.function)) {
    await using loaded = await engine.load(model, { functionName, threads: 1 });
    using kept = isSequence ? loaded.newState() : undefined;
    for (const { inputs, outputs } of own) {
      const given = new Map(Object.entries(inputs).map(([key, value]) => [key, restore(value)]));
      const result = await loaded.predict(given, { state: kept });
      expect([...result.keys()].toSorted()).toEqual(Object.keys(outputs).toSorted());
      for (const [key, value] of Object.entries(outputs)) compare(result.get(key), value, tolerance);
    }
  }
}

function restore({ dtype, shape, data }: StoredTensor): Tensor {
  return tensorOf(dtype, data, shape);
}

function compare(actual: FeatureValue | undefined, expected: Stored, tolerance: number): void {
  if ("label" in expected) {
    expect(typeof actual === "bigint" ? Number(actual) : actual).toBe(expected.label);
  } else if ("dictionary" in expected) {
    const entries = actual instanceof Map ? [...actual] : [];
    expect(entries.map(([label]) => String(label))).toEqual(
      expected.dictionary.map(([label]) => String(label)),
    );
    const share = (numbers: readonly number[]) => tensorOf("float32", numbers);
    const wanted = share(expected.dictionary.map(([, number]) => number));
    expectClose(share(entries.map(([, number]) => number)), wanted, { absolute: tolerance, relative: 0 });
  } else {
    if (actual === undefined || !isTensor(actual)) throw new Error("The result is no tensor");
    const wanted = restore(expected);
    expectClose(actual, wanted, { absolute: boundOf(wanted, tolerance), relative: 0 });
  }
}

/** Whole numbers are exact, but for pictures: a value half-way between two may be rounded to either. */
function boundOf(tensor: Tensor, tolerance: number): number {
  if (!tensor.dtype.startsWith("float")) return tensor.dtype === "uint8" ? 1 : 0;
  const finite = numbersOf(tensor).filter((number) => Number.isFinite(number));
  return tolerance * (1 + finite.reduce((most, number) => Math.max(most, Math.abs(number)), 0));
}

function withConstantsInPlace(model: Model): Model {
  return { ...model, body: bodyInPlace(model.body), [Symbol.dispose]: () => {} };
}

function bodyInPlace(body: ModelBody): ModelBody {
  if (body.kind === "mlProgram") return { ...body, program: programInPlace(body.program) };
  if (body.kind !== "pipeline") return body;
  return { ...body, stages: body.stages.map((stage) => ({ ...stage, body: bodyInPlace(stage.body) })) };
}

function programInPlace(program: MilProgram): MilProgram {
  const functions = [...program.functions].map(
    ([name, fn]) => [name, { ...fn, block: blockInPlace(fn.block, new Map()) }] as const,
  );
  return { ...program, functions: new Map(functions) };
}

function blockInPlace(block: MilBlock, outer: ReadonlyMap<string, MilValue>): MilBlock {
  const known = new Map(outer);
  const put = (binding: MilBinding): MilBinding => {
    const value = binding.kind === "name" ? known.get(binding.name) : undefined;
    return value === undefined ? binding : { kind: "value", value };
  };
  const operations = block.operations.flatMap((op) => {
    const value = op.type === "const" ? op.attributes.get("val") : undefined;
    const [output] = op.outputs;
    if (value !== undefined && output !== undefined) {
      known.set(output.name, value);
      return block.outputs.includes(output.name) ? [op] : [];
    }
    const inputs = new Map([...op.inputs].map(([name, bindings]) => [name, bindings.map(put)]));
    return [{ ...op, inputs, blocks: op.blocks.map((inner) => blockInPlace(inner, known)) }];
  });
  return { ...block, operations };
}
