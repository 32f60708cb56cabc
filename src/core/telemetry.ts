// How low layers speak up without knowing who listens: events to read, numbers to add up. Passed in as an option, never
// a global.

import type { EventFields, EventName } from "./event-names.ts";
import type { CounterName, GaugeName, HistogramName, MeterLabels, MeterName } from "./meter-names.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Telemetry {
  /** `event` is a name of the table in `event-names.ts`, the same each time; what differs goes into `fields`. */
  log<E extends EventName>(level: LogLevel, event: E, fields?: EventFields<E>): void;
  /** Absent where nobody counts; `metersOf` says what to use then. */
  readonly meters?: Meters | undefined;
}

/** A sum that only grows. */
export interface CounterMeter {
  /** Default 1. Negative amounts are ignored. */
  add(amount?: number): void;
  /** For totals somebody else keeps: what is below the present total is ignored. */
  raiseTo(total: number): void;
}

export interface GaugeMeter {
  set(value: number): void;
}

/** Numbers sorted into the buckets of `durationBucketsSeconds`. */
export interface HistogramMeter {
  observe(value: number): void;
}

/**
 * Gives out meters by the names in `meter-names.ts`. Looking one up costs more than using it: whoever counts often keeps
 * it. The same name and labels give the same meter.
 */
export interface Meters {
  counter<N extends CounterName>(name: N, labels?: MeterLabels<N>): CounterMeter;
  gauge<N extends GaugeName>(name: N, labels?: MeterLabels<N>): GaugeMeter;
  histogram<N extends HistogramName>(name: N, labels?: MeterLabels<N>): HistogramMeter;
}

export type { CounterName, EventFields, EventName, GaugeName, HistogramName, MeterLabels, MeterName };

export const silent: Telemetry = { log() {} };

const counter: CounterMeter = { add() {}, raiseTo() {} };
const gauge: GaugeMeter = { set() {} };
const histogram: HistogramMeter = { observe() {} };

/** Meters that forget what they are told. */
export const noMeters: Meters = { counter: () => counter, gauge: () => gauge, histogram: () => histogram };

export function metersOf(telemetry: Telemetry | undefined): Meters {
  return telemetry?.meters ?? noMeters;
}

/** The events of `telemetry`, the numbers of `meters`. */
export function withMeters(telemetry: Telemetry, meters: Meters): Telemetry {
  return { log: (level, event, fields) => telemetry.log(level, event, fields), meters };
}
