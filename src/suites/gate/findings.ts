// What can be read out of raw data of any source: figures by name, and what they are figures of.

import type { Static } from "@sinclair/typebox";
import type { environment } from "../schema-parts.ts";

export interface Reading {
  readonly value: number;
  /** How it came about, in words. */
  readonly detail: string;
}

/** A sentence: it was not measured, and why. `digest`: of the one model that counts. */
export type Measure = (digest: string | undefined) => Reading | string;

export interface Findings {
  /** As the raw data says, where it does. */
  readonly environment?: Static<typeof environment> | undefined;
  readonly models: readonly { readonly name: string; readonly digest: string }[];
  readonly engines: readonly { readonly name: string; readonly version: string; readonly device: string }[];
  readonly durationMs?: number | undefined;
  readonly measures: Readonly<Record<string, Measure>>;
}
