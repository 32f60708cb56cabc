// Public packages whose LSTMs are loops over lists, with an unknown batch. Answers: scripts/fixtures/dtln.py, which walks
// the program in numpy.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { elementCount, type FeatureValues, isTensor, numbersOf, tensorOf } from "../../src/core/tensor.ts";
import { PortableEngine } from "../../src/engines/portable.ts";
import { openModel } from "../../src/formats/open.ts";
import { portableRuntime } from "../support/portable.ts";
import { sharedPath } from "../support/shared.ts";

interface Answer {
  readonly model: string;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Every element, or every 16th. */
  readonly outputs: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly data: readonly number[] }>
  >;
}

const answers = JSON.parse(
  readFileSync(join(import.meta.dir, "../fixtures/models/dtln.json"), "utf8"),
) as readonly Answer[];

describe("DTLN-aec", () => {
  for (const answer of answers) {
    const [batch] = Object.values(answer.inputs)[0] ?? [];
    test(`${answer.model} with batch ${batch} agrees with the program walked in numpy`, () => check(answer));
  }
});

async function check({ model: path, inputs, outputs }: Answer): Promise<void> {
  using model = await openModel(sharedPath(`models/${path}`));
  const engine = new PortableEngine({ runtime: await portableRuntime() });
  await using loaded = await engine.load(model, { threads: 1 });
  const given: FeatureValues = new Map(
    Object.entries(inputs).map(([name, shape], seed) => [
      name,
      wave(name, shape, seed, loaded.function.inputs),
    ]),
  );
  const results = await loaded.predict(given);
  for (const [name, { shape, data }] of Object.entries(outputs)) {
    const result = results.get(name);
    if (result === undefined || !isTensor(result)) throw new Error(`No array "${name}"`);
    expect(result.shape).toEqual(shape);
    const step = Math.ceil(elementCount(shape) / data.length);
    const actual = [...numbersOf(result)].filter((_, index) => index % step === 0);
    const worst = actual.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - (data[index] ?? 0))),
      0,
    );
    // Half-precision weights are exact in both; what differs is float32 arithmetic, and float16 where results have it.
    expect(worst).toBeLessThan(result.dtype === "float16" ? 1e-3 : 2e-5);
  }
}

type Inputs = Awaited<ReturnType<PortableEngine["load"]>>["function"]["inputs"];

/** The inputs of the script: whole hundredths. */
function wave(name: string, shape: readonly number[], seed: number, inputs: Inputs) {
  const type = inputs.find((input) => input.name === name)?.type;
  const dtype = type?.kind === "multiArray" ? type.dtype : "float32";
  const values = Array.from({ length: elementCount(shape) }, (_, i) => ((i * 37 + seed * 11) % 101) / 100);
  return tensorOf(dtype, values, shape);
}
