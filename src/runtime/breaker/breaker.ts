// Spares a model's engine when it keeps failing, and callers the wait for it. cockatiel's policy is the state machine;
// time, admission and what counts are ours: the policy reads the wall clock, lets surplus callers wait for a probe's
// outcome, and takes a probe that was cancelled for a healthy one.

import { CircuitState, circuitBreaker, type CircuitBreakerPolicy, handleAll } from "cockatiel";
import { CoremlxError } from "../../core/errors.ts";
import { BreakerEvidence, type EvidenceSnapshot, windowSlices } from "./breaker-evidence.ts";
import { isEngineFault } from "./breaker-faults.ts";
import {
  type BreakerControl,
  type BreakerLimits,
  type BreakerOptions,
  type BreakerSnapshot,
  type BreakerState,
  type BreakerStats,
  breakerLimits,
  maxAttempts,
  parseBreakerSnapshot,
} from "./breaker-options.ts";

export {
  breakerDefaults,
  type BreakerControl,
  type BreakerLimits,
  type BreakerOptions,
  type BreakerSnapshot,
  type BreakerState,
  type BreakerStats,
} from "./breaker-options.ts";

/** Leave to make one call. Whoever got it hands it back to `success` or `failure`, once. */
export interface BreakerPass {
  /** One of the few calls that find out whether the engine is well again. */
  readonly isProbe: boolean;
}

/**
 * One of the calls the half-open policy waits for. Its outcome comes from whichever pass holds it: a probe that says
 * nothing about the engine hands its slot on.
 */
interface Slot {
  holder: "nobody" | "settled" | BreakerPass;
  heldSince: number;
  readonly settle: (failure?: Failure) => void;
  /** The policy has taken note of the outcome. */
  readonly noted: Promise<void>;
}

interface Failure {
  readonly error: unknown;
}

const probeUnderWayRetryMs = 1_000;

const stateNames: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: "closed",
  [CircuitState.Open]: "open",
  [CircuitState.HalfOpen]: "half-open",
  [CircuitState.Isolated]: "open",
};

/**
 * Closed, it lets every call through; open, none; half-open, a few probes. Outcomes of calls that were let through
 * before the last change of state are ignored. A change of state follows its outcome within a few microtasks (`run`
 * waits for them). While closed a call costs 0.2 us with `before` and `success`, 0.5 us at most with `run`. Invariant:
 * while half-open at most `probes` passes are out, each holding a slot of its own.
 */
export class ModelBreaker implements BreakerControl {
  readonly #options: BreakerOptions;
  readonly #limits: BreakerLimits;
  readonly #now: () => number;
  readonly #epochNow: () => number;
  readonly #isFault: (error: unknown) => boolean;
  #evidence: BreakerEvidence;
  #policy: CircuitBreakerPolicy;
  #state: BreakerState = "closed";
  /** Its identity tells whether an outcome is of the present closed period. */
  #closedPass: BreakerPass = { isProbe: false };
  #slots: Slot[] = [];
  #isHeld = false;
  #openUntil = 0;
  #attempts = 0;
  #reason: string | undefined;
  #sinceEpochMs: number;
  #trips = 0;
  #rejections = 0;
  #probes = 0;

  /** Throws USAGE for numbers that make no breaker. */
  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#limits = breakerLimits(options);
    this.#now = options.now ?? (() => performance.now());
    this.#epochNow = options.epochNow ?? Date.now;
    this.#isFault = options.isFault ?? isEngineFault;
    this.#sinceEpochMs = this.#epochNow();
    this.#evidence = this.#newEvidence();
    this.#policy = this.#newPolicy();
  }

  get state(): BreakerState {
    return this.#state;
  }

  get stats(): BreakerStats {
    return {
      state: this.#state,
      sinceEpochMs: this.#sinceEpochMs,
      trips: this.#trips,
      rejections: this.#rejections,
      probes: this.#probes,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(this.#state === "closed" ? {} : { retryAfterMs: this.#retryAfterMs() }),
    };
  }

  /** Makes the call if it may be made, and takes its outcome. Errors: those of `before` and of `work`. */
  async run<T>(work: (pass: BreakerPass) => Promise<T>): Promise<T> {
    const pass = this.before();
    let result: T;
    try {
      result = await work(pass);
    } catch (error) {
      await this.#fail(pass, error);
      throw error;
    }
    const noted = this.#succeed(pass);
    if (noted !== undefined) await noted;
    return result;
  }

  /** Leave to make a call. Throws UNAVAILABLE, with `details.retryAfterMs`, while there is none. */
  before(): BreakerPass {
    return this.#state === "closed" ? this.#closedPass : this.#admitProbe();
  }

  success(pass: BreakerPass): void {
    void this.#succeed(pass);
  }

  /** Also for failures that do not count: they give a probe's slot to the next call. */
  failure(pass: BreakerPass, error: unknown): void {
    void this.#fail(pass, error);
  }

  /** Opens it as faults do, with probes later: for what calls cannot tell. Nothing where it is open already. */
  open(reason: string): void {
    if (this.#state === "open") return;
    const { state } = this.#evidence;
    this.#evidence = this.#newEvidence(); // calls under way no longer count
    this.#policy = this.#newPolicy({
      ownState: { value: CircuitState.Open, openedAt: 0, attemptNo: 1 },
      breakerState: state,
    });
    this.#enterOpen(reason);
  }

  /** Opens it until `reset`, without probes. A second trip changes nothing. */
  trip(reason: string): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    const wasOpen = this.#state === "open";
    this.#policy.isolate();
    this.#enter("open", reason, wasOpen ? 0 : 1);
  }

  /** Closes it and forgets every fault, also those of calls under way; the counts stay. */
  reset(): void {
    const wasClosed = this.#state === "closed";
    this.#isHeld = false;
    this.#evidence = this.#newEvidence();
    this.#policy = this.#newPolicy();
    if (wasClosed) this.#closedPass = { isProbe: false };
    else this.#enter("closed", undefined, 0);
  }

  save(): BreakerSnapshot {
    return {
      schemaVersion: 1,
      savedAtEpochMs: this.#epochNow(),
      state: this.#state === "closed" ? "closed" : "open",
      sinceEpochMs: this.#sinceEpochMs,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      isHeld: this.#isHeld,
      openForMs: this.#state === "open" ? Math.max(0, this.#openUntil - this.#now()) : 0,
      attempts: Math.min(this.#attempts, maxAttempts),
      evidence: this.#evidence.state,
      trips: this.#trips,
      rejections: this.#rejections,
      probes: this.#probes,
    };
  }

  /**
   * Goes on where the saved one was, less the time since then. Calls under way no longer count. Throws BAD_INPUT for
   * anything that `save` cannot have made.
   */
  restore(value: unknown): void {
    const snapshot = parseBreakerSnapshot(value);
    const elapsedMs = Math.max(0, this.#epochNow() - snapshot.savedAtEpochMs);
    this.#isHeld = snapshot.isHeld;
    this.#evidence = this.#newEvidence();
    this.#policy = this.#newPolicy({
      ownState:
        snapshot.state === "closed"
          ? { value: CircuitState.Closed }
          : { value: CircuitState.Open, openedAt: 0, attemptNo: 1 },
      breakerState: agedEvidence(snapshot.evidence, elapsedMs / (this.#limits.windowMs / windowSlices)),
    });
    if (this.#isHeld) this.#policy.isolate();
    this.#enter(snapshot.isHeld ? "open" : snapshot.state, snapshot.reason, 0);
    this.#attempts = snapshot.attempts;
    this.#openUntil =
      this.#now() + Math.max(0, Math.min(snapshot.openForMs, this.#limits.maxOpenMs) - elapsedMs);
    this.#sinceEpochMs = snapshot.sinceEpochMs;
    this.#trips = snapshot.trips;
    this.#rejections = snapshot.rejections;
    this.#probes = snapshot.probes;
  }

  #newEvidence(): BreakerEvidence {
    return new BreakerEvidence({ ...this.#limits, now: this.#now });
  }

  #newPolicy(initialState?: unknown): CircuitBreakerPolicy {
    const policy = circuitBreaker(handleAll, {
      breaker: this.#evidence,
      halfOpenAfter: Number.NEGATIVE_INFINITY, // at once: when it may, we decide
      halfOpenSampling: { calls: this.#limits.probes, threshold: 0 },
      ...(initialState === undefined ? {} : { initialState }),
    });
    policy.onStateChange((state) => {
      if (policy === this.#policy && state !== CircuitState.Isolated) this.#follow(stateNames[state]);
    });
    return policy;
  }

  #follow(state: BreakerState): void {
    if (state === "closed") return this.#enter(state, undefined, 0);
    if (state === "half-open") return this.#enter(state, this.#reason, 0);
    this.#enterOpen(this.#state === "half-open" ? "a probe failed" : this.#evidence.describe());
  }

  #enterOpen(reason: string): void {
    this.#attempts = this.#state === "half-open" ? this.#attempts + 1 : 1;
    const { openMs, maxOpenMs } = this.#limits;
    this.#openUntil = this.#now() + Math.min(maxOpenMs, openMs * 2 ** (this.#attempts - 1));
    this.#enter("open", reason, 1);
    this.#options.onOpen?.();
  }

  #enter(state: BreakerState, reason: string | undefined, trips: number): void {
    this.#state = state;
    this.#reason = reason;
    this.#trips += trips;
    this.#closedPass = { isProbe: false };
    this.#slots = [];
    this.#sinceEpochMs = this.#epochNow();
    const { telemetry, model } = this.#options;
    if (state === "closed") telemetry?.log("info", "circuit breaker closed", { model });
    else if (state === "half-open") telemetry?.log("info", "circuit breaker half-open", { model, reason });
    else {
      const retryAfterMs = this.#retryAfterMs();
      telemetry?.log("warn", "circuit breaker open", { model, reason, retryAfterMs });
    }
  }

  #succeed(pass: BreakerPass): Promise<void> | undefined {
    if (pass !== this.#closedPass) return this.#settle(pass);
    this.#evidence.success(CircuitState.Closed);
    return undefined;
  }

  #fail(pass: BreakerPass, error: unknown): Promise<void> | undefined {
    if (!this.#isFault(error)) {
      const slot = this.#slotOf(pass);
      if (slot !== undefined) slot.holder = "nobody";
      return undefined;
    }
    if (pass !== this.#closedPass) return this.#settle(pass, { error });
    return this.#tell(Promise.reject(error));
  }

  /** Gives the policy the outcome of a call that it did not make. */
  async #tell(outcome: Promise<void>): Promise<void> {
    try {
      await this.#policy.execute(() => outcome);
    } catch {
      // the outcome itself, which the caller of the model gets from us
    }
  }

  #slotOf(pass: BreakerPass): Slot | undefined {
    return this.#slots.find((slot) => slot.holder === pass);
  }

  #settle(pass: BreakerPass, failure?: Failure): Promise<void> | undefined {
    const slot = this.#slotOf(pass);
    if (slot === undefined) return undefined; // of an earlier period
    slot.holder = "settled";
    slot.settle(failure);
    return slot.noted;
  }

  #admitProbe(): BreakerPass {
    const now = this.#now();
    const isDue = !this.#isHeld && (this.#state === "half-open" || now >= this.#openUntil);
    const free = this.#slots.find(({ holder }) => holder === "nobody");
    const isFull = free === undefined && this.#slots.length >= this.#limits.probes;
    if (this.#expireProbes(now) || !isDue || isFull) throw this.#refusal();
    const slot = free ?? this.#newSlot();
    const pass: BreakerPass = { isProbe: true };
    slot.holder = pass;
    slot.heldSince = now;
    this.#probes++;
    return pass;
  }

  /** Takes the policy to half-open if it is not there yet. */
  #newSlot(): Slot {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const noted = this.#tell(promise);
    const settle = (failure?: Failure) => (failure === undefined ? resolve() : reject(failure.error));
    const slot: Slot = { holder: "nobody", heldSince: 0, settle, noted };
    this.#slots.push(slot);
    return slot;
  }

  /** A probe nobody will ever hear of must not keep the breaker half-open for good. True when there was one. */
  #expireProbes(now: number): boolean {
    const { probeLimitMs } = this.#limits;
    const lost = this.#slots.find(({ holder, heldSince }) => {
      return typeof holder !== "string" && now - heldSince >= probeLimitMs;
    });
    if (lost === undefined || typeof lost.holder === "string") return false;
    const message = `Cannot wait for the probe of "${this.#options.model}": no outcome in ${probeLimitMs} ms`;
    void this.#settle(lost.holder, { error: new CoremlxError("DEADLINE", message) });
    return true;
  }

  #retryAfterMs(): number {
    if (this.#isHeld) return this.#limits.openMs; // a guess: it ends when somebody calls reset
    if (this.#state === "half-open") return probeUnderWayRetryMs;
    return Math.max(0, Math.ceil(this.#openUntil - this.#now()));
  }

  #refusal(): CoremlxError {
    this.#rejections++;
    const retryAfterMs = this.#retryAfterMs();
    const what = this.#state === "half-open" ? "tries whether the engine is well again" : "is open";
    const why = this.#reason === undefined ? "" : ` (${this.#reason})`;
    const wait = retryAfterMs < 1_000 ? `${retryAfterMs} ms` : `${Math.ceil(retryAfterMs / 1_000)} s`;
    return new CoremlxError(
      "UNAVAILABLE",
      `Cannot run "${this.#options.model}": its circuit breaker ${what}${why}`,
      {
        hint: `Try again in ${wait}`,
        details: { stage: "breaker", state: this.#state, reason: this.#reason, retryAfterMs },
      },
    );
  }
}

/** As if `slices` of the window had passed. */
function agedEvidence({ consecutive, slices }: EvidenceSnapshot, passed: number): EvidenceSnapshot {
  const moved = slices.map((slice) => ({ ...slice, age: slice.age + Math.floor(passed) }));
  return { consecutive, slices: moved.filter(({ age }) => age < windowSlices) };
}
