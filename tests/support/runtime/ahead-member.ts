// An instance for pools in tests that takes a second run behind the one under way, as a thread with a mailbox does: what its
// worker does and what is heard of it are steps of the test's own.

import { CoremlxError } from "../../../src/core/errors.ts";
import type { InstanceLease, PreparedRun } from "../../../src/runtime/pool/model-pool.ts";
import { Member } from "./pool-member.ts";

export interface FakeRun {
  readonly name: string;
  readonly reply: Promise<void>;
  isCancelled: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

export class AheadMember extends Member {
  /** What its worker began, in order. */
  readonly begun: string[] = [];
  onBegin: ((name: string) => void) | undefined;
  /** The worker is at it. */
  current: FakeRun | undefined;
  /** Lies ready. */
  ready: FakeRun | undefined;
  /** Over; the answers are on their way. */
  readonly #answered: FakeRun[] = [];

  get mayRunAhead(): boolean {
    return (
      !this.isEnded &&
      this.ready === undefined &&
      this.#answered.length + (this.current === undefined ? 0 : 1) === 1
    );
  }

  /** For who has the lease. */
  run(name: string): FakeRun {
    if (this.current || this.ready || this.#answered.length > 0)
      throw new Error(`${this.name} is at work, and was given ${name}`);
    const run = openRun(name);
    if (this.isEnded) run.reject(hasEnded());
    else this.#begin(run);
    return run;
  }

  runAhead(name: string): (PreparedRun & { readonly run: FakeRun }) | undefined {
    if (!this.mayRunAhead) return undefined;
    const run = openRun(name);
    // Its answer before may be on its way while the worker is free already.
    if (this.current === undefined) this.#begin(run);
    else this.ready = run;
    return {
      run,
      withdraw: () => {
        if (this.ready !== run) return false;
        this.ready = undefined;
        return true;
      },
      abandon: () => {
        run.isCancelled = true;
        return run.reply.catch(() => {});
      },
    };
  }

  /** The worker is done with what it is at, and goes on. */
  work(): void {
    if (this.current === undefined) return;
    this.#answered.push(this.current);
    this.current = undefined;
    if (this.ready) this.#begin(this.ready);
  }

  /** The oldest answer is heard. */
  hear(): void {
    this.#answered.shift()?.resolve();
  }

  /** Both. */
  finish(): void {
    this.work();
    this.hear();
  }

  /** Its thread ends; what it had not begun can still be taken back. */
  die(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    const lost = [...this.#answered.splice(0), ...(this.current ? [this.current] : [])];
    this.current = undefined;
    for (const run of lost) run.reject(hasEnded());
    this.onEnd?.();
  }

  #begin(run: FakeRun): void {
    this.current = run;
    if (this.ready === run) this.ready = undefined;
    this.begun.push(run.name);
    this.onBegin?.(run.name);
  }
}

/** A caller of a pool, from its waiting to its end. */
export class FakeCall {
  readonly name: string;
  state: "waiting" | "running" | "done" | "failed" = "waiting";
  error: unknown;
  lease: InstanceLease<AheadMember> | undefined;
  #ahead: FakeRun | undefined;
  #run: FakeRun | undefined;
  #settled = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** How often it ended: more than once is a mistake of the pool. */
  get timesSettled(): number {
    return this.#settled;
  }

  prepare = (member: AheadMember): PreparedRun | undefined => {
    const ahead = member.runAhead(this.name);
    this.#ahead = ahead?.run;
    return ahead;
  };

  async follow(acquired: Promise<InstanceLease<AheadMember>>): Promise<void> {
    try {
      const lease = await acquired;
      this.lease = lease;
      this.state = "running";
      this.#run = lease.prepared ? this.#ahead : lease.instance.run(this.name);
      await this.#run?.reply;
      if (this.state !== "running") return;
      this.#settle("done");
      lease[Symbol.dispose]();
    } catch (error) {
      if (this.state === "failed") return;
      this.error = error;
      this.#settle("failed");
      this.lease?.[Symbol.dispose]();
    }
  }

  /** Its caller stops waiting for its run. */
  abandon(onOver: () => void = () => {}): void {
    const run = this.#run;
    if (this.state !== "running" || run === undefined) return;
    this.#settle("failed");
    run.isCancelled = true;
    this.lease?.abandon(run.reply, onOver);
  }

  #settle(state: "done" | "failed"): void {
    this.state = state;
    this.#settled++;
  }
}

function openRun(name: string): FakeRun {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => {});
  return { name, reply: promise, isCancelled: false, resolve, reject };
}

function hasEnded(): CoremlxError {
  return new CoremlxError("UNAVAILABLE", "The worker has ended");
}
