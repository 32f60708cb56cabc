// The numbers a breaker works by, and what it saves of itself; both come from outside and are checked here.

import { CoremlxError } from "../../core/errors.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import { type EvidenceSnapshot, windowSlices } from "./breaker-evidence.ts";

export interface BreakerLimits {
  /** Faults in a row that open it. */
  readonly consecutiveFaults: number;
  /** Opens above this share of faults, 0 to 1 (exclusive), once the window holds `minimumCalls`. */
  readonly faultRate: number;
  readonly minimumCalls: number;
  readonly windowMs: number;
  /** How long it stays open the first time; twice as long after each probe that fails, up to `maxOpenMs`. */
  readonly openMs: number;
  readonly maxOpenMs: number;
  /** Calls let through when that time is over; all of them must succeed. */
  readonly probes: number;
  /** A probe without an outcome after this long has failed. */
  readonly probeLimitMs: number;
}

export const breakerDefaults: BreakerLimits = {
  consecutiveFaults: 5,
  faultRate: 0.5,
  minimumCalls: 20,
  windowMs: 30_000,
  openMs: 5_000,
  maxOpenMs: 60_000,
  probes: 1,
  probeLimitMs: 30_000,
};

export interface BreakerOptions extends Partial<BreakerLimits> {
  /** For messages and logs. */
  readonly model: string;
  /** Called when faults have opened it; for fresh instances, which the next probe then finds. */
  readonly onOpen?: (() => void) | undefined;
  /** Default: `isEngineFault`. */
  readonly isFault?: ((error: unknown) => boolean) | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** Monotonic clock in milliseconds; default: performance.now. */
  readonly now?: (() => number) | undefined;
  /** Wall clock in milliseconds since 1970; default: Date.now. */
  readonly epochNow?: (() => number) | undefined;
}

export type BreakerState = "closed" | "open" | "half-open";

export interface BreakerStats {
  readonly state: BreakerState;
  /** When it came into this state, in milliseconds since 1970. */
  readonly sinceEpochMs: number;
  /** Openings, by faults or by hand. */
  readonly trips: number;
  readonly rejections: number;
  readonly probes: number;
  /** Why it is not closed: "5 faults in a row", or what `trip` was given. */
  readonly reason?: string;
  /** Until the next probe; absent when closed. */
  readonly retryAfterMs?: number;
}

/** What operators do with a breaker. */
export interface BreakerControl {
  readonly state: BreakerState;
  readonly stats: BreakerStats;
  /** Opens it until `reset`, without probes: for maintenance. */
  trip(reason: string): void;
  /** Closes it and forgets every fault. */
  reset(): void;
  save(): BreakerSnapshot;
  /** Throws BAD_INPUT for anything that `save` cannot have made. */
  restore(snapshot: unknown): void;
}

/** What `save` returns and `restore` takes. Plain JSON. */
export interface BreakerSnapshot {
  readonly schemaVersion: 1;
  readonly savedAtEpochMs: number;
  /** Half-open is saved as open with no time left: the next call is a probe. */
  readonly state: "closed" | "open";
  readonly sinceEpochMs: number;
  readonly reason?: string;
  /** Opened by `trip`: until `reset`, without probes. */
  readonly isHeld: boolean;
  readonly openForMs: number;
  /** Openings since it was last closed. */
  readonly attempts: number;
  readonly evidence: EvidenceSnapshot;
  readonly trips: number;
  readonly rejections: number;
  readonly probes: number;
}

/** After so many doublings the waiting time no longer grows, whatever the options. */
export const maxAttempts = 64;
const longestReason = 1_000;

/** Fills in the defaults. Throws USAGE for numbers that make no breaker. */
export function breakerLimits(options: Partial<BreakerLimits>): BreakerLimits {
  const limits: BreakerLimits = {
    consecutiveFaults: options.consecutiveFaults ?? breakerDefaults.consecutiveFaults,
    faultRate: options.faultRate ?? breakerDefaults.faultRate,
    minimumCalls: options.minimumCalls ?? breakerDefaults.minimumCalls,
    windowMs: options.windowMs ?? breakerDefaults.windowMs,
    openMs: options.openMs ?? breakerDefaults.openMs,
    maxOpenMs: Math.max(options.maxOpenMs ?? breakerDefaults.maxOpenMs, options.openMs ?? 0),
    probes: options.probes ?? breakerDefaults.probes,
    probeLimitMs: options.probeLimitMs ?? breakerDefaults.probeLimitMs,
  };
  for (const name of ["consecutiveFaults", "minimumCalls", "probes"] as const) {
    check(
      name,
      limits[name],
      Number.isSafeInteger(limits[name]) && limits[name] >= 1,
      "a whole number from 1",
    );
  }
  for (const name of ["windowMs", "openMs", "maxOpenMs", "probeLimitMs"] as const) {
    check(name, limits[name], Number.isFinite(limits[name]) && limits[name] >= 1, "1 ms or more");
  }
  const { faultRate } = limits;
  check("faultRate", faultRate, faultRate > 0 && faultRate < 1, "between 0 and 1");
  return limits;
}

function check(name: string, value: number, isRight: boolean, wanted: string): void {
  if (isRight) return;
  throw new CoremlxError(
    "USAGE",
    `Cannot make a circuit breaker: "${name}" must be ${wanted}, got ${value}`,
    {
      details: { name, value },
    },
  );
}

/** Throws BAD_INPUT for anything that `save` cannot have made. */
export function parseBreakerSnapshot(value: unknown): BreakerSnapshot {
  const snapshot = record(value, "it");
  if (snapshot["schemaVersion"] !== 1)
    throw bad(`its schema version is ${String(snapshot["schemaVersion"])}`);
  const state = snapshot["state"];
  if (state !== "closed" && state !== "open") throw bad(`its state is ${JSON.stringify(state)}`);
  const reason = snapshot["reason"];
  if (reason !== undefined && typeof reason !== "string") throw bad('"reason" is not a string');
  if (typeof snapshot["isHeld"] !== "boolean") throw bad('"isHeld" is not true or false');
  const evidence = record(snapshot["evidence"], '"evidence"');
  const slices = evidence["slices"];
  if (!Array.isArray(slices) || slices.length > windowSlices) {
    throw bad(`"slices" is not a list of at most ${windowSlices}`);
  }
  return {
    schemaVersion: 1,
    savedAtEpochMs: amount(snapshot, "savedAtEpochMs"),
    state,
    sinceEpochMs: amount(snapshot, "sinceEpochMs"),
    ...(reason === undefined ? {} : { reason: reason.slice(0, longestReason) }),
    isHeld: snapshot["isHeld"],
    openForMs: amount(snapshot, "openForMs"),
    attempts: Math.min(count(snapshot, "attempts"), maxAttempts),
    evidence: {
      consecutive: count(evidence, "consecutive"),
      slices: slices.map((item: unknown) => {
        const slice = record(item, "a slice");
        const age = count(slice, "age");
        if (age >= windowSlices) throw bad(`the age of a slice is ${age}`);
        return { age, successes: count(slice, "successes"), faults: count(slice, "faults") };
      }),
    },
    trips: count(snapshot, "trips"),
    rejections: count(snapshot, "rejections"),
    probes: count(snapshot, "probes"),
  };
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(`${what} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

function amount(from: Readonly<Record<string, unknown>>, name: string): number {
  const value = from[name];
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw bad(`"${name}" is ${JSON.stringify(value)}, not a number from 0`);
}

function count(from: Readonly<Record<string, unknown>>, name: string): number {
  const value = amount(from, name);
  if (Number.isSafeInteger(value)) return value;
  throw bad(`"${name}" is ${value}, not a whole number`);
}

function bad(why: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot restore a circuit breaker from the snapshot: ${why}`);
}
