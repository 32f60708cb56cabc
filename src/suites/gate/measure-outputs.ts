// Where large results lie, measured: a model whose output is beyond the limit answers a few times, and each answer is looked at
// while it is lent.

import { f32, type FeatureValues, isTensor, numbersOf } from "../../core/tensor.ts";
import type { LoadModelOptions } from "../../runtime/session.ts";
import { describeEnvironment } from "../machine.ts";
import { side, writeLargeModel } from "./large-model.ts";
import type { OutputsRaw } from "./sources/counts.ts";

interface LeasedAnswer extends Disposable {
  readonly outputs: FeatureValues;
  readonly mapped: ReadonlyMap<string, unknown>;
}

/** What it needs of a loaded model; SessionModel is one. */
export interface OutputsModel extends AsyncDisposable {
  readonly engine: string;
  readonly engineVersion: string;
  readonly device: string;
  readonly digest: string | undefined;
  predictLeased(inputs: FeatureValues, options: { readonly timeoutMs: number }): Promise<LeasedAnswer>;
}

export interface OutputsSession {
  load(path: string, options: LoadModelOptions): Promise<OutputsModel>;
}

export interface OutputsOptions {
  /** For the model that is made; the caller removes it. */
  readonly folder: string;
  readonly device: LoadModelOptions["device"];
}

const predictions = 8;
const timeoutMs = 60_000;
/** The promise is about outputs beyond it. */
const limitBytes = 10_000_000;
/** Whole numbers this small are exact in half precision too, and so are their sums. */
const period = 64;

export async function measureOutputs(session: OutputsSession, options: OutputsOptions): Promise<OutputsRaw> {
  const path = writeLargeModel(options.folder);
  await using model = await session.load(path, { device: options.device, withDigest: true });
  const x = Array.from({ length: side }, (_, i) => i % period);
  const outputs: OutputsRaw["outputs"] = [];
  for (let run = 0; run < predictions; run++) {
    const y = Array.from({ length: side }, (_, j) => (j + run) % period);
    const inputs = new Map([
      ["x", f32(x, [side, 1])],
      ["y", f32(y, [1, side])],
    ]);
    using answer = await model.predictLeased(inputs, { timeoutMs });
    for (const [name, value] of answer.outputs) {
      if (!isTensor(value)) continue;
      outputs.push({
        byteLength: value.bytes.byteLength,
        isMapped: answer.mapped.has(name),
        isRight: isRight(numbersOf(value), name === "sum" ? (i, j) => (x[i] ?? 0) + (y[j] ?? 0) : () => 0),
      });
    }
  }
  const { engine, engineVersion, device, digest } = model;
  return {
    schemaVersion: 1,
    kind: "outputs",
    environment: describeEnvironment(),
    engine: { name: engine, version: engineVersion, device },
    model: { name: "LargeOutput", digest: digest ?? "" },
    limitBytes,
    outputs,
  };
}

function isRight(found: ArrayLike<number>, expected: (row: number, column: number) => number): boolean {
  const columns = found.length / side;
  for (let at = 0; at < found.length; at++)
    if (found[at] !== expected(Math.floor(at / columns), at % columns)) return false;
  return found.length > 0;
}
