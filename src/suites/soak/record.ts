// What happens in a soak, taken down call by call in bounded memory: totals, windows, blocks, failures.

import { QuantileHistogram } from "../../core/histogram.ts";
import { median } from "../stats.ts";
import type { SoakCheckpoint } from "./checkpoint.ts";
import { mayEnd } from "./faults.ts";
import type {
  FaultKind,
  ModelFigures,
  SoakBlock,
  SoakConfiguration,
  SoakResult,
  SoakWindow,
} from "./schema.ts";

type Failures = SoakResult["models"][number]["failures"];
type Note = SoakResult["wrongAnswers"][number];
type Condition = Pick<SoakWindow, "thermalState" | "powerSource" | "powerWatts">;

/** Trends are taken from about so many blocks, however long the soak is. */
const blocksPerSoak = 120;
const shortestBlockMs = 100;
const mostNotes = 10;
const mostCodes = 20;

export function blockMsOf({ durationMs }: SoakConfiguration): number {
  return Math.max(shortestBlockMs, durationMs / blocksPerSoak);
}

/** Counts since it was last emptied. */
class Tally {
  readonly latency = new QuantileHistogram();
  completed = 0;
  failed = 0;
  wrong = 0;

  get figures(): ModelFigures {
    const { completed, failed, wrong, latency } = this;
    const [p50Ms = 0, p99Ms = 0] = latency.quantiles([0.5, 0.99]);
    const quantiles = { p50Ms, p99Ms, maxMs: latency.max };
    const none = { p50Ms: null, p99Ms: null, maxMs: null };
    return { completed, failed, wrong, ...(latency.count > 0 ? quantiles : none) };
  }

  clear(): void {
    this.latency.clear();
    this.completed = 0;
    this.failed = 0;
    this.wrong = 0;
  }
}

/** Windows or blocks: a span of measured time that is closed where the next begins. */
class Span {
  readonly #lengthMs: number;
  readonly #tallies: readonly Tally[];
  readonly #process: number;
  #resident: number[] = [];
  #fromMs: number;
  #isVoid = false;

  constructor(options: { lengthMs: number; models: number; process: number; fromMs: number }) {
    this.#lengthMs = options.lengthMs;
    this.#tallies = Array.from({ length: options.models }, () => new Tally());
    this.#process = options.process;
    this.#fromMs = options.fromMs;
  }

  tally(model: number): Tally | undefined {
    return this.#tallies[model];
  }

  sample(bytes: number): void {
    this.#resident.push(bytes);
  }

  void(): void {
    this.#isVoid = true;
  }

  /** It ends at a multiple of its length. */
  isOver(atMs: number): boolean {
    return Math.floor(atMs / this.#lengthMs) > Math.floor(this.#fromMs / this.#lengthMs);
  }

  close(atMs: number): SoakBlock | undefined {
    if (atMs <= this.#fromMs) return undefined;
    const closed: SoakBlock = {
      fromMs: this.#fromMs,
      toMs: atMs,
      process: this.#process,
      isVoid: this.#isVoid,
      residentBytes: this.#resident.length === 0 ? null : Math.round(median(this.#resident)),
      models: this.#tallies.map(({ figures }) => figures),
    };
    for (const tally of this.#tallies) tally.clear();
    this.#resident = [];
    this.#fromMs = atMs;
    this.#isVoid = false;
    return closed;
  }
}

interface Total extends Pick<ModelFigures, "completed" | "failed" | "wrong"> {
  readonly latency: QuantileHistogram;
  readonly failures: Map<string, Failures[number]>;
}

/** Goes on from a checkpoint where there is one. Times are measured time since the soak began. */
export class SoakRecord {
  readonly totals: readonly Total[];
  readonly windows: SoakWindow[];
  readonly blocks: SoakBlock[];
  readonly wrongAnswers: Note[];
  readonly oddFaults: Note[];
  readonly #names: readonly string[];
  readonly #faults = new Map<FaultKind, { calls: number; odd: number; endings: Map<string, number> }>();
  readonly #window: Span;
  readonly #block: Span;
  #peakBytes: number;

  constructor(options: {
    readonly names: readonly string[];
    readonly configuration: SoakConfiguration;
    readonly process: number;
    readonly before: SoakCheckpoint | undefined;
  }) {
    const { names, configuration, process, before } = options;
    this.#names = names;
    this.totals = names.map((_, index) => totalFrom(before?.models[index]));
    this.windows = [...(before?.windows ?? [])];
    this.blocks = [...(before?.blocks ?? [])];
    this.wrongAnswers = [...(before?.wrongAnswers ?? [])];
    this.oddFaults = [...(before?.oddFaults ?? [])];
    for (const kind of configuration.faults) this.#faults.set(kind, { calls: 0, odd: 0, endings: new Map() });
    for (const { kind, calls, odd, endings } of before?.faults ?? []) {
      this.#faults.set(kind, { calls, odd, endings: new Map(Object.entries(endings)) });
    }
    this.#peakBytes = before?.peakBytes ?? 0;
    const span = { models: names.length, process, fromMs: before?.elapsedMs ?? 0 };
    this.#window = new Span({ ...span, lengthMs: configuration.summaryEveryMs });
    this.#block = new Span({ ...span, lengthMs: blockMsOf(configuration) });
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  get faults(): SoakResult["faults"] {
    return [...this.#faults].map(([kind, { calls, odd, endings }]) => {
      return { kind, calls, odd, endings: Object.fromEntries(endings) };
    });
  }

  addAnswer(model: number, latencyMs: number): void {
    for (const tally of this.#tallies(model)) {
      tally.completed++;
      tally.latency.add(latencyMs);
    }
  }

  addFailure(model: number, { code, message }: { readonly code: string; readonly message: string }): void {
    for (const tally of this.#tallies(model)) tally.failed++;
    const failures = this.totals[model]?.failures;
    const known = failures?.get(code);
    if (known !== undefined) known.count++;
    else if (failures && failures.size < mostCodes) failures.set(code, { code, count: 1, message });
  }

  /** An answer that was added as one, and is not right. */
  addWrong(model: number, note: Omit<Note, "model">): void {
    for (const tally of this.#tallies(model)) tally.wrong++;
    if (this.wrongAnswers.length < mostNotes) this.wrongAnswers.push({ model: this.#nameOf(model), ...note });
  }

  addFault(
    model: number,
    kind: FaultKind,
    { ending, atMs, input }: { readonly ending: string; readonly atMs: number; readonly input: number },
  ): void {
    const fault = this.#faults.get(kind);
    if (fault === undefined) return;
    fault.calls++;
    fault.endings.set(ending, (fault.endings.get(ending) ?? 0) + 1);
    if (mayEnd(kind, ending)) return;
    fault.odd++;
    const note = { model: this.#nameOf(model), atMs, input, difference: `${kind} ended with ${ending}` };
    if (this.oddFaults.length < mostNotes) this.oddFaults.push(note);
  }

  sample(residentBytes: number): void {
    this.#peakBytes = Math.max(this.#peakBytes, residentBytes);
    this.#window.sample(residentBytes);
    this.#block.sample(residentBytes);
  }

  /** What is being measured now is not to be judged. */
  void(): void {
    this.#window.void();
    this.#block.void();
  }

  /** Closes what is over, or everything. Gives what was closed. */
  advance(
    atMs: number,
    options: { readonly isEnd: boolean; readCondition(): Condition },
  ): { readonly block: SoakBlock | undefined; readonly window: SoakWindow | undefined } {
    const { isEnd } = options;
    const block = isEnd || this.#block.isOver(atMs) ? this.#block.close(atMs) : undefined;
    if (block) this.blocks.push(block);
    const span = isEnd || this.#window.isOver(atMs) ? this.#window.close(atMs) : undefined;
    const window = span && { ...span, ...options.readCondition() };
    if (window) this.windows.push(window);
    return { block, window };
  }

  #tallies(model: number): (Total | Tally)[] {
    const tallies = [this.totals[model], this.#window.tally(model), this.#block.tally(model)];
    return tallies.filter((tally) => tally !== undefined);
  }

  #nameOf(model: number): string {
    return this.#names[model] ?? `${model}`;
  }
}

function totalFrom(saved: SoakCheckpoint["models"][number] | undefined): Total {
  if (saved === undefined) {
    return { completed: 0, failed: 0, wrong: 0, latency: new QuantileHistogram(), failures: new Map() };
  }
  const { completed, failed, wrong } = saved;
  const failures = new Map(saved.failures.map((failure) => [failure.code, { ...failure }]));
  return { completed, failed, wrong, latency: QuantileHistogram.fromJSON(saved.latency), failures };
}
