// What a prediction gave, written to files, as JSON, or as a summary a person reads.

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { encodeNpy } from "../codecs/npy.ts";
import { type JsonValue, shortest, statsOf, toJsonValue } from "../codecs/json-output.ts";
import { encodePng } from "../codecs/png.ts";
import type { FeatureDescription } from "../core/model.ts";
import { elementsOf, type FeatureValue, type FeatureValues, isTensor, type Tensor } from "../core/tensor.ts";
import { type Paint, plainLine } from "./output.ts";

/** Writes a file as a whole or not at all: to a temporary name in the same folder, then renamed. */
export function writeFileWhole(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.${process.pid}.partial`;
  let fd: number | undefined;
  try {
    fd = openSync(temporary, "wx", 0o644);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    renameSync(temporary, path);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    rmSync(temporary, { force: true });
    throw error;
  }
}

export type WrittenOutput = JsonValue;

/** One .npy per array, .png per picture, outputs.json for everything. Gives what outputs.json holds. */
export function writeOutputFolder(
  folder: string,
  outputs: FeatureValues,
  descriptions: readonly FeatureDescription[],
): Readonly<Record<string, WrittenOutput>> {
  mkdirSync(folder, { recursive: true });
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

export function writeOutputFile(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileWhole(path, bytes);
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

/** The outputs as lines for a person: classes with bars, arrays with shape, first values and statistics. */
export function summarizeOutputs(outputs: FeatureValues, top: number, paint: Paint): string {
  return [...outputs].map(([name, value]) => summarizeOutput(plainLine(name), value, top, paint)).join("\n");
}

function summarizeOutput(name: string, value: FeatureValue, top: number, paint: Paint): string {
  const title = paint("bold", name);
  if (typeof value === "string") return `${title}: ${plainLine(value)}`;
  if (typeof value === "number" || typeof value === "bigint") return `${title}: ${value}`;
  if (isTensor(value)) return `${title}: ${summarizeTensor(value, paint)}`;
  if (value instanceof Map) return `${title}:\n${summarizeDictionary(value, top, paint)}`;
  const items = [...value.values()].map((item) => plainLine(String(item)));
  return `${title}: [${items.slice(0, 20).join(", ")}${items.length > 20 ? ", …" : ""}]`;
}

function summarizeDictionary(map: ReadonlyMap<unknown, number>, top: number, paint: Paint): string {
  const sorted = [...map].toSorted(([, a], [, b]) => b - a);
  const shown = sorted.slice(0, top);
  const width = Math.max(0, ...shown.map(([key]) => Bun.stringWidth(plainLine(String(key)))));
  const lines = shown.map(([key, value]) => {
    const label = plainLine(String(key));
    const bar = value >= 0 && value <= 1 ? ` ${paint("cyan", "█".repeat(Math.round(value * 30)))}` : "";
    return `  ${label}${" ".repeat(width - Bun.stringWidth(label))}  ${formatNumber(value)}${bar}`.trimEnd();
  });
  if (sorted.length > top)
    lines.push(paint("dim", `  … ${sorted.length - top} more (--top ${sorted.length})`));
  return lines.join("\n");
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
