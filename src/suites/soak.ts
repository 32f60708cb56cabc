// soak: continuous inference for as long as asked, every answer held against its reference, with a verdict at the end.
// Runs, then returns a plain result; told by a checkpoint, it goes on where it was interrupted.

import { randomSource } from "../codecs/generate.ts";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { QuantileHistogram } from "../core/histogram.ts";
import { type HostCondition, readHostCondition } from "../engines/device.ts";
import type { LoadModelOptions } from "../runtime/session.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Probe, systemProbe } from "./machine.ts";
import type { SoakCheckpoint } from "./soak/checkpoint.ts";
import { callWithFault } from "./soak/faults.ts";
import { fitMemorySlope } from "./soak/memory.ts";
import { blockMsOf, SoakRecord } from "./soak/record.ts";
import { checkAgainst, loadOptionsOf, refer } from "./soak/prepare.ts";
import type { PoolLine, SeriesLine, SoakProgress } from "./soak/progress.ts";
import { findDifference } from "./soak/references.ts";
import { noReferences, type SoakAnswer, type SoakModel, type Subject } from "./soak/subject.ts";
import { describeSoak, makeCheckpoint, memoryLines, type SoakFacts } from "./soak/result.ts";
import type { FaultKind, SoakConfiguration, SoakResult } from "./soak/schema.ts";
import { type Answer, type Call, runWorkload } from "./workload.ts";

/** What soak needs of a session; Session is one. */
export interface SoakSession {
  load(path: string, options: LoadModelOptions): Promise<SoakModel>;
  settleCache?(): Promise<void>;
}

export type { PoolLine, SeriesLine, SoakProgress } from "./soak/progress.ts";
export type { SoakAnswer, SoakModel } from "./soak/subject.ts";

export interface SoakOptions {
  readonly models: readonly { readonly path: string; readonly name: string }[];
  readonly configuration: SoakConfiguration;
  /** Of the soak that is to be continued; made with the same models and configuration. */
  readonly before?: SoakCheckpoint | undefined;
  /** Ends the soak; the checkpoint that is made then can be continued. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: SoakProgress) => void) | undefined;
  readonly onSeries?: ((line: SeriesLine) => void) | undefined;
  /** Several times a soak, and at its end. */
  readonly onCheckpoint?: ((checkpoint: SoakCheckpoint) => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly probe?: Probe | undefined;
  /** Time that goes on while the machine sleeps. */
  readonly wallMs?: (() => number) | undefined;
  readonly readCondition?: (() => HostCondition) | undefined;
}

const progressEveryMs = 500;
const checkpointEveryMs = 1_000;
const longestTickMs = 1_000;
/** Who is refused at once would otherwise do nothing but call. */
const pauseAfterFailureMs = 10;
/** More than any timer is late: the machine slept, or its clock was set. */
const noticeableSleepMs = 2_000;

/**
 * Throws what loading and the first predictions throw; CRITERIA_FAILED where a model's answers are not the same each time,
 * or not those of the checkpoint; BAD_INPUT where the checkpoint is of something else.
 */
export async function runSoak(session: SoakSession, options: SoakOptions): Promise<SoakResult> {
  const { models, configuration, before, onProgress } = options;
  if (before !== undefined && before.elapsedMs >= configuration.durationMs) {
    throw new CoremlxError("BAD_INPUT", "Cannot continue the soak: it had come to its end", {
      hint: "Begin a new soak",
    });
  }
  await using loaded = new AsyncDisposableStack();
  const subjects: Subject[] = [];
  for (const { path, name } of models) {
    onProgress?.({ phase: "load", model: name });
    const model = loaded.use(await session.load(path, loadOptionsOf(name, options)));
    subjects.push({ path, name, model, typicalMs: 0, references: noReferences });
  }
  await session.settleCache?.();
  for (const [index, subject] of subjects.entries()) {
    onProgress?.({ phase: "references", model: subject.name });
    subject.references = await refer(subject, options);
    checkAgainst(before?.models[index], subject);
  }
  return await new Soak(subjects, options).run(); // the models are closed after it, not before
}

type Outcome =
  | { readonly kind: "answer"; readonly answer: SoakAnswer }
  | { readonly kind: "failure"; readonly error: unknown }
  | {
      readonly kind: "fault";
      readonly fault: FaultKind;
      readonly ending: string;
      readonly answer?: SoakAnswer;
    };
type SoakCall = Answer & Outcome & { readonly subject: number; readonly input: number };

class Soak {
  readonly #subjects: readonly Subject[];
  readonly #options: SoakOptions;
  readonly #clock: Clock;
  readonly #probe: Probe;
  readonly #wallMs: () => number;
  readonly #record: SoakRecord;
  readonly #facts: SoakFacts;
  readonly #next: () => number;
  readonly #recent = new QuantileHistogram();
  readonly #baseMs: number;
  #startMs: number | undefined;
  #wallAheadMs = 0;
  #checkpointedMs = Number.NEGATIVE_INFINITY;
  readonly #stop = new AbortController();
  #trouble: unknown;

  constructor(subjects: readonly Subject[], options: SoakOptions) {
    const { configuration, before } = options;
    this.#subjects = subjects;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#probe = options.probe ?? systemProbe;
    this.#wallMs = options.wallMs ?? Date.now;
    this.#baseMs = before?.elapsedMs ?? 0;
    const process = before?.processes.length ?? 0;
    this.#record = new SoakRecord({
      names: subjects.map(({ name }) => name),
      configuration,
      process,
      before,
    });
    this.#facts = { subjects, configuration, before, record: this.#record, startedAt: this.#isoNow() };
    // Another process of the same soak goes on with another mix, not with the same again.
    this.#next = randomSource(`soak/${configuration.seed}/${process}`);
  }

  async run(): Promise<SoakResult> {
    const { configuration, signal, onProgress } = this.#options;
    const { load, warmup, durationMs } = configuration;
    const tickMs = Math.min(longestTickMs, blockMsOf(configuration) / 10);
    using _tick = this.#clock.every(
      tickMs,
      this.#orStop(() => this.#tick()),
    );
    const tell = () => onProgress?.(this.#startMs === undefined ? { phase: "warm-up" } : this.#live());
    using _progress = this.#clock.every(progressEveryMs, this.#orStop(tell));
    const end = await runWorkload<SoakCall>({
      load,
      warmup: { count: warmup.count ?? undefined, durationMs: warmup.durationMs ?? undefined },
      measure: { durationMs: durationMs - this.#baseMs },
      clock: this.#clock,
      signal: signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]),
      send: () => this.#send(),
      onStart: (startMs) => this.#start(startMs),
      onCall: (call) => this.#take(call),
      onUncounted: (call) => this.#takeUncounted(call),
    });
    if (this.#stop.signal.aborted) throw this.#trouble;
    const measuredMs = this.#baseMs + (end.startMs === undefined ? 0 : Math.max(0, end.endMs - end.startMs));
    // The next call of an open load would have been due after the end: until then it lasts.
    const elapsedMs = end.isInterrupted ? measuredMs : Math.max(measuredMs, durationMs);
    this.#startMs = undefined; // no tick after the end
    const progress = { elapsedMs, unsent: end.unsent, isInterrupted: end.isInterrupted };
    this.#close(elapsedMs, { isEnd: true });
    const result = describeSoak(this.#facts, { ...progress, endedAt: this.#isoNow() });
    this.#options.onCheckpoint?.(
      makeCheckpoint(this.#facts, { ...progress, end: end.isInterrupted ? "interrupted" : "finished" }),
    );
    this.#options.onSeries?.({
      type: "end",
      at: this.#isoNow(),
      elapsedMs,
      outcome: result.verdict.outcome,
    });
    return result;
  }

  /** Nobody catches what a timer throws, a full disk for one: it ends the soak. */
  #orStop(work: () => void): () => void {
    return () => {
      try {
        work();
      } catch (error) {
        this.#trouble ??= error;
        this.#stop.abort();
      }
    };
  }

  #start(startMs: number): void {
    this.#startMs = startMs;
    this.#wallAheadMs = this.#wallMs() - this.#clock.now();
    this.#record.sample(this.#probe.rssBytes());
    this.#options.onSeries?.({ type: "start", at: this.#isoNow(), elapsedMs: this.#baseMs });
    this.#saveCheckpoint(this.#baseMs);
  }

  async #send(): Promise<SoakCall> {
    const { timeoutMs, faults, faultShare } = this.#options.configuration;
    const index = this.#draw(this.#subjects.length);
    const subject = this.#subjects[index];
    const input = this.#draw(subject?.references.inputs.length ?? 1);
    const values = subject?.references.inputs[input];
    if (subject === undefined || values === undefined) throw new CoremlxError("INTERNAL", "No such input");
    const base = { runMs: 0, subject: index, input };
    const fault = this.#luck() < faultShare ? faults[this.#draw(faults.length)] : undefined;
    if (fault !== undefined) {
      const afterMs = Math.max(0.01, this.#luck() * 2 * subject.typicalMs);
      const call = { kind: fault, inputs: values, timeoutMs, afterMs, clock: this.#clock };
      const ended = await callWithFault(call, (given, limits) => subject.model.predictLeased(given, limits));
      return { ...base, kind: "fault", fault, ...ended };
    }
    try {
      const answer = await subject.model.predictLeased(values, { timeoutMs });
      return { ...base, kind: "answer", answer, runMs: answer.runMs };
    } catch (error) {
      await this.#clock.sleepUntil(this.#clock.now() + pauseAfterFailureMs, this.#options.signal);
      return { ...base, kind: "failure", error };
    }
  }

  #take({ dueMs, endMs, answer: call, error }: Call<SoakCall>): void {
    if (call === undefined) return this.#record.addFailure(0, failureOf(error));
    const { subject, input } = call;
    const atMs = this.#baseMs + endMs - (this.#startMs ?? endMs);
    if (call.kind === "failure") return this.#record.addFailure(subject, failureOf(call.error));
    if (call.kind === "fault")
      this.#record.addFault(subject, call.fault, { ending: call.ending, atMs, input });
    const { answer } = call;
    if (answer === undefined) return;
    if (call.kind === "answer") {
      this.#record.addAnswer(subject, endMs - dueMs);
      this.#recent.add(endMs - dueMs);
    }
    this.#check(call, answer, atMs);
  }

  /** Of the warm-up, or after the end: no call of the measurement, and an answer that must be right all the same. */
  #takeUncounted(call: SoakCall): void {
    if (call.kind !== "failure" && call.answer) this.#check(call, call.answer, this.#baseMs);
  }

  #check({ subject, input }: SoakCall, answer: SoakAnswer, atMs: number): void {
    const difference = this.#compare(subject, input, answer);
    if (difference !== undefined) this.#record.addWrong(subject, { atMs, input, difference });
    answer[Symbol.dispose]();
  }

  #compare(subject: number, input: number, { outputs }: SoakAnswer): string | undefined {
    const references = this.#subjects[subject]?.references;
    const expected = references?.answers[input];
    return expected && findDifference(outputs, expected, references?.tolerance ?? 0);
  }

  #tick(): void {
    if (this.#startMs === undefined) return;
    const aheadMs = this.#wallMs() - this.#clock.now();
    if (Math.abs(aheadMs - this.#wallAheadMs) > noticeableSleepMs) this.#record.void();
    this.#wallAheadMs = aheadMs;
    this.#record.sample(this.#probe.rssBytes());
    const elapsedMs = this.#elapsedMs();
    // The last calls may end a little later, and belong to the last window.
    if (elapsedMs < this.#options.configuration.durationMs) this.#close(elapsedMs, { isEnd: false });
  }

  /** Of blocks and windows those that are over, or all. */
  #close(elapsedMs: number, { isEnd }: { readonly isEnd: boolean }): void {
    const { onSeries, readCondition = readHostCondition } = this.#options;
    const closed = this.#record.advance(elapsedMs, {
      isEnd,
      readCondition() {
        const { thermalState, powerSource } = readCondition();
        return { thermalState: thermalState ?? null, powerSource: powerSource ?? null, powerWatts: null };
      },
    });
    const at = this.#isoNow();
    if (closed.block) onSeries?.({ type: "block", at, ...closed.block, pools: this.#pools() });
    if (closed.window) {
      onSeries?.({ type: "window", at, ...closed.window });
      this.#recent.clear();
    }
    if (isEnd || !(closed.block ?? closed.window)) return;
    if (this.#clock.now() - this.#checkpointedMs >= checkpointEveryMs) this.#saveCheckpoint(elapsedMs);
  }

  #saveCheckpoint(elapsedMs: number): void {
    this.#checkpointedMs = this.#clock.now();
    this.#options.onCheckpoint?.(makeCheckpoint(this.#facts, { elapsedMs, unsent: 0, end: "running" }));
  }

  #live(): SoakProgress {
    const { totals, blocks } = this.#record;
    const elapsedMs = this.#elapsedMs();
    const sum = (count: "completed" | "failed" | "wrong") =>
      totals.reduce((total, model) => total + model[count], 0);
    const completed = sum("completed");
    const [p50Ms = 0, p99Ms = 0] = this.#recent.quantiles([0.5, 0.99]);
    return {
      phase: "measured",
      share: Math.min(1, elapsedMs / this.#options.configuration.durationMs),
      elapsedMs,
      completed,
      failed: sum("failed"),
      wrong: sum("wrong"),
      ratePerSecond: elapsedMs > 0 ? completed / (elapsedMs / 1_000) : 0,
      p50Ms,
      p99Ms,
      slopeBytesPerHour: fitMemorySlope(memoryLines(blocks))?.estimate,
      residentBytes: this.#probe.rssBytes(),
      pools: this.#pools(),
    };
  }

  #pools(): PoolLine[] {
    return this.#subjects.flatMap(({ name, model: { stats } }) => {
      if (stats === undefined) return [];
      const { instances, queue, breaker } = stats;
      const alive = instances.idle + instances.parked + instances.busy + instances.poisoned;
      return [{ model: name, breaker: breaker.state, busy: instances.busy, alive, waiting: queue.pending }];
    });
  }

  #elapsedMs(): number {
    return this.#baseMs + this.#clock.now() - (this.#startMs ?? this.#clock.now());
  }

  #luck(): number {
    return this.#next() / 2 ** 32;
  }

  #draw(count: number): number {
    return Math.floor(this.#luck() * count);
  }

  #isoNow(): string {
    return new Date(this.#wallMs()).toISOString();
  }
}

function failureOf(error: unknown): { readonly code: string; readonly message: string } {
  return { code: error instanceof CoremlxError ? error.code : "INTERNAL", message: messageOf(error) };
}
