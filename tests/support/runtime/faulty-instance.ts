// An instance over the real engine that misbehaves where the real one cannot be made to: a call that completes long
// after it was given up, having written to all it was lent, and a child process that dies in the middle of a run.

import { MemoryViews } from "../../../src/native/memory.ts";
import { type AheadRun, Instance } from "../../../src/runtime/pool/instance.ts";
import type { Isolation } from "../../../src/runtime/worker/channel.ts";
import type { Replies, Request, RunReply, SharedTensor } from "../../../src/runtime/worker/protocol.ts";

/** Values of the model's input "trips" (tests/support/fault-model.ts) that ask for more than the model does. */
export const lateTrips = -1;
export const crashTrips = 2_000_000_007;

/** Every byte of what a late completion was lent. As float32 and as int32 it is below zero, which no answer is. */
export const patternByte = 0xa5;

export interface FaultCounts {
  /** Late completions that have written their pattern, and the bytes they wrote. */
  late: number;
  patternBytes: number;
  crashes: number;
}

export interface FaultyInstanceOptions {
  readonly isolation: Isolation;
  readonly counts: FaultCounts;
  /** From when a late call is given up to its completion. */
  readonly lateMs: () => number;
  /** From the start of a run to the death of its process, and how it dies. */
  readonly crashMs: () => number;
  readonly signal: () => NodeJS.Signals;
}

export class FaultyInstance extends Instance {
  readonly #options: FaultyInstanceOptions;
  readonly #views = new MemoryViews();
  /** Told when the late call under way is given up. */
  #onGivenUp: (() => void) | undefined;

  constructor(options: FaultyInstanceOptions) {
    super(options.isolation);
    this.#options = options;
  }

  override call<T extends Request["type"]>(
    request: Extract<Request, { readonly type: T }>,
  ): Promise<Replies[T]> {
    if (asksForCrash(request)) this.#crash();
    return super.call<T>(request);
  }

  override run(inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): Promise<RunReply> {
    const reply = super.run(inputs, outputs);
    return this.#isLate(inputs) ? this.#completeLate([...inputs, ...outputs], reply) : reply;
  }

  /** Its thread is not done before the late one is, whatever the engine says. */
  override get mayRunAhead(): boolean {
    return this.#onGivenUp === undefined && super.mayRunAhead;
  }

  /** One that is to complete late cannot lie ready. */
  override runAhead(inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): AheadRun | undefined {
    return this.#isLate(inputs) ? undefined : super.runAhead(inputs, outputs);
  }

  /** Who completes late goes on, although nobody waits any more. */
  override cancel(): boolean {
    if (this.#onGivenUp === undefined) return super.cancel();
    this.#onGivenUp();
    return false;
  }

  #isLate(inputs: readonly SharedTensor[]): boolean {
    const trips = inputs.find(({ name }) => name === "trips");
    const value = trips && firstInteger(this.#views.at(trips.address, trips.byteLength));
    return value === lateTrips && this.sharesMemory;
  }

  #crash(): void {
    const { counts, crashMs, signal } = this.#options;
    setTimeout(() => {
      if (this.isEnded) return;
      counts.crashes++;
      process.kill(this.pid, signal());
    }, crashMs());
  }

  /** Writes until it completes, for until then native code may: first beside the engine, then to memory it should have lost. */
  async #completeLate<T>(lent: readonly SharedTensor[], reply: Promise<T>): Promise<T> {
    const { counts, lateMs } = this.#options;
    let untilMs = Number.POSITIVE_INFINITY;
    this.#onGivenUp = () => {
      untilMs = performance.now() + lateMs();
    };
    const outcome = await reply;
    while (performance.now() < untilMs) {
      for (const tensor of lent) counts.patternBytes += this.#deface(tensor);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.#onGivenUp = undefined;
    counts.late++;
    return outcome;
  }

  #deface({ address, byteLength }: SharedTensor): number {
    this.#views.at(address, byteLength).fill(patternByte);
    return byteLength;
  }
}

function asksForCrash(request: Request): boolean {
  const trips = request.type === "runCopies" ? request.inputs.get("trips") : undefined;
  return trips !== undefined && firstInteger(trips.bytes) === crashTrips;
}

function firstInteger(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true);
}
