// The body of a worker: one engine, one model, requests answered one after the other. A plain class, so that tests
// drive it without a thread.

import { CoremlxError, messageOf } from "../core/errors.ts";
import type { Engine, LoadedModel, State } from "../engines/engine.ts";
import { openEngine } from "../engines/select.ts";
import type { Model } from "../formats/model.ts";
import { computeDigest, openModel } from "../formats/open.ts";
import type { LoadReply, LoadRequest, PredictReply, Request, WireError } from "./protocol.ts";

interface Running {
  readonly engine: Engine;
  readonly model: Model;
  readonly loaded: LoadedModel;
}

/** Owns what it loads. Invariant: `close` gives everything back, also after a failed load. */
export class ModelService {
  #running: Running | undefined;
  readonly #states = new Map<number, State>();
  #nextState = 1;

  async answer(request: Request): Promise<unknown> {
    switch (request.type) {
      case "load":
        return this.#load(request);
      case "predict": {
        const state = request.stateId === undefined ? undefined : this.#state(request.stateId);
        const started = performance.now();
        const outputs = await this.#loaded.predict(request.inputs, { state });
        return { outputs, runMs: performance.now() - started } satisfies PredictReply;
      }
      case "newState": {
        const id = this.#nextState++;
        this.#states.set(id, this.#loaded.newState());
        return id;
      }
      case "readState":
        return this.#state(request.stateId).read();
      case "writeState":
        this.#state(request.stateId).write(request.values);
        return undefined;
      case "dropState":
        this.#states.get(request.stateId)?.[Symbol.dispose]();
        this.#states.delete(request.stateId);
        return undefined;
      case "close":
        return this.#close();
    }
  }

  async #load(request: LoadRequest): Promise<LoadReply> {
    if (this.#running) throw new CoremlxError("INTERNAL", "Cannot load a second model into one worker");
    const started = performance.now();
    const model = await openModel(request.path);
    const opened = performance.now();
    let engine: Engine | undefined;
    try {
      engine = await openEngine(request.engine);
      const { functionName, device, threads } = request;
      const loaded = await engine.load(model, { functionName, device, threads });
      this.#running = { engine, model, loaded };
      const ready = performance.now();
      return {
        digest: request.withDigest ? await computeDigest(model) : undefined,
        description: model.description,
        function: loaded.function,
        engine: engine.name,
        engineVersion: engine.version,
        device: loaded.device,
        openMs: opened - started,
        loadMs: ready - opened,
      };
    } catch (error) {
      await engine?.[Symbol.asyncDispose]();
      model[Symbol.dispose]();
      throw error;
    }
  }

  async #close(): Promise<undefined> {
    for (const state of this.#states.values()) state[Symbol.dispose]();
    this.#states.clear();
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    await running.loaded[Symbol.asyncDispose]();
    await running.engine[Symbol.asyncDispose]();
    running.model[Symbol.dispose]();
  }

  get #loaded(): LoadedModel {
    if (this.#running) return this.#running.loaded;
    throw new CoremlxError("INTERNAL", "Cannot predict: no model is loaded");
  }

  #state(id: number): State {
    const state = this.#states.get(id);
    if (state) return state;
    throw new CoremlxError("NOT_FOUND", `Cannot find state ${id}: it was closed`);
  }
}

/** Any failure in a form that crosses threads. */
export function toWireError(error: unknown): WireError {
  if (error instanceof CoremlxError) {
    const { code, message, hint, details } = error;
    return { code, message, hint, details };
  }
  return { code: "INTERNAL", message: messageOf(error), hint: undefined, details: undefined };
}
