// The facade over everything below: open a session, load models, predict. The CLI, the server and the suites use nothing else.

import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { convertFeature } from "../codecs/convert.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription, ModelDescription } from "../core/model.ts";
import { suggest } from "../core/suggest.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";
import type { DeviceRequest, EngineName } from "../engines/engine.ts";
import type { EngineOptions } from "../engines/select.ts";
import { Instance } from "./instance.ts";
import type { LoadReply } from "./protocol.ts";

export interface SessionOptions {
  /** "auto" (default), "coreml" or "portable". */
  readonly engine?: string | undefined;
  readonly onnxruntimePath?: string | undefined;
  /** Default: the user's cache folder. */
  readonly cacheDir?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
}

export interface LoadModelOptions {
  readonly functionName?: string | undefined;
  readonly device?: DeviceRequest | undefined;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Compute the digest while loading; reads every byte of the model. */
  readonly withDigest?: boolean | undefined;
}

export interface PredictionOptions {
  readonly signal?: AbortSignal | undefined;
  /** Covers waiting and running. Default 5 s; Infinity for none. */
  readonly timeoutMs?: number | undefined;
  readonly state?: ModelState | undefined;
}

export interface Prediction {
  readonly outputs: FeatureValues;
  /** Time inside the engine. */
  readonly runMs: number;
}

export const defaultTimeoutMs = 5_000;

export async function openSession(options: SessionOptions = {}): Promise<Session> {
  return new Session(options);
}

/** Owns the models it loads: closing it closes them. */
export class Session implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #models = new Set<SessionModel>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Reads, lowers and loads a model in a thread of its own. Errors: BAD_MODEL, NOT_FOUND, UNSUPPORTED, NATIVE. */
  async load(path: string, options: LoadModelOptions = {}): Promise<SessionModel> {
    const instance = new Instance();
    try {
      const reply = await instance.call(
        {
          type: "load",
          path: resolve(path),
          engine: this.#engineOptions(),
          functionName: options.functionName,
          device: options.device ?? "auto",
          threads: options.threads,
          withDigest: options.withDigest ?? false,
        },
        { signal: options.signal },
      );
      const model = new SessionModel(instance, reply, () => this.#models.delete(model));
      this.#models.add(model);
      return model;
    } catch (error) {
      await instance[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#models].map((model) => model[Symbol.asyncDispose]()));
  }

  #engineOptions(): EngineOptions {
    const { engine, onnxruntimePath, cacheDir, precision } = this.#options;
    return { engine: engine ?? "auto", onnxruntimePath, cacheDir: cacheDir ?? defaultCacheDir(), precision };
  }
}

/** A model ready to predict. */
export class SessionModel implements AsyncDisposable {
  readonly #instance: Instance;
  readonly #reply: LoadReply;
  readonly #onClose: () => void;

  constructor(instance: Instance, reply: LoadReply, onClose: () => void) {
    this.#instance = instance;
    this.#reply = reply;
    this.#onClose = onClose;
  }

  /** SHA-256 over the model's files, hexadecimal; when asked for at loading. */
  get digest(): string | undefined {
    return this.#reply.digest;
  }
  get description(): ModelDescription {
    return this.#reply.description;
  }
  get function(): FunctionDescription {
    return this.#reply.function;
  }
  get inputs(): readonly FeatureDescription[] {
    return this.#reply.function.inputs;
  }
  get outputs(): readonly FeatureDescription[] {
    return this.#reply.function.outputs;
  }
  get states(): readonly FeatureDescription[] {
    return this.#reply.function.states;
  }
  get engine(): EngineName {
    return this.#reply.engine;
  }
  get engineVersion(): string {
    return this.#reply.engineVersion;
  }
  get device(): string {
    return this.#reply.device;
  }
  get timings(): { readonly openMs: number; readonly loadMs: number } {
    return { openMs: this.#reply.openMs, loadMs: this.#reply.loadMs };
  }

  async predict(inputs: FeatureValues, options: PredictionOptions = {}): Promise<FeatureValues> {
    return (await this.predictTimed(inputs, options)).outputs;
  }

  /** Errors: BAD_INPUT for values that do not fit the interface, DEADLINE, INTERRUPTED, NATIVE. */
  async predictTimed(inputs: FeatureValues, options: PredictionOptions = {}): Promise<Prediction> {
    const { signal, state, timeoutMs = defaultTimeoutMs } = options;
    const request = { type: "predict", inputs: this.#convert(inputs), stateId: state?.id } as const;
    return this.#instance.call(request, { signal, ...(Number.isFinite(timeoutMs) ? { timeoutMs } : {}) });
  }

  /** A state for one sequence of predictions, zero at first. */
  async newState(): Promise<ModelState> {
    return new ModelState(this.#instance, await this.#instance.call({ type: "newState" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#onClose();
    await this.#instance[Symbol.asyncDispose]();
  }

  #convert(inputs: FeatureValues): FeatureValues {
    const names = this.inputs.map((input) => input.name);
    for (const name of inputs.keys()) {
      if (names.includes(name)) continue;
      const hint = suggest(name, names, "The inputs are");
      throw new CoremlxError("BAD_INPUT", `Unknown input "${name}"`, {
        hint,
        details: { name, inputs: names },
      });
    }
    const converted = new Map<string, FeatureValue>();
    const missing: string[] = [];
    for (const input of this.inputs) {
      const value = inputs.get(input.name);
      if (value !== undefined) converted.set(input.name, convertFeature(value, input));
      else if (!input.isOptional) missing.push(input.name);
    }
    if (missing.length > 0) {
      const list = missing.map((name) => `"${name}"`).join(", ");
      throw new CoremlxError("BAD_INPUT", `Cannot predict: input ${list} is missing`, {
        hint: `Give it with --input ${missing[0]}=VALUE`,
        details: { missing },
      });
    }
    return converted;
  }
}

/** The states of one sequence. Never use one for two calls at once. */
export class ModelState implements AsyncDisposable {
  readonly #instance: Instance;
  readonly id: number;

  constructor(instance: Instance, id: number) {
    this.#instance = instance;
    this.id = id;
  }

  read(): Promise<FeatureValues> {
    return this.#instance.call({ type: "readState", stateId: this.id });
  }
  async write(values: FeatureValues): Promise<void> {
    await this.#instance.call({ type: "writeState", stateId: this.id, values });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#instance.isBroken) await this.#instance.call({ type: "dropState", stateId: this.id });
  }
}

/** The user's cache folder for coremlx; on a Mac not Apple's own place for the program's name. */
export function defaultCacheDir(): string {
  return process.platform === "darwin"
    ? join(homedir(), "Library", "Caches", "org.coremlx.coremlx")
    : join(homedir(), ".cache", "coremlx");
}
