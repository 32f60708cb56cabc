// Where models lie: a folder of plain models, or Triton's layout NAME/VERSION/model, or both mixed.

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CoremlxError, messageOf } from "../../core/errors.ts";
import { modelNameOf } from "../../runtime/session.ts";

export interface ModelFiles {
  readonly name: string;
  /** Path by version. Never empty; highest version last. */
  readonly versions: ReadonlyMap<string, string>;
  /** Where its options would be; the file need not exist. */
  readonly optionsPath: string | undefined;
}

/** Entries of one folder, and versions of one model. */
const maxEntries = 10_000;

/** By name. What is no model is passed over; two models of one name are not. Throws IO, USAGE. */
export function findModels(folder: string): ReadonlyMap<string, ModelFiles> {
  const found = new Map<string, ModelFiles>();
  for (const entry of list(folder)) {
    const files = readEntry(folder, entry);
    if (files === undefined) continue;
    if (found.has(files.name)) {
      throw new CoremlxError("USAGE", `Cannot serve two models as "${files.name}" from "${folder}"`, {
        hint: "Rename one of them",
      });
    }
    found.set(files.name, files);
  }
  return found;
}

/** A model given by its path. */
export function singleModel(name: string, path: string): ModelFiles {
  return { name, versions: new Map([["1", path]]), optionsPath: optionsBeside(path) };
}

/** What the files of a model look like from outside: changes when one of them does. */
export function fingerprint({ versions, optionsPath }: ModelFiles): string {
  const marks: string[] = [];
  const visit = (path: string, depth: number) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return;
    marks.push(`${path} ${stats.size} ${stats.mtimeMs} ${stats.ino}`);
    if (!stats.isDirectory() || depth === 0) return;
    for (const entry of list(path)) visit(join(path, entry), depth - 1);
  };
  for (const path of versions.values()) visit(path, maxDepth);
  if (optionsPath !== undefined) visit(optionsPath, 0);
  return Bun.hash(marks.join("\n")).toString(16);
}

/** A compiled model is four folders deep. */
const maxDepth = 8;

function readEntry(folder: string, entry: string): ModelFiles | undefined {
  if (entry.startsWith(".")) return undefined;
  const path = join(folder, entry);
  if (isModel(entry)) return singleModel(modelNameOf(entry), path);
  if (!isFolder(path)) return undefined;
  const optionsPath = join(path, optionsName);
  const entries = list(path);
  const numbers = entries.filter((name) => /^[1-9]\d{0,14}$/.test(name) && isFolder(join(path, name)));
  numbers.sort((a, b) => Number(a) - Number(b));
  const versions = new Map<string, string>();
  for (const number of numbers) {
    const model = onlyModel(join(path, number));
    if (model !== undefined) versions.set(number, model);
  }
  const plain = numbers.length === 0 ? onlyModel(path) : undefined;
  if (plain !== undefined) versions.set("1", plain);
  return versions.size === 0 ? undefined : { name: entry, versions, optionsPath };
}

/** Throws USAGE where there are several. */
function onlyModel(folder: string): string | undefined {
  const [model, ...others] = list(folder).filter(isModel);
  if (others.length > 0) {
    throw new CoremlxError("USAGE", `Cannot choose a model in "${folder}": it has ${others.length + 1}`, {
      hint: "Keep one model in each version's folder",
    });
  }
  return model === undefined ? undefined : join(folder, model);
}

const optionsName = "model.toml";

/** Digits.toml beside Digits.mlpackage. */
function optionsBeside(path: string): string {
  return path.replace(/\/+$/, "").replace(/\.[^./]+$/, ".toml");
}

function isModel(name: string): boolean {
  return /\.(mlpackage|mlmodelc|mlmodel)$/i.test(name) && !name.startsWith(".");
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function list(folder: string): readonly string[] {
  let entries: readonly string[];
  try {
    entries = readdirSync(folder).sort();
  } catch (cause) {
    throw new CoremlxError("IO", `Cannot read the folder "${folder}": ${messageOf(cause)}`, { cause });
  }
  if (entries.length <= maxEntries) return entries;
  throw new CoremlxError("IO", `Cannot read the folder "${folder}": it has more than ${maxEntries} entries`);
}
