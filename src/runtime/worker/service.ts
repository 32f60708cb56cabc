// The body of a worker: one engine, one model or graph, requests answered one after the other. A plain class, so that
// tests drive it without a thread.

import { CoremlxError, messageOf } from "../../core/errors.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import type { FeatureValues, Tensor } from "../../core/tensor.ts";
import type { CancelHandle, Engine, LoadedGraph, LoadedModel } from "../../engines/engine.ts";
import { borrowGraph, openEngine } from "../../engines/select.ts";
import { MemoryViews } from "../../native/memory.ts";
import { RepeatableRun } from "./repeatable-run.ts";
import type {
  AdoptRequest,
  LoadEvent,
  LoadReply,
  LoadRequest,
  PredictReply,
  PredictRequest,
  Request,
  RunReply,
  RunRequest,
  WireError,
} from "./protocol.ts";

type Running =
  | {
      readonly kind: "owner";
      readonly engine: Engine;
      readonly loaded: LoadedModel;
      /** Gives back the model with all it needs. */
      readonly close: () => Promise<void>;
    }
  | { readonly kind: "guest"; readonly graph: LoadedGraph };

const nowhere: ReadonlyMap<string, Tensor> = new Map();
const nothing: FeatureValues = new Map();

interface Found
  extends Pick<LoadReply, "digest" | "description" | "openMs" | "loadMs" | "cache" | "wantsCompiling"> {
  readonly loaded: LoadedModel;
  readonly close: () => Promise<void>;
}

/** Owns what it loads. Invariant: `close` gives everything back, also after a failed load. */
export class ModelService {
  #running: Running | undefined;
  readonly #views = new MemoryViews();
  #last: RepeatableRun | undefined;
  readonly #openEngine: typeof openEngine;

  /** Tests bring an engine of their own. */
  constructor(open: typeof openEngine = openEngine) {
    this.#openEngine = open;
  }

  async answer(request: Request): Promise<unknown> {
    switch (request.type) {
      case "load":
        return this.#load(request);
      case "adopt":
        return this.#adopt(request);
      case "run":
        return this.#run(request);
      case "runCopies":
        return this.#runOn(request.inputs, nowhere);
      case "predict":
        return this.#predict(request);
      case "close":
        return this.#close();
    }
  }

  async #load(request: LoadRequest): Promise<LoadReply> {
    this.#assertEmpty();
    const engine = await this.#openEngine(request.engine);
    try {
      const events: LoadEvent[] = [];
      const telemetry: Telemetry = {
        log: (level, event, fields) => void events.push({ level, event, fields }),
      };
      const found = await this.#loadWith(engine, request, telemetry);
      const { loaded, close } = found;
      this.#running = { kind: "owner", engine, loaded, close };
      const { graph } = loaded;
      return {
        digest: found.digest,
        description: found.description,
        function: loaded.function,
        engine: engine.name,
        engineVersion: engine.version,
        device: loaded.device,
        openMs: found.openMs,
        compileMs: loaded.compileMs,
        loadMs: found.loadMs - loaded.compileMs,
        cache: found.cache,
        wantsCompiling: found.wantsCompiling,
        events,
        graph: graph && { ports: graph.ports, share: graph.loaded.share, cancels: graph.loaded.cancels },
        cancel: loaded.cancel,
        loadsPerThread: engine.loadsPerThread ?? false,
      };
    } catch (error) {
      this.#running = undefined;
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As it was compiled before, else from the model's own file. */
  async #loadWith(engine: Engine, request: LoadRequest, telemetry: Telemetry): Promise<Found> {
    const { functionName, device, threads, withDigest } = request;
    const options = { functionName, device, threads };
    const warm = engine.loadCompiled?.(request.path, { ...options, withDigest, telemetry });
    const ready = warm ?? (await engine.loadNamed?.(request.path, { ...options, withDigest, telemetry }));
    if (ready) {
      const { loaded, description, digest, openMs, loadMs } = ready;
      return {
        loaded,
        description,
        digest,
        openMs,
        loadMs,
        cache: warm ? "warm" : "cold",
        wantsCompiling: false,
        async close() {
          await ready[Symbol.asyncDispose]();
        },
      };
    }
    const { computeDigest, openModel } = await import("../../formats/open.ts");
    const started = performance.now();
    const model = await openModel(request.path);
    const opened = performance.now();
    try {
      const loaded = await engine.load(model, { ...options, telemetry });
      const loadMs = performance.now() - opened;
      const tookMs = performance.now() - started;
      const wanted = engine.wantsCompiling?.(request.path, {
        functionName,
        tookMs,
        byteLength: model.byteLength,
        telemetry,
      });
      return {
        loaded,
        description: model.description,
        digest: withDigest ? await computeDigest(model) : undefined,
        openMs: opened - started,
        loadMs,
        cache: "cold",
        wantsCompiling: wanted ?? false,
        async close() {
          await loaded[Symbol.asyncDispose]();
          model[Symbol.dispose]();
        },
      };
    } catch (error) {
      model[Symbol.dispose]();
      throw error;
    }
  }

  async #adopt({ share }: AdoptRequest): Promise<readonly CancelHandle[]> {
    this.#assertEmpty();
    const graph = await borrowGraph(share);
    this.#running = { kind: "guest", graph };
    // What the start of the thread has left would stay: a thread that only runs graphs makes too little to be collected.
    Bun.gc(true);
    Bun.shrink();
    return graph.cancels;
  }

  /** A graph is loaded: `run` and `runAgain` can be asked for. */
  get hasGraph(): boolean {
    const running = this.#running;
    return running?.kind === "guest" || running?.loaded.graph !== undefined;
  }

  #run({ inputs, outputs }: RunRequest): RunReply {
    this.#last = undefined; // should this one fail to be set up, the one before must not be taken for it
    this.#last = new RepeatableRun(this.#views, inputs, outputs);
    return this.#runOn(this.#last.inputs, this.#last.outputs);
  }

  /** The last run again, on other memory: the addresses of its inputs, then of its outputs. `cancel`: which one ends it. */
  runAgain(addresses: Float64Array, cancel: number): RunReply {
    if (this.#last === undefined) throw new CoremlxError("INTERNAL", "Cannot repeat a run: none came before");
    this.#last.moveTo(addresses);
    return this.#runOn(this.#last.inputs, this.#last.outputs, cancel);
  }

  #runOn(inputs: ReadonlyMap<string, Tensor>, outputs: ReadonlyMap<string, Tensor>, cancel = 0): RunReply {
    const graph = this.#graph;
    const started = performance.now();
    const results = graph.run(inputs, outputs, cancel);
    const runMs = performance.now() - started;
    if (outputs.size === 0) return { results, runMs };
    if (outputs.size === results.size) return { results: nothing, runMs };
    return { results: new Map([...results].filter(([name]) => !outputs.has(name))), runMs };
  }

  async #predict(request: PredictRequest): Promise<PredictReply> {
    const running = this.#running;
    if (running?.kind !== "owner") throw notLoaded();
    const started = performance.now();
    const { inputs, timeoutMs } = request;
    const outputs = await running.loaded.predict(inputs, { timeoutMs });
    return { outputs, runMs: performance.now() - started };
  }

  async #close(): Promise<undefined> {
    const running = this.#running;
    this.#running = undefined;
    this.#last = undefined;
    this.#views.clear();
    if (running === undefined) return;
    if (running.kind === "guest") {
      running.graph[Symbol.dispose]();
    } else {
      await running.close();
      await running.engine[Symbol.asyncDispose]();
    }
  }

  get #graph(): LoadedGraph {
    const running = this.#running;
    if (running?.kind === "guest") return running.graph;
    const graph = running?.loaded.graph?.loaded;
    if (graph) return graph;
    throw notLoaded();
  }

  #assertEmpty(): void {
    if (this.#running) throw new CoremlxError("INTERNAL", "Cannot load a second model into one worker");
  }
}

function notLoaded(): CoremlxError {
  return new CoremlxError("INTERNAL", "Cannot predict: no model is loaded");
}

/** Any failure in a form that crosses threads. */
export function toWireError(error: unknown): WireError {
  if (error instanceof CoremlxError) {
    const { code, message, hint, details } = error;
    return { code, message, hint, details };
  }
  return { code: "INTERNAL", message: messageOf(error), hint: undefined, details: undefined };
}
