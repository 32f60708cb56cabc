// What a prediction gave, written to files, as JSON, or as a summary a person reads.

import { dirname, join } from "node:path";
import { encodeNpy } from "../codecs/npy.ts";
import { type JsonValue, shortest, statsOf, toJsonValue } from "../codecs/json-output.ts";
import { encodePng } from "../codecs/png.ts";
import type { FeatureDescription } from "../core/model.ts";
import {
  elementsOf,
  type FeatureValue,
  isTensor,
  type SteppedValue,
  type SteppedValues,
  type Tensor,
} from "../core/tensor.ts";
import { type FileContent, makeFolder, writeFileWhole } from "../native/write-file.ts";
import { type Paint, plainLine, table } from "./output.ts";

export type WrittenOutput = JsonValue;

/** One .npy per array, .png per picture, outputs.json for everything. Gives what outputs.json holds. */
export function writeOutputFolder(
  folder: string,
  outputs: SteppedValues,
  descriptions: readonly FeatureDescription[],
): Readonly<Record<string, WrittenOutput>> {
  makeFolder(folder);
  const taken = new Set<string>(["outputs.json"]);
  const index: Record<string, WrittenOutput> = {};
  for (const [name, value] of outputs) {
    if (!isTensor(value)) {
      index[name] = toJsonValue(value);
      continue;
    }
    const isPicture = descriptions.find((output) => output.name === name)?.type.kind === "image";
    const isPng = isPicture && value.dtype === "uint8";
    const file = uniqueName(safeName(name), isPng ? ".png" : ".npy", taken);
    writeFileWhole(join(folder, file), isPng ? encodePng(value) : encodeNpy(value));
    index[name] = { dtype: value.dtype, shape: [...value.shape], file };
  }
  writeFileWhole(
    join(folder, "outputs.json"),
    new TextEncoder().encode(`${JSON.stringify(index, undefined, 2)}\n`),
  );
  return index;
}

export function writeOutputFile(path: string, content: FileContent): void {
  makeFolder(dirname(path));
  writeFileWhole(path, content);
}

/** A name any file system takes; never one that climbs out of its folder. */
export function safeName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._-]/g, "_");
  return /^\.*$/.test(safe) ? `_${safe}` : safe.slice(0, 200);
}

/** `name`, or `name-2`, `name-3`, … where it is taken; upper and lower case count as the same. */
export function uniqueName(name: string, ending: string, taken: Set<string>): string {
  for (let i = 1; ; i++) {
    const candidate = `${name}${i === 1 ? "" : `-${i}`}${ending}`;
    if (taken.has(candidate.toLowerCase())) continue;
    taken.add(candidate.toLowerCase());
    return candidate;
  }
}

export interface SummaryStyle {
  /** Entries of a dictionary to show. */
  readonly top: number;
  /** The output with a classifier's probabilities: shown in percent. */
  readonly probabilities: string | undefined;
  readonly hasBars: boolean;
  readonly paint: Paint;
}

/** The outputs as lines for a person: classes with their probabilities, arrays with shape, first values and statistics. */
export function summarizeOutputs(outputs: SteppedValues, style: SummaryStyle): string {
  return [...outputs].map(([name, value]) => summarizeOutput(name, value, style)).join("\n");
}

function summarizeOutput(name: string, value: SteppedValue, style: SummaryStyle): string {
  const title = style.paint("bold", plainLine(name));
  if (typeof value === "string") return `${title}: ${plainLine(value)}`;
  if (typeof value === "number" || typeof value === "bigint") return `${title}: ${value}`;
  if (isTensor(value)) return `${title}: ${summarizeTensor(value, style.paint)}`;
  if (value instanceof Map) {
    const isPercent = name === style.probabilities && [...value.values()].every(isProbability);
    return [`${title}:`, ...summarizeDictionary(value, { ...style, isPercent })].join("\n");
  }
  const items: readonly FeatureValue[] = [...value.values()];
  if (items.some((item) => typeof item === "object")) {
    return `${title}: ${items.length} steps\n${summarizeSteps(items, name === style.probabilities, style)}`;
  }
  const shown = items.slice(0, 20).map((item) => plainLine(typeof item === "object" ? "" : String(item)));
  return `${title}: [${shown.join(", ")}${items.length > shown.length ? ", …" : ""}]`;
}

const barCells = 30;

function summarizeDictionary(
  map: ReadonlyMap<unknown, number>,
  { top, hasBars, isPercent, paint }: SummaryStyle & { readonly isPercent: boolean },
): readonly string[] {
  const sorted = [...map].toSorted(([, a], [, b]) => b - a);
  const rows = sorted.slice(0, top).map(([key, value]) => {
    const number = isPercent ? `${(value * 100).toFixed(1)} %` : formatNumber(value);
    const bar = hasBars && isPercent ? paint("cyan", "█".repeat(Math.round(value * barCells))) : "";
    return [`  ${plainLine(String(key))}`, number, bar];
  });
  const lines = rows.length === 0 ? [] : [table(rows, { right: [1] })];
  const rest = sorted.length - rows.length;
  if (rest > 0) lines.push(paint("dim", `  … ${rest} more (--top ${sorted.length})`));
  return lines;
}

const shownSteps = 20;

/** A line for each step: the greatest entries of its dictionary, or its sequence. */
function summarizeSteps(
  values: readonly FeatureValue[],
  isPercent: boolean,
  { top, paint }: SummaryStyle,
): string {
  const rows = values.slice(0, shownSteps).map((value, step) => {
    const label = `  ${paint("dim", `step ${step + 1}`)}`;
    if (!(value instanceof Map)) return [label, plainLine(JSON.stringify(toJsonValue(value))).slice(0, 100)];
    const sorted = [...value].toSorted(([, a], [, b]) => b - a).slice(0, Math.min(top, 3));
    return [
      label,
      ...sorted.map(([key, number]) => {
        const shown = isPercent ? `${(number * 100).toFixed(1)} %` : formatNumber(number);
        return `${plainLine(String(key))} ${shown}`;
      }),
    ];
  });
  const rest = values.length - rows.length;
  return table(rows) + (rest > 0 ? `\n${paint("dim", `  … ${rest} more`)}` : "");
}

function isProbability(value: number): boolean {
  return value >= 0 && value <= 1.001; // rounding may go a little beyond
}

function summarizeTensor(tensor: Tensor, paint: Paint): string {
  const head = `${tensor.dtype} [${tensor.shape.join(", ")}]`;
  const stats = statsOf(tensor);
  const elements = elementsOf(tensor);
  const first = Array.from({ length: Math.min(elements.length, 6) }, (_, index) => {
    const value = elements[index] ?? 0;
    return typeof value === "bigint" ? String(value) : formatNumber(shortest(value, tensor.dtype));
  });
  if (elements.length === 0) return `${head} (empty)`;
  const values = `${first.join(" ")}${elements.length > first.length ? " …" : ""}`;
  if (elements.length === 1) return `${head} = ${values}`;
  const odd = [stats.nan > 0 ? `${stats.nan} NaN` : "", stats.inf > 0 ? `${stats.inf} infinite` : ""];
  const numbers = [
    `min ${formatNumber(stats.min)}`,
    `max ${formatNumber(stats.max)}`,
    `mean ${formatNumber(stats.mean)}`,
    ...odd.filter((text) => text !== ""),
  ];
  return `${head}  ${numbers.join("  ")}\n  ${paint("dim", values)}`;
}

function formatNumber(value: number | string | null): string {
  if (typeof value !== "number") return String(value ?? "-");
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(5))) : value.toExponential(3);
}
