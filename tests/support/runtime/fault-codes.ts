// What the fake engine is told to do, as the first number of its first input: so that each call asks for its own fault,
// also in another thread or process.

import type { Fault } from "../fake-engine.ts";

const codes = {
  error: -1,
  hang: -2,
  "broken surfaces": -3,
  "no output": -4,
  "wrong shape": -5,
  "wrong type": -6,
  "too few bytes": -7,
} as const satisfies Record<Exclude<Fault, undefined>, number>;

/** What only a process of its own can do: end, and lose memory. */
export const childCodes = { SIGSEGV: -11, SIGBUS: -12, SIGKILL: -13, exit: -14, leak: -15 } as const;

export const leakBytes = 4 * 1024 ** 2;

export type FaultCode = keyof typeof codes | keyof typeof childCodes;

export function codeOf(fault: FaultCode | undefined): number {
  return fault === undefined ? 1 : { ...codes, ...childCodes }[fault];
}

export function faultOf(x: Float64Array): Fault {
  const found = Object.entries(codes).find(([, code]) => code === x[0]);
  // The keys are those of the record above; Object.entries loses them.
  return found?.[0] as Fault;
}
