// Paths as people type them: what to say when nothing is there, and addresses where a file is due.

import { lstatSync, readdirSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { CoremlxError, errnoOf } from "../core/errors.ts";
import { nearest } from "../core/suggest.ts";
import { shellWord } from "./output.ts";

const modelEndings = [".mlpackage", ".mlmodel", ".mlmodelc"];
/** More names than this in a folder, and nobody meant to mistype one of them. */
const maxNames = 10_000;

/** The absolute path of a model. Throws BAD_MODEL, with what is there instead, when there is nothing. */
export function findModel(text: string, cwd: string): string {
  refuseAddress(text);
  const path = resolve(cwd, text);
  if (!isMissing(path)) return path;
  throw new CoremlxError("BAD_MODEL", `Cannot open "${text}": ${whyMissing(path, cwd)}`, {
    hint:
      missingHint(path, cwd) ?? "A model is an .mlpackage folder, an .mlmodelc folder or an .mlmodel file",
    details: { path },
  });
}

/** Nothing is there. What is there and cannot be looked at is not missing: opening it says why. */
export function isMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    // Not: permissions, a loop of links, a name no file can have.
    return errnoOf(error) === "ENOTDIR";
  }
}

/** By its name. */
export function looksLikeModel(text: string): boolean {
  return modelEndings.some((ending) => text.replace(/\/+$/, "").toLowerCase().endsWith(ending));
}

/** Throws USAGE where a model stands among the files: behind them, or a second one. */
export function refuseModelAmongFiles(model: string, files: readonly string[]): void {
  const other = files.find(looksLikeModel);
  if (other === undefined) return;
  if (looksLikeModel(model)) {
    throw new CoremlxError("USAGE", `Cannot run "${other}" too: one model at a time`, {
      hint: `Run coremlx infer ${shellWord(other)} on its own`,
    });
  }
  throw new CoremlxError("USAGE", `Cannot run "${model}": the model comes first, then the files for it`, {
    hint: `Write coremlx infer ${shellWord(other)} ${shellWord(model)}`,
  });
}

/** "there is no such file", or which folder on the way is missing. */
export function whyMissing(path: string, cwd: string): string {
  const folder = dirname(path);
  const stats = statsOf(folder);
  if (isLink(path)) return "it is a link to something that is not there";
  if (stats?.isDirectory()) return "there is no such file or folder";
  if (stats !== undefined) return `"${shown(folder, cwd)}" is a file, not a folder`;
  return `there is no folder "${shown(folder, cwd)}"`;
}

/** What the user may have meant by a path where nothing is. */
export function missingHint(path: string, cwd: string): string | undefined {
  const inHome = /(?:^|\/)~\/(.*)$/.exec(path)?.[1];
  if (inHome !== undefined) return `The shell expands ~ only without quotes: write ~/${inHome}`;
  // The first part that is missing is the one with the mistake in it.
  let missing = path;
  while (dirname(missing) !== missing && !isFolder(dirname(missing))) missing = dirname(missing);
  const folder = dirname(missing);
  const name = basename(missing);
  const names = namesIn(folder).filter((candidate) => candidate !== name);
  const endings = modelEndings.map((ending) => `${name}${ending}`.toLowerCase());
  const completed = names.find((candidate) => endings.includes(candidate.toLowerCase()));
  const near = completed ?? nearest(name, names);
  if (near === undefined) return undefined;
  return `Did you mean "${shown(join(folder, near, relative(missing, path)), cwd)}"?`;
}

function refuseAddress(text: string): void {
  if (text === "-") {
    throw new CoremlxError("BAD_MODEL", "Cannot open a model from the standard input", {
      hint: "Give the path of a file or folder",
    });
  }
  if (!/^(?:[a-z][a-z0-9+.-]*:\/\/|hf:)/i.test(text)) return;
  const file = /^file:\/\/(\/.*)$/i.exec(text)?.[1];
  throw new CoremlxError(
    "BAD_MODEL",
    `Cannot open "${text}": it is an address, and models are opened from disk`,
    {
      hint: file === undefined ? "Download it, then give the path of the file or folder" : `Write ${file}`,
    },
  );
}

/** Relative to the working folder where that is shorter. */
function shown(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short !== "" && short.length < path.length ? short : path;
}

function isFolder(path: string): boolean {
  return statsOf(path)?.isDirectory() ?? false;
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // only asked to describe what is wrong with another path
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false; // nothing there at all
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    const names = readdirSync(folder);
    return names.length > maxNames ? [] : names;
  } catch {
    return []; // unreadable: then there is nothing to suggest
  }
}
