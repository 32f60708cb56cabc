// Evidence in folders: NAME.evidence.json, and beside it the raw data it names.

import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { makeFolder, writeFileWhole } from "../native/write-file.ts";
import type { EvidenceBytes } from "../suites/gate/evidence.ts";
import { type EvidenceFacts, makeEvidence } from "../suites/gate/make-evidence.ts";
import { sources } from "../suites/gate/sources.ts";

const ending = ".evidence.json";
const largestEnvelopeBytes = 4e6;
/** An hour's soak of many models is some MB, the log of a long test run as well. */
const largestRawBytes = 256e6;
const mostFiles = 1_000;
/** As deep as artifacts lie that were downloaded from several jobs. */
const deepest = 4;

/** Files and folders as the user names them. Throws BAD_INPUT for what is not there, and for too much. */
export function findEvidence(given: readonly string[], cwd: string): readonly EvidenceBytes[] {
  const paths = new Set<string>();
  for (const text of given) {
    const path = resolve(cwd, text);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) {
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot read evidence from "${text}": there is no such file or folder`,
        {
          hint: "coremlx gate --run measures what this machine can measure, and keeps it there",
        },
      );
    }
    const found = stats.isDirectory() ? listFolder(path, deepest) : [path];
    for (const one of found) paths.add(one);
  }
  if (paths.size > mostFiles) {
    throw new CoremlxError("BAD_INPUT", `Cannot read ${paths.size} evidence files: more than ${mostFiles}`);
  }
  return [...paths].toSorted().map((path) => readEvidence(path, shortName(path, cwd)));
}

function shortName(path: string, cwd: string): string {
  const near = relative(cwd, path);
  return near.startsWith("..") ? path : near;
}

function listFolder(folder: string, depth: number): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return depth > 1 ? listFolder(path, depth - 1) : [];
    return entry.isFile() && entry.name.endsWith(ending) ? [path] : [];
  });
}

function readEvidence(path: string, file: string): EvidenceBytes {
  const text = readBounded(path, largestEnvelopeBytes);
  const envelope = text === undefined ? undefined : parseJson(text);
  const name: unknown =
    typeof envelope === "object" && envelope !== null && "raw" in envelope
      ? Reflect.get(Object(envelope.raw), "file")
      : undefined;
  // One beside it, never one that a hostile file points to.
  const isPlain = typeof name === "string" && name === basename(name) && name !== "" && !name.startsWith(".");
  const raw = isPlain ? readBounded(join(dirname(path), name), largestRawBytes) : undefined;
  return { file, envelope, raw };
}

/** A regular file of that size at most; `undefined` for everything else. */
function readBounded(path: string, mostBytes: number): Uint8Array | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() && stats.size <= mostBytes ? readFileSync(path) : undefined;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return value;
  } catch {
    return undefined; // refused as no evidence file
  }
}

export type SavedFacts = Omit<EvidenceFacts, "rawFile">;

/** Writes raw data and evidence into the folder, in the place of what had that name; gives the evidence file's path. */
export function saveEvidence(folder: string, facts: SavedFacts): string {
  const rawFile = `${facts.name}.${sources[facts.source].ending}`;
  const evidence = makeEvidence({ ...facts, rawFile });
  makeFolder(folder);
  writeFileWhole(join(folder, rawFile), facts.raw);
  const path = join(folder, `${facts.name}${ending}`);
  writeFileWhole(path, new TextEncoder().encode(`${JSON.stringify(evidence, undefined, 2)}\n`));
  return path;
}

/** A file of TOML or JSON that a user wrote. Throws BAD_INPUT. */
export function readSettings(text: string, cwd: string): unknown {
  const path = resolve(cwd, text);
  try {
    const bytes = readBounded(path, 1e6);
    if (bytes === undefined) throw new Error("there is no such file, or it is too large");
    const content = new TextDecoder().decode(bytes);
    const value: unknown = path.endsWith(".json") ? JSON.parse(content) : Bun.TOML.parse(content);
    return value;
  } catch (error) {
    throw new CoremlxError("BAD_INPUT", `Cannot read "${text}": ${messageOf(error)}`, { cause: error });
  }
}
