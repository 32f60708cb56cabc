// What took long to find out about this machine, kept in a file until it starts anew or its system changes.

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { countOf, type ProfilerFacts } from "./mac-text.ts";

/** Far more than we ever write. */
const mostBytes = 16 * 1_024;

/** `find` where the file has nothing under this key, or cannot be read. Nothing that is wrong with the file is an error. */
export function rememberFacts(cacheDir: string, key: string, find: () => ProfilerFacts): ProfilerFacts {
  const path = join(cacheDir, "host.json");
  const kept = readFacts(path, key);
  if (kept !== undefined) return kept;
  const facts = find();
  try {
    mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, JSON.stringify({ schemaVersion: 1, key, facts }), { mode: 0o600, flag: "wx" });
    renameSync(draft, path);
  } catch {
    // the next process finds out for itself
  }
  return facts;
}

function readFacts(path: string, key: string): ProfilerFacts | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.size > mostBytes) return undefined;
      const document: unknown = JSON.parse(readFileSync(fd, "utf8"));
      if (!isRecord(document) || document["schemaVersion"] !== 1 || document["key"] !== key) return undefined;
      const facts = document["facts"];
      if (!isRecord(facts)) return undefined;
      return {
        model: textOf(facts["model"]),
        cpu: textOf(facts["cpu"]),
        cpuCores: countOf(facts["cpuCores"]),
        gpuCores: countOf(facts["gpuCores"]),
      };
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // not there yet, or not ours
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
