// .mlpackage: a folder whose Manifest.json lists its items and says which of them is the model.

import { lstatSync, realpathSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import type { CoremlxError, ErrorOptions } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import { type Enclosure, fileError, listInside, openInside, readFile } from "./file-access.ts";
import { type FormatLimits, limitsOf, type OpenOptions } from "./limits.ts";
import { readModel, readModelBytes } from "./mlmodel.ts";
import type { Model } from "./model.ts";
import { lfsPointerError } from "./sniff.ts";
import { WeightFiles } from "./weight-files.ts";

export const manifestName = "Manifest.json";
const dataFolder = "Data";
const newestMajorVersion = 1;
const maxPathLength = 4096;

/** One entry of the manifest. */
export interface PackageItem {
  readonly identifier: string;
  /** Relative to the package, "/" between the parts: "Data/com.apple.CoreML/weights". */
  readonly path: string;
  readonly name: string;
  readonly author: string;
}

export interface Manifest {
  readonly items: readonly PackageItem[];
  readonly root: PackageItem;
}

/** Opens a package folder. Throws BAD_MODEL with a reason without the path. */
export function openPackage(path: string, options?: OpenOptions): Model {
  const limits = limitsOf(options);
  let root: string;
  try {
    root = realpathSync(path);
  } catch (error) {
    throw fileError(error, path);
  }
  const enclosure: Enclosure = { root, limits, allowOutsideLinks: options?.allowOutsideLinks ?? false };
  const manifest = readManifest(enclosure);
  const files = listItems(enclosure, manifest);
  const modelFolder = dirname(manifest.root.path);
  const weights = new WeightFiles({ enclosure, modelFolder, fallbackFolders: weightFolders(manifest) });
  try {
    using file = openInside(enclosure, manifest.root.path);
    const contents = readModel(readModelBytes(file, join(path, manifest.root.path), limits), {
      limits,
      weights,
    });
    const sizes = new Map([...weights.sizes, ...files]);
    return {
      path,
      container: "mlpackage",
      ...contents,
      files: [...sizes.keys()].toSorted(),
      byteLength: sizes.values().reduce((sum, size) => sum + size, 0),
      [Symbol.dispose]: () => weights[Symbol.dispose](),
    };
  } catch (error) {
    weights[Symbol.dispose]();
    throw error;
  }
}

/** Reads and checks Manifest.json alone: nothing it names has been looked at yet. */
export function readManifest(enclosure: Enclosure): Manifest {
  using file = openInside(enclosure, manifestName);
  const bytes = readFile(file, enclosure.limits.maxManifestBytes, manifestName);
  const pointer = lfsPointerError(bytes, manifestName);
  if (pointer !== undefined) throw pointer;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw badManifest("is no JSON", { cause: error });
  }
  if (!isObject(json)) throw badManifest("is no JSON object");
  refuseVersion(json["fileFormatVersion"]);
  const items = readItems(json["itemInfoEntries"], enclosure.limits);
  const identifier = json["rootModelIdentifier"];
  if (typeof identifier !== "string")
    throw badManifest('names no root model ("rootModelIdentifier" is missing)');
  const root = items.find((item) => item.identifier === identifier);
  if (root === undefined)
    throw badManifest(`names the root model ${quote(identifier)}, which is none of its items`);
  return { items, root };
}

function refuseVersion(version: unknown): void {
  const major = typeof version === "string" ? /^(\d{1,9})\.\d{1,9}\.\d{1,9}$/.exec(version)?.[1] : undefined;
  if (major === undefined) {
    throw badManifest(`has the format version ${describe(version)}, expected three numbers as in "1.0.0"`);
  }
  if (Number(major) > newestMajorVersion) {
    throw badManifest(
      `has the format version ${describe(version)}, the newest known is ${newestMajorVersion}`,
      {
        hint: "Use a newer coremlx",
      },
    );
  }
}

function readItems(json: unknown, limits: FormatLimits): PackageItem[] {
  if (!isObject(json)) throw badManifest('has no items ("itemInfoEntries" is missing)');
  const entries = Object.entries(json);
  if (entries.length > limits.maxManifestItems) {
    throw badManifest(`has ${entries.length} items, more than the limit of ${limits.maxManifestItems}`);
  }
  const items = entries.map(([identifier, entry]) => readItem(identifier, entry));
  refuseTwins(
    "lists the path",
    items.map((item) => item.path),
  );
  // The pair is what an item is looked up by. Neither may hold a NUL, so that the joined text is as unique as the pair.
  refuseTwins(
    "has two items with the name and author",
    items.map((item) => `${item.name}\0${item.author}`),
  );
  return items;
}

function readItem(identifier: string, json: unknown): PackageItem {
  const member = (name: string): string => {
    const value = isObject(json) ? json[name] : undefined;
    if (typeof value === "string" && !value.includes("\0")) return value;
    throw badManifest(
      `has an item ${quote(identifier)} whose "${name}" is ${describe(value)}, expected a string`,
    );
  };
  member("description");
  return { identifier, path: itemPath(member("path")), name: member("name"), author: member("author") };
}

/** The path as it lies in the package. Only plain paths below Data/ are accepted. */
function itemPath(path: string): string {
  const parts = path.split("/");
  if (path.startsWith("/")) throw badManifest(`has the absolute path ${quote(path)}`);
  if (parts.includes(".."))
    throw badManifest(`has the path ${quote(path)}, which leads out of the package ("..")`);
  const normal = posix.normalize(path).replace(/\/$/, "");
  if (path === "" || normal === "." || path.length > maxPathLength) {
    throw badManifest(`has the path ${quote(path)}, which names no file`);
  }
  return `${dataFolder}/${normal}`;
}

/** Every file of every item, and the manifest, with their sizes. Each item must exist. */
function listItems(enclosure: Enclosure, manifest: Manifest): Map<string, number> {
  const files = listInside(enclosure, manifestName);
  for (const item of manifest.items) {
    if (lstatSync(posix.join(enclosure.root, item.path), { throwIfNoEntry: false }) === undefined) {
      throw badModel(`${quote(item.path)} does not exist`, {
        hint: "Copy the whole package again; git drops empty folders: if the model has no weights, make that folder",
      });
    }
    for (const [path, byteLength] of listInside(enclosure, item.path)) files.set(path, byteLength);
  }
  refuseTwins(
    "leads to two files whose names differ only in case or Unicode form:",
    [...files.keys()].map((path) => relative(enclosure.root, path)),
  );
  return files;
}

/** Folders that may hold a weight file which is not where the program says. */
function weightFolders(manifest: Manifest): string[] {
  const named = manifest.items.filter(
    (item) => item.name === "weights" && item.author === "com.apple.CoreML",
  );
  const others = manifest.items.filter((item) => posix.basename(item.path) === "weights");
  const beside = posix.join(posix.dirname(manifest.root.path), "weights");
  return [...new Set([...named, ...others].map((item) => item.path)), beside];
}

/** macOS would take the two for one file, or one item. */
function refuseTwins(what: string, names: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    const folded = name.normalize("NFC").toLowerCase();
    const twin = seen.get(folded);
    if (twin !== undefined) {
      const both = twin === name ? `${quote(name)} twice` : `${quote(twin)} and ${quote(name)}`;
      throw badManifest(`${what} ${both.replaceAll("\\u0000", ", ")}`);
    }
    seen.set(folded, name);
  }
}

function badManifest(what: string, options: ErrorOptions = {}): CoremlxError {
  return badModel(`${manifestName} ${what}`, options);
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (typeof value === "string") return quote(value);
  return typeof value === "object" && value !== null ? "an object" : JSON.stringify(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
