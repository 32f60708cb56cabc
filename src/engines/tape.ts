// The tape engine: replays what another engine answered, elsewhere and at another time. Nothing is computed or measured.

import { existsSync, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { CoremlxError, messageOf, reworded } from "../core/errors.ts";
import type { FunctionDescription, ModelDescription } from "../core/model.ts";
import type { Model } from "../formats/model.ts";
import { computeDigest } from "../formats/open.ts";
import type { ComputePlan } from "./compute-plan.ts";
import type { CompiledModel, Engine, LoadedModel, LoadOptions, PlanOptions } from "./engine.ts";
import { findFunction } from "./find-function.ts";
import { nameSource, type Recording, type Tape } from "./tape/content.ts";
import { decodeTape } from "./tape/file.ts";
import { defaultTapeLimits } from "./tape/limits.ts";
import { TapeModel } from "./tape/model.ts";
import { TapePlayer } from "./tape/player.ts";

export interface TapeEngineOptions {
  /** Of different models. */
  readonly tapes: readonly Tape[];
  /** Predictions take as long as they took. Default false. */
  readonly isTimed?: boolean | undefined;
  /** Inputs that were not recorded are refused. Default false: they get the next answer in order. */
  readonly isExact?: boolean | undefined;
  /** Blocks for so long; tests bring a clock of their own. */
  readonly wait?: ((ms: number) => void) | undefined;
}

export class TapeEngine implements Engine {
  readonly name = "tape";
  /** Each thread has its own place on the tape. */
  readonly loadsPerThread = true;
  readonly version: string;
  readonly #options: TapeEngineOptions;

  constructor(options: TapeEngineOptions) {
    this.#options = options;
    this.version = options.tapes.map((tape) => `${tape.engine.version}, on a tape`).join(", ");
  }

  async load(model: Model, options: LoadOptions = {}): Promise<LoadedModel> {
    const description = findFunction(model, options.functionName);
    return this.#load(await this.#tapeOf(model), description, options);
  }

  /** By the name it was recorded under, where there is no file. */
  async loadNamed(path: string, options: LoadOptions = {}): Promise<CompiledModel | undefined> {
    if (existsSync(path)) return undefined;
    const name = basename(path).replace(/\.(mlpackage|mlmodelc|mlmodel)$/i, "");
    const { tapes } = this.#options;
    const tape = tapes.find((candidate) => candidate.model.name === name);
    if (tape === undefined) {
      const names = tapes.map((candidate) => `"${candidate.model.name}"`).join(", ");
      throw new CoremlxError("NOT_FOUND", `Cannot find "${name}" on the tape: it has ${names}`);
    }
    const { description, digest } = tape.model;
    const started = performance.now();
    const loaded = this.#load(tape, functionOf(description, options.functionName), options);
    return {
      loaded,
      description,
      digest,
      openMs: 0,
      loadMs: performance.now() - started,
      [Symbol.asyncDispose]: () => loaded[Symbol.asyncDispose](),
    };
  }

  async plan(model: Model, options: PlanOptions = {}): Promise<ComputePlan> {
    const description = findFunction(model, options.functionName);
    const tape = await this.#tapeOf(model);
    const { plan } = chooseRecording(tape, description.name, options);
    if (plan) return plan;
    throw new CoremlxError("UNSUPPORTED", `Cannot plan the model: ${nameSource(tape)} holds no plan`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What was read stays with the loaded models.
  }

  async #tapeOf(model: Model): Promise<Tape> {
    const { tapes } = this.#options;
    const digest = await computeDigest(model);
    const tape = tapes.find((candidate) => candidate.model.digest === digest);
    if (tape) return tape;
    const names = tapes.map((candidate) => `"${candidate.model.name}"`).join(", ");
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot replay "${basename(model.path)}": the tape is of another model, ${names}`,
      {
        hint: "Record this file, or give the recorded model's name in place of a file",
        details: { digest, recorded: tapes.map((candidate) => candidate.model.digest ?? null) },
      },
    );
  }

  #load(tape: Tape, description: FunctionDescription, options: LoadOptions): TapeModel {
    const { isTimed = false, isExact = false, wait = block } = this.#options;
    const recording = chooseRecording(tape, description.name, options);
    const source = nameSource(tape);
    if (recording.failure) {
      const { code, message, hint } = recording.failure;
      throw new CoremlxError(code, `${message} (${source})`, { hint, details: { tape: source } });
    }
    const player = new TapePlayer(tape, recording, { isExact });
    return new TapeModel({ description, recording, player, source, wait: isTimed ? wait : undefined });
  }
}

/** "FILE", "FILE#timed", "FILE#exact", "FILE#timed,exact". Throws USAGE, BAD_INPUT. */
export function openTape(spec: string): TapeEngine {
  const [, path = "", words = ""] = /^(.*?)(?:#([a-z,]*))?$/s.exec(spec) ?? [];
  const wanted = words === "" ? [] : words.split(",");
  const unknown = wanted.find((word) => word !== "timed" && word !== "exact");
  if (unknown !== undefined)
    throw new CoremlxError("USAGE", `Cannot replay "${unknown}": use tape:FILE#timed or tape:FILE#exact`);
  const tapes = [readTape(path)];
  return new TapeEngine({ tapes, isTimed: wanted.includes("timed"), isExact: wanted.includes("exact") });
}

/** Throws BAD_INPUT naming the file. */
export function readTape(path: string): Tape {
  const bytes = readFile(path);
  try {
    return decodeTape(bytes);
  } catch (error) {
    if (!(error instanceof CoremlxError)) throw error;
    throw reworded(error, `${error.message}: ${path}`);
  }
}

function readFile(path: string): Uint8Array<ArrayBuffer> {
  try {
    const stats = statSync(path);
    if (stats.isFile() && stats.size <= defaultTapeLimits.tapeBytes)
      return new Uint8Array(readFileSync(path));
    const why = stats.isFile() ? `it has more than ${defaultTapeLimits.tapeBytes} bytes` : "it is no file";
    throw new CoremlxError("BAD_INPUT", `Cannot use the tape: ${why}: ${path}`);
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    throw new CoremlxError("BAD_INPUT", `Cannot read the tape ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function functionOf(
  { functions, defaultFunction }: ModelDescription,
  name = defaultFunction,
): FunctionDescription {
  const found = functions.find((candidate) => candidate.name === name);
  if (found) return found;
  const names = functions.map((candidate) => `"${candidate.name}"`).join(", ");
  throw new CoremlxError("NOT_FOUND", `Cannot find function "${name}" on the tape: it has ${names}`);
}

/** The one that was asked for by the same word, or ran where it is asked for; with "auto" the first that could be loaded. */
function chooseRecording(
  tape: Tape,
  functionName: string,
  { device = "auto" }: Pick<LoadOptions, "device">,
): Recording {
  const ofFunction = tape.recordings.filter((recording) => recording.functionName === functionName);
  const exact =
    ofFunction.find(({ requested }) => requested === device) ??
    ofFunction.find((recording) => recording.device === device);
  const any = ofFunction.find(({ failure }) => failure === undefined) ?? ofFunction[0];
  const found = exact ?? (device === "auto" ? any : undefined);
  if (found) return found;
  const known = tape.recordings.map((row) => `"${row.functionName}" on ${row.requested} (${row.device})`);
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot replay "${functionName}" on device "${device}": the tape has ${known.join(", ") || "nothing"}`,
  );
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

function block(ms: number): void {
  if (ms > 0) Atomics.wait(sleeper, 0, 0, ms);
}
