// Callers who each wait for their answer and call again, some of them with a fault in the call. Every answer is held
// against the call it was given to, and every call against the ways it may end.

import { CoremlxError } from "../../../src/core/errors.ts";
import { type FeatureValues, isTensor, tensorOf, type Tensor, zeros } from "../../../src/core/tensor.ts";
import { randomSource } from "../../../src/codecs/generate.ts";
import type { Prediction, Session, SessionModel } from "../../../src/runtime/session.ts";
import { tableSize } from "../fault-model.ts";
import { crashTrips, lateTrips, patternByte } from "./faulty-instance.ts";

/**
 * hang: a loop without an end, until it is stopped. error: a look-up of what is not there. late: completes long after
 * it was given up, and writes a pattern then. kernel: given up at any moment of a kernel that does not stop for that.
 * crash: the process that runs it dies.
 */
export type Fault = "hang" | "error" | "late" | "kernel" | "crash";
type Kind = Fault | "normal";

export interface FaultLoadOptions {
  readonly model: SessionModel;
  /** Side of the model's square input (tests/support/fault-model.ts). */
  readonly size: number;
  readonly callers: number;
  /** Callers send nothing new after that. */
  readonly durationMs: number;
  /** Default: no limit. */
  readonly calls?: number | undefined;
  /** How many of all calls have it, 0 to 1. */
  readonly share: Readonly<Partial<Record<Fault, number>>>;
  readonly seed: number;
}

export interface FaultTally {
  readonly calls: number;
  readonly answered: number;
  /** How calls of each kind ended: "answered", or an error's code. */
  readonly endings: Readonly<Record<Kind, Readonly<Record<string, number>>>>;
  /** Answers that are another call's, or nobody's. */
  readonly wrong: readonly string[];
  /** Answers with bytes of a late completion. */
  readonly defaced: readonly string[];
  /** Calls that did not settle long after their deadline. */
  readonly lost: readonly string[];
  /** Endings that the call gave no reason for. */
  readonly odd: readonly string[];
}

const endless = 1_000_000_000;
const patienceMs: Readonly<Record<Kind, number>> = {
  normal: 5_000,
  hang: 200,
  error: 5_000,
  late: 200,
  kernel: 12,
  crash: 5_000,
};
const endingsOf: Readonly<Record<Kind, readonly string[]>> = {
  normal: ["answered"],
  hang: ["DEADLINE"],
  error: ["NATIVE"],
  late: ["DEADLINE"],
  kernel: ["answered", "DEADLINE"],
  crash: ["NATIVE"],
};
/** After its deadline a call must have settled within this, on however busy a machine. */
const lostAfterMs = 10_000;
const mostNoted = 10;

export async function loadWithFaults(options: FaultLoadOptions): Promise<FaultTally> {
  const tally = new Tally();
  const next = randomSource(`faults/${options.seed}`);
  const endMs = performance.now() + options.durationMs;
  const { calls = Number.POSITIVE_INFINITY } = options;
  let id = 0;
  const caller = async () => {
    const own = zeros("float32", [options.size, options.size]);
    while (performance.now() < endMs && id < calls) {
      const kind = pickKind(options.share, next() / 2 ** 32);
      // Large arrays are lent as they are: one that a late completion defaces is not used again.
      const x = kind === "late" ? zeros("float32", own.shape) : own;
      await makeCall(options.model, { id: ++id, kind, x, luck: next() / 2 ** 32 }, tally);
    }
  };
  await Promise.all(Array.from({ length: options.callers }, caller));
  const { answered, endings, wrong, defaced, lost, odd } = tally;
  return { calls: id, answered, endings, wrong, defaced, lost, odd };
}

/** What is not where it belongs once every call is over: nothing, when all has come back. */
export function strays(session: Session, model: SessionModel): Readonly<Record<string, number>> {
  const { stats } = session;
  const { instances, queue } = model.stats;
  const found = {
    "busy instances": instances.busy,
    "poisoned instances": instances.poisoned,
    "abandoned threads": instances.abandonedThreads,
    "waiting calls": queue.pending,
    "lent buffers": stats.bufferPool?.lentCount ?? Number.NaN,
    "buffers in quarantine": stats.bufferPool?.quarantinedCount ?? Number.NaN,
    "lent files": stats.outputs?.lent ?? Number.NaN,
    "files in quarantine": stats.outputs?.quarantined ?? Number.NaN,
  };
  return Object.fromEntries(Object.entries(found).filter(([, count]) => count !== 0));
}

/** Waits until all has come back, late completions included; false when it has not within that time. */
export async function untilReturned(
  session: Session,
  model: SessionModel,
  withinMs: number,
): Promise<boolean> {
  const endMs = performance.now() + withinMs;
  while (Object.keys(strays(session, model)).length > 0) {
    if (performance.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}

function pickKind(share: FaultLoadOptions["share"], luck: number): Kind {
  let left = luck;
  for (const kind of ["hang", "error", "late", "kernel", "crash"] as const) {
    left -= share[kind] ?? 0;
    if (left < 0) return kind;
  }
  return "normal";
}

interface Call {
  readonly id: number;
  readonly kind: Kind;
  /** The caller's own: its values are replaced for each call. */
  readonly x: Tensor;
  readonly luck: number;
}

async function makeCall(model: SessionModel, call: Call, tally: Tally): Promise<void> {
  const { id, kind, x, luck } = call;
  const trips = { hang: endless, late: lateTrips, crash: crashTrips }[kind as string] ?? id % 5;
  const index = kind === "error" ? tableSize + (id % 100) : id % tableSize;
  floatsOf(x).fill(id);
  const inputs = new Map([
    ["x", x],
    ["trips", tensorOf("int32", [trips])],
    ["index", tensorOf("int32", [index])],
  ]);
  // A kernel is given up at any moment of its run. What is to be given up while it runs goes first in the queue.
  const timeoutMs = kind === "kernel" ? 1 + luck * patienceMs.kernel : patienceMs[kind];
  const callOptions = { timeoutMs, priority: timeoutMs < patienceMs.normal ? 1 : 0 };
  // Every other answer lies in memory of the pools, the rest in memory of its own.
  const isLeased = id % 2 === 0;
  const prediction = isLeased
    ? model.predictLeased(inputs, callOptions)
    : model.predictTimed(inputs, callOptions);
  const what = `${kind} call ${id}`;
  let ending: string;
  try {
    const answer = await orLost<Prediction & Partial<Disposable>>(prediction, timeoutMs + lostAfterMs);
    if (answer === undefined) {
      tally.note("lost", what);
      return;
    }
    const { outputs } = answer;
    ending = "answered";
    tally.answered++;
    if (isDefaced(outputs)) tally.note("defaced", what);
    else if (!isAnswerTo({ x, trips, index }, outputs)) tally.note("wrong", what);
    answer[Symbol.dispose]?.();
  } catch (error) {
    ending = error instanceof CoremlxError ? error.code : String(error);
    if (!endingsOf[kind].includes(ending)) tally.note("odd", `${what}: ${String(error)}`);
  }
  if (ending === "answered" && !endingsOf[kind].includes(ending)) tally.note("odd", `${what} was answered`);
  tally.count(kind, ending);
}

class Tally {
  answered = 0;
  readonly endings: Record<Kind, Record<string, number>> = {
    normal: {},
    hang: {},
    error: {},
    late: {},
    kernel: {},
    crash: {},
  };
  readonly wrong: string[] = [];
  readonly defaced: string[] = [];
  readonly lost: string[] = [];
  readonly odd: string[] = [];

  note(where: "wrong" | "defaced" | "lost" | "odd", what: string): void {
    if (this[where].length < mostNoted) this[where].push(what);
  }

  count(kind: Kind, ending: string): void {
    this.endings[kind][ending] = (this.endings[kind][ending] ?? 0) + 1;
  }
}

/** `undefined`: not settled within that time. */
async function orLost<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function isAnswerTo(
  { x, trips, index }: { readonly x: Tensor; readonly trips: number; readonly index: number },
  outputs: FeatureValues,
): boolean {
  const [y, steps, picked] = ["y", "steps", "picked"].map((name) => bytesOf(outputs, name));
  if (y === undefined || firstInteger(steps) !== Math.max(trips, 0) || firstInteger(picked) !== index)
    return false;
  return Buffer.compare(y, x.bytes) === 0;
}

/** Any four bytes of the pattern in a row are a number that no answer has. */
function isDefaced(outputs: FeatureValues): boolean {
  const pattern = patternByte * 0x01010101;
  return [...outputs.keys()].some((name) => {
    const bytes = bytesOf(outputs, name);
    return (
      bytes !== undefined &&
      new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4).includes(pattern)
    );
  });
}

function bytesOf(outputs: FeatureValues, name: string): Uint8Array<ArrayBufferLike> | undefined {
  const value = outputs.get(name);
  return value !== undefined && isTensor(value) ? value.bytes : undefined;
}

function firstInteger(bytes: Uint8Array<ArrayBufferLike> | undefined): number | undefined {
  return bytes && new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true);
}

function floatsOf({ bytes }: Tensor): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
