// A thread that predicts on a model of the stand-in until it has done its share, or is terminated in the middle of it.

import { f32, numbersOf, zeros } from "../../src/core/tensor.ts";
import { CoremlLibrary } from "../../src/native/coreml.ts";
import { type CoremlCall, CoremlCallPlan } from "../../src/native/coreml-call.ts";
import { CoremlModel } from "../../src/native/coreml-model.ts";

declare const self: Worker;

export interface Share {
  readonly libraryPath: string;
  readonly modelPath: string;
  readonly runs: number;
  /** Between two collections of garbage. */
  readonly collectEvery: number;
}

export type Report =
  /** Whoever terminates the thread releases the model. */
  | { readonly kind: "loaded"; readonly handle: number }
  | { readonly kind: "progress"; readonly done: number }
  | { readonly kind: "done"; readonly done: number; readonly wrong: number };

const post = (report: Report) => self.postMessage(report);

self.onmessage = ({ data }: MessageEvent<Share>) => {
  const { libraryPath, modelPath, runs, collectEvery } = data;
  const library = CoremlLibrary.open(libraryPath);
  const model = CoremlModel.load(library, modelPath, { units: "all" });
  post({ kind: "loaded", handle: model.handle });
  const port = { name: "x", feature: 0, kind: "array" } as const;
  let wrong = 0;
  let plan: CoremlCallPlan | undefined;
  for (let i = 0; i < runs; i++) {
    // New memory each time, most of it garbage at once; every third result comes in memory of the library's.
    const x = f32([i, 1, 2, 3], [4]);
    const call: CoremlCall = {
      inputs: [[port, x]],
      outputs: [[port, i % 3 === 0 ? undefined : zeros("float32", [4])]],
    };
    if (plan === undefined || !plan.fits(call)) plan = new CoremlCallPlan(model, call);
    // One in ten may be ended by the library: it runs on another of its threads.
    const [y] = plan.run(call, { timeoutMs: i % 10 === 0 ? 60_000 : undefined }).tensors;
    if (y === undefined || numbersOf(y)[0] !== Math.fround(2 * i) || numbersOf(y)[3] !== 6) wrong++;
    if (i % collectEvery === 0) {
      Bun.gc(true);
      post({ kind: "progress", done: i });
    }
  }
  model[Symbol.dispose]();
  post({ kind: "done", done: runs, wrong });
};
