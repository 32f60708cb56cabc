// One version of a model as the server has it: loaded, with its interface in the protocol's words, and with those who use it.

import type { ModelState, SessionModel } from "../../runtime/session.ts";
import type { ServerLimits } from "../limits.ts";
import { describeInterface, type ModelInterface } from "../protocol/interface.ts";
import { SequenceTable } from "../sequence-table.ts";

export interface ServedModelOptions {
  readonly name: string;
  readonly version: string;
  /** Owned from now on. */
  readonly model: SessionModel;
  readonly limits: ServerLimits;
  /** Longest wait for an answer, where a request does not say. */
  readonly timeoutMs: number;
}

/** Owns its model. Closing waits until nobody uses it any more. */
export class ServedModel implements AsyncDisposable {
  readonly name: string;
  readonly version: string;
  readonly model: SessionModel;
  readonly ports: ModelInterface;
  readonly timeoutMs: number;
  /** Where the model has states. */
  readonly sequences: SequenceTable<ModelState> | undefined;
  readonly #sweep: ReturnType<typeof setInterval> | undefined;
  #users = 0;
  #unused: PromiseWithResolvers<void> | undefined;

  constructor({ name, version, model, limits, timeoutMs }: ServedModelOptions) {
    this.name = name;
    this.version = version;
    this.model = model;
    this.timeoutMs = timeoutMs;
    this.ports = describeInterface(model.function, model.description);
    if (!this.ports.isStateful) return;
    const { maxSequences, maxSequenceWaiting: maxWaiting, sequenceIdleMs: idleMs } = limits;
    const newState = () => model.newState();
    const sequences = new SequenceTable({ modelName: name, newState, maxSequences, maxWaiting, idleMs });
    this.sequences = sequences;
    this.#sweep = setInterval(() => void sequences.forgetIdle(), idleMs);
    this.#sweep.unref();
  }

  /** Keeps the model until the end of the scope. */
  use(): Disposable {
    this.#users++;
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        if (--this.#users === 0) this.#unused?.resolve();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweep);
    if (this.#users > 0) {
      this.#unused ??= Promise.withResolvers();
      await this.#unused.promise;
    }
    await this.sequences?.[Symbol.asyncDispose]();
    await this.model[Symbol.asyncDispose]();
  }
}
