// Whole packages that coremltools wrote, read, lowered and run as a user's would be. Made by scripts/fixtures/make_op_packages.py.

import { describe, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../src/core/dtype.ts";
import { type FeatureValues, isTensor, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { LoadedModel } from "../../src/engines/engine.ts";
import { PortableEngine } from "../../src/engines/portable.ts";
import { openModel } from "../../src/formats/open.ts";
import type { Precision } from "../../src/lowering/scope.ts";
import { expectAllClose, tolerances } from "../support/close.ts";
import { portableRuntime } from "../support/portable.ts";

interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
interface Answer {
  readonly function?: string;
  readonly inputs: Readonly<Record<string, StoredTensor>>;
  readonly outputs: Readonly<Record<string, StoredTensor>>;
}

const folder = join(import.meta.dir, "../fixtures/packages");

/** Package by package, what is special about it. */
const packages = {
  cond: "a condition takes one branch, branches nest and see outer values",
  "while-loop": "loops count, nest, capture values, and may not run at all",
  "while-growing": "a loop variable may change its shape from one iteration to the next",
  lists: "lists grow, keep their length, are written backwards and by scatter",
  "lists-symbolic": "a list takes the size of its elements from the first write",
  "gru-fixed": "a recurrent layer written as a loop of five steps gives its sequence and last state",
  "gru-loop": "and as one of any number of steps",
  stateful: "states keep sums, rows and counts between predictions",
  "stateful-loop": "a loop reads and writes a state",
  multifunction: "each function of a package runs by its name, the default without one",
  "chain-fixed": "a chain of shape arithmetic over fixed sizes",
  "chain-ranged": "the same chain over a range of sizes",
  "chain-enumerated": "the same chain over enumerated sizes",
} as const;

describe("packages", () => {
  for (const [name, behaviour] of Object.entries(packages)) {
    for (const precision of ["float32", "model"] as const) {
      test(`${name}: ${behaviour} (precision ${precision})`, () => check(name, precision));
    }
  }
});

/** All answers of a package in order, on one state where it has states. */
async function check(name: string, precision: Precision): Promise<void> {
  using model = await openModel(join(folder, `${name}.mlpackage`));
  const engine = new PortableEngine({ runtime: await portableRuntime(), precision });
  const answers = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as readonly Answer[];
  const isHalf = model.description.functions.some(({ states }) => states.length > 0);
  for (const [functionName, own] of Map.groupBy(answers, (answer) => answer.function)) {
    await using loaded = await engine.load(model, { functionName, threads: 1 });
    using state = loaded.newState();
    for (const { inputs, outputs } of own) {
      const result = await loaded.predict(restoreAll(inputs), { state });
      expectAllClose(
        arrays(result),
        restoreRecord(outputs),
        isHalf ? tolerances.float16 : tolerances.float32,
      );
    }
  }
}

function restoreAll(stored: Answer["inputs"]): FeatureValues {
  return new Map(Object.entries(restoreRecord(stored)));
}

function restoreRecord(stored: Answer["inputs"]): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(
    Object.entries(stored).map(([key, { dtype, shape, data }]) => [key, tensorOf(dtype, data, shape)]),
  );
}

function arrays(values: Awaited<ReturnType<LoadedModel["predict"]>>): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(
    [...values].flatMap(([key, value]) => (isTensor(value) ? [[key, value] as const] : [])),
  );
}
