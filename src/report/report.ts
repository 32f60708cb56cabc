// From a result file of any kind to its report: a row for each kind.

import { CoremlxError, messageOf } from "../core/errors.ts";
import {
  isResultName,
  parseResult,
  type ResultName,
  type Results,
  resultSchemas,
} from "../suites/schemas.ts";
import { readAssets } from "./assets.ts";
import type { Report } from "./document.ts";
import { maxResultBytes } from "./limits.ts";
import { renderPage } from "./page.ts";
import { describeBench } from "./pages/bench-page.ts";
import { describeComparison } from "./pages/comparison-page.ts";
import { describeGate } from "./pages/gate-page.ts";
import { describeParity } from "./pages/parity-page.ts";
import { describeSoak } from "./pages/soak-page.ts";

const pages: { readonly [Name in ResultName]: (result: Results[Name]) => Report } = {
  bench: describeBench,
  "bench-comparison": describeComparison,
  soak: describeSoak,
  gate: describeGate,
  parity: describeParity,
};

export interface ReadReport {
  readonly kind: ResultName;
  readonly report: Report;
}

/** Throws BAD_INPUT, which says what the file is where that can be told. */
export function readReport(bytes: Uint8Array, source: string): ReadReport {
  const value = parseJson(bytes, source);
  const kind = kindOf(value);
  if (kind === undefined || !isResultName(kind)) throw notAResult(source, whatItIs(value));
  return describe(kind, value, source);
}

export async function renderReport(report: Report): Promise<string> {
  return renderPage(report, await readAssets());
}

function describe<Name extends ResultName>(kind: Name, value: unknown, source: string): ReadReport {
  return { kind, report: pages[kind](parseResult(kind, value, `"${source}"`)) };
}

function parseJson(bytes: Uint8Array, source: string): unknown {
  if (bytes.length > maxResultBytes) {
    throw notAResult(source, `it has ${bytes.length} bytes, more than ${maxResultBytes}`);
  }
  if (bytes.length === 0) throw notAResult(source, "it is empty");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw notAResult(source, `it is not JSON: ${messageOf(error)}`, error);
  }
}

function kindOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { kind } = value as { readonly kind?: unknown };
  return typeof kind === "string" ? kind : undefined;
}

function whatItIs(value: unknown): string {
  if (Array.isArray(value)) return "it is a list";
  if (typeof value !== "object" || value === null) return `it is ${JSON.stringify(value).slice(0, 40)}`;
  if ("error" in value) return "it is the error of a command that failed";
  const kind = kindOf(value);
  return kind === undefined ? 'it has no "kind"' : `its kind is "${kind.slice(0, 40)}"`;
}

function notAResult(source: string, why: string, cause?: unknown): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot make a report of "${source}": ${why}`, {
    cause,
    hint: `A report is made from what ${listOf(Object.keys(resultSchemas))} print with --json`,
    details: { source },
  });
}

function listOf(names: readonly string[]): string {
  return [names.slice(0, -1).join(", "), ...names.slice(-1)].filter((part) => part !== "").join(" and ");
}
