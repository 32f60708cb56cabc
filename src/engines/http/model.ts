// A model on a server, as engines offer it: each prediction is one request.

import { CoremlxError, type ErrorCode } from "../../core/errors.ts";
import type { FunctionDescription } from "../../core/model.ts";
import type { FeatureValues } from "../../core/tensor.ts";
import { checkOutputs } from "../check-outputs.ts";
import type { LoadedModel, PredictOptions, State } from "../engine.ts";
import type { ProtocolClient } from "./client.ts";
import { decodeAnswer, encodeRequest, type Parameters } from "./inference.ts";
import { pathOf } from "./metadata.ts";
import { fromWire, toWire } from "./wire.ts";

/** A larger answer is refused while it comes. */
const maxAnswerBytes = 2 ** 30;

export interface RemoteModelParts {
  readonly client: ProtocolClient;
  /** On the server. */
  readonly name: string;
  readonly description: FunctionDescription;
  readonly isStateful: boolean;
}

/** Borrows the client. */
export class HttpModel implements LoadedModel {
  readonly function: FunctionDescription;
  readonly device: string;
  readonly compileMs = 0;
  readonly graph = undefined;
  readonly #client: ProtocolClient;
  readonly #name: string;
  readonly #isStateful: boolean;

  constructor({ client, name, description, isStateful }: RemoteModelParts) {
    this.function = description;
    this.device = `a server at ${client.address}`;
    this.#client = client;
    this.#name = name;
    this.#isStateful = isStateful;
  }

  /** The server is told the deadline too, and what it has not begun by then it need not begin. */
  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    const { signal, state, timeoutMs = Number.POSITIVE_INFINITY } = options;
    signal?.throwIfAborted();
    const { function: description } = this;
    const tensors = toWire(inputs, description.inputs);
    const step = this.#stepOf(state);
    const timeout = Number.isFinite(timeoutMs) ? { timeout: Math.ceil(timeoutMs * 1_000) } : {};
    const { body, jsonLength } = encodeRequest(tensors, { ...step?.parameters, ...timeout });
    const what = `run "${this.#name}"`;
    const path = `${pathOf(this.#name)}/infer`;
    const limits = { jsonLength, signal, timeoutMs, maxBytes: maxAnswerBytes };
    const answer = await this.#client.post(path, body, what, limits).catch((error: unknown) => {
      step?.fail(error);
      throw error;
    });
    step?.succeed();
    const outputs = fromWire(decodeAnswer(answer, what), description.outputs, what);
    checkOutputs(description, outputs);
    return outputs;
  }

  /** A sequence of the server's, zero at first. The server forgets it when it was not used for a while. */
  newState(): State {
    if (!this.#isStateful) throw new CoremlxError("UNSUPPORTED", "Cannot make a state: the model keeps none");
    return new RemoteState();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The server keeps its model.
  }

  #stepOf(state: State | undefined): SequenceStep | undefined {
    if (state === undefined) return undefined;
    if (state instanceof RemoteState) return state.begin();
    throw new CoremlxError("BAD_INPUT", "Cannot predict: the state belongs to another engine");
  }
}

interface SequenceStep {
  readonly parameters: Parameters;
  succeed(): void;
  fail(error: unknown): void;
}

/** Answers that say that nothing was run. */
const refusals: readonly ErrorCode[] = ["BAD_INPUT", "NOT_FOUND", "OVERLOADED"];

/** Lies on the server, which gives it to nobody. */
class RemoteState implements State {
  readonly #id = crypto.randomUUID();
  #isStarted = false;
  #isOver = false;

  read(): FeatureValues {
    throw refuse("read");
  }
  write(): void {
    throw refuse("write");
  }

  /** What a request of the sequence says; `succeed` once the server has answered. */
  begin(): SequenceStep {
    if (this.#isOver) {
      const why = "it was closed, or a prediction with it was given up";
      throw new CoremlxError("NOT_FOUND", `Cannot use the state: ${why}`);
    }
    const parameters: Parameters = { sequence_id: this.#id, sequence_start: !this.#isStarted };
    return {
      parameters,
      succeed: () => {
        this.#isStarted = true;
      },
      fail: (error) => {
        // Nobody knows whether the server has taken the step.
        if (!(error instanceof CoremlxError) || !refusals.includes(error.code)) this.#isOver = true;
      },
    };
  }

  [Symbol.dispose](): void {
    // Ending a sequence takes another prediction: the server's own time limit ends it instead.
    this.#isOver = true;
  }
}

function refuse(action: string): CoremlxError {
  return new CoremlxError("UNSUPPORTED", `Cannot ${action} the state: the protocol does not carry it`);
}
