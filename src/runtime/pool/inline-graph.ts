// A graph run in the caller's own thread: for models so small that handing them to a worker costs more than running them.

import type { Tensor } from "../../core/tensor.ts";
import type { Engine, GraphShare, LoadedGraph } from "../../engines/engine.ts";
import { type EngineOptions, openEngine } from "../../engines/select.ts";

/** Runs above this are worth a worker: a hand-over costs 12 to 37 µs awake, 100 and more from idle. */
export const inlineLimitMs = 0.1;

/** Runs that are measured before the decision. */
const sampleCount = 32;

/** Borrows what a worker has loaded. Blocks its thread while it runs. */
export class InlineGraph implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #graph: LoadedGraph;

  static async open(options: EngineOptions, share: GraphShare): Promise<InlineGraph> {
    const engine = await openEngine(options);
    return new InlineGraph(engine, engine.adopt(share));
  }

  private constructor(engine: Engine, graph: LoadedGraph) {
    this.#engine = engine;
    this.#graph = graph;
  }

  run(
    inputs: ReadonlyMap<string, Tensor>,
    outputs: ReadonlyMap<string, Tensor>,
  ): ReadonlyMap<string, Tensor> {
    return this.#graph.run(inputs, outputs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#graph[Symbol.dispose]();
    await this.#engine[Symbol.asyncDispose]();
  }
}

/** Whether a model is small enough, from the times of its first runs. */
export class InlineTrial {
  readonly #times: number[] = [];

  /** `undefined` while more runs are needed. The first runs warm up and are not judged. */
  add(runMs: number): boolean | undefined {
    this.#times.push(runMs);
    if (this.#times.length < 2 * sampleCount) return undefined;
    const judged = this.#times.slice(sampleCount).toSorted((a, b) => a - b);
    return (judged[Math.floor(judged.length / 2)] ?? Number.POSITIVE_INFINITY) < inlineLimitMs;
  }
}
