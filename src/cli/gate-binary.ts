// Which coremlx is judged: by the SHA-256 of its executable, or, from source, of its source files.

import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { commit, version } from "../core/version.ts";
import { programCommand } from "../runtime/worker/channel.ts";
import type { EvidenceFile } from "../suites/gate/evidence-schema.ts";

export type Binary = EvidenceFile["binary"];

const chunkBytes = 4 * 2 ** 20;

/** This program itself. */
export function identifyProgram(): Binary {
  const [runtime = "", entry] = programCommand();
  const sha256 = entry === undefined ? digestFile(runtime) : digestSources(resolve(entry, ".."));
  return { sha256, version, commit: commit ?? null };
}

/** Throws BAD_INPUT where it cannot be read. */
export function digestFile(path: string): string {
  const hasher = new Bun.CryptoHasher("sha256");
  readChunks(path, (chunk) => void hasher.update(chunk));
  return hasher.digest("hex");
}

/** An executable names the commit it was built from somewhere in itself. */
export function containsText(path: string, text: string): boolean {
  const wanted = Buffer.from(text);
  let tail = Buffer.alloc(0);
  let isFound = false;
  readChunks(path, (chunk) => {
    const seen = Buffer.concat([tail, chunk]);
    isFound ||= seen.includes(wanted);
    tail = seen.subarray(-wanted.length); // it may lie across two chunks
  });
  return isFound;
}

function readChunks(path: string, take: (chunk: Uint8Array) => void): void {
  try {
    const fd = openSync(path, "r");
    try {
      const chunk = Buffer.alloc(chunkBytes);
      for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk))
        take(Buffer.from(chunk.subarray(0, length)));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new CoremlxError("BAD_INPUT", `Cannot read the executable "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function digestSources(folder: string): string {
  const hasher = new Bun.CryptoHasher("sha256");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  for (const name of files.toSorted()) {
    const bytes = readFileSync(join(folder, name));
    hasher.update(`${name}:${bytes.length}:`).update(bytes);
  }
  return hasher.digest("hex");
}
