// A circuit breaker as its rules read, without cockatiel and without a thought for speed: it remembers every call.

import type { BreakerLimits, BreakerState } from "../../src/runtime/breaker/breaker.ts";

export type Outcome = "success" | "fault" | "neutral";

export interface ReferenceCall {
  readonly period: number;
  readonly isProbe: boolean;
}

export class ReferenceBreaker {
  readonly #limits: BreakerLimits;
  readonly #now: () => number;
  state: BreakerState = "closed";
  trips = 0;
  rejections = 0;
  probes = 0;
  #period = 0;
  #isHeld = false;
  #attempts = 0;
  #openUntil = 0;
  #row = 0;
  #calls: { readonly at: number; readonly isFault: boolean }[] = [];
  #probing = new Map<ReferenceCall, number>();
  #probesWon = 0;

  constructor(limits: BreakerLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get retryAfterMs(): number | undefined {
    if (this.state === "closed") return undefined;
    if (this.#isHeld) return this.#limits.openMs;
    return this.state === "half-open" ? 1_000 : Math.max(0, Math.ceil(this.#openUntil - this.#now()));
  }

  /** Undefined: refused. */
  begin(): ReferenceCall | undefined {
    const now = this.#now();
    if (this.state === "closed") return { period: this.#period, isProbe: false };
    if (this.#isHeld || (this.state === "open" && now < this.#openUntil)) return this.#refuse();
    if (this.state === "open") this.#go("half-open");
    if ([...this.#probing.values()].some((since) => now - since >= this.#limits.probeLimitMs)) {
      this.#open(this.#attempts + 1);
      return this.#refuse();
    }
    if (this.#probing.size + this.#probesWon >= this.#limits.probes) return this.#refuse();
    const call = { period: this.#period, isProbe: true };
    this.#probing.set(call, now);
    this.probes++;
    return call;
  }

  end(call: ReferenceCall, outcome: Outcome): void {
    if (call.period !== this.#period) return;
    if (call.isProbe) {
      if (!this.#probing.delete(call)) return;
      if (outcome === "fault") this.#open(this.#attempts + 1);
      if (outcome === "success" && ++this.#probesWon === this.#limits.probes) {
        this.#close([{ at: this.#now(), isFault: false }]);
      }
      return;
    }
    if (outcome === "neutral") return;
    this.#calls.push({ at: this.#now(), isFault: outcome === "fault" });
    this.#row = outcome === "fault" ? this.#row + 1 : 0;
    if (outcome === "fault" && this.#isUnwell()) this.#open(1);
  }

  trip(): void {
    if (this.#isHeld) return;
    if (this.state !== "open") this.trips++;
    this.#isHeld = true;
    this.#go("open");
  }

  reset(): void {
    if (this.state === "closed") this.#period++;
    this.#close([]);
  }

  /** Saved and restored at once: what is under way is forgotten, a probing breaker is open and due. */
  resume(): void {
    if (this.state === "half-open") this.#openUntil = this.#now();
    this.#go(this.state === "closed" ? "closed" : "open");
  }

  #isUnwell(): boolean {
    const sliceMs = this.#limits.windowMs / 10;
    const present = Math.floor(this.#now() / sliceMs);
    const recent = this.#calls.filter(({ at }) => Math.floor(at / sliceMs) > present - 10);
    const faults = recent.filter(({ isFault }) => isFault).length;
    return (
      this.#row >= this.#limits.consecutiveFaults ||
      (recent.length >= this.#limits.minimumCalls && faults / recent.length > this.#limits.faultRate)
    );
  }

  #open(attempts: number): void {
    this.#attempts = attempts;
    let openMs = this.#limits.openMs;
    for (let attempt = 1; attempt < attempts; attempt++)
      openMs = Math.min(openMs * 2, this.#limits.maxOpenMs);
    this.#openUntil = this.#now() + openMs;
    this.trips++;
    this.#go("open");
  }

  #close(calls: readonly { readonly at: number; readonly isFault: boolean }[]): void {
    this.#calls = [...calls];
    this.#row = 0;
    this.#isHeld = false;
    if (this.state !== "closed") this.#go("closed");
  }

  #refuse(): undefined {
    this.rejections++;
    return undefined;
  }

  #go(state: BreakerState): void {
    this.state = state;
    this.#period++;
    this.#probing = new Map();
    this.#probesWon = 0;
  }
}
