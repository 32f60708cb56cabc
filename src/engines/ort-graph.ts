// A graph that lies loaded in an ONNX Runtime session. A worker that only joins one loads no more of coremlx than this: no
// formats and no lowering, which take most of a thread's memory.

import type { Tensor } from "../core/tensor.ts";
import { OnnxRuntime, type OrtSession } from "../native/onnxruntime.ts";
import type { CancelHandle, GraphShare, LoadedGraph } from "./engine.ts";

/** Owns its session, or a borrow of somebody else's. Belongs to the thread that made it. */
export class OrtGraph implements LoadedGraph {
  readonly #session: OrtSession;

  constructor(session: OrtSession) {
    this.#session = session;
  }

  get share(): GraphShare {
    return this.#session.handle;
  }
  get cancels(): readonly CancelHandle[] {
    return this.#session.terminateHandles.map((handle) => ({ kind: "ort", ...handle }));
  }

  run(
    inputs: ReadonlyMap<string, Tensor>,
    outputs: ReadonlyMap<string, Tensor>,
    cancel = 0,
  ): ReadonlyMap<string, Tensor> {
    return this.#session.run(inputs, { outputs, terminate: cancel });
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}

/** Runs a session that another thread of this process loaded, and that outlives this. */
export function borrowOrtGraph(share: GraphShare): LoadedGraph {
  const runtime = OnnxRuntime.open(share.libraryPath);
  try {
    return new BorrowedGraph(runtime, runtime.borrowSession(share));
  } catch (error) {
    runtime[Symbol.dispose]();
    throw error;
  }
}

class BorrowedGraph extends OrtGraph {
  readonly #runtime: OnnxRuntime;

  constructor(runtime: OnnxRuntime, session: OrtSession) {
    super(session);
    this.#runtime = runtime;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#runtime[Symbol.dispose]();
  }
}
