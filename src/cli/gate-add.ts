// Results and logs that were made before, kept as evidence. What they say of the build they come from must be true of the
// executable that is judged.

import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { sourceNames } from "../suites/gate/profile-schema.ts";
import { sources } from "../suites/gate/sources.ts";
import { type Binary, containsText } from "./gate-binary.ts";
import { saveEvidence } from "./gate-files.ts";

export interface Adding {
  readonly folder: string;
  readonly profile: string;
  readonly cwd: string;
  readonly binaries: readonly Binary[];
  /** Of the executables; none: this program. */
  readonly files: readonly string[];
}

const mostBytes = 256e6;

/** NAME=FILE, where the name is a source, or begins with one: coverage-swift. Throws USAGE, BAD_INPUT. */
export function addEvidence(text: string, adding: Adding): void {
  const [, name = "", file = ""] = /^([a-z0-9-]+)=(.+)$/.exec(text) ?? [];
  const source = sourceNames.find((known) => name === known || name.startsWith(`${known}-`));
  if (source === undefined) {
    throw new CoremlxError("USAGE", `Cannot read --add "${text}": it must be NAME=FILE`, {
      hint: `NAME is ${sourceNames.join(", ")}, or one of them with more behind it: coverage-swift`,
    });
  }
  const path = resolve(adding.cwd, file);
  const { raw, modifiedMs } = readRaw(path, file);
  const content = new TextDecoder().decode(raw);
  const findings = sources[source].read(content, file);
  const tool = findings.environment?.tool;
  const times = timesOf(content, modifiedMs);
  saveEvidence(adding.folder, {
    name,
    source,
    raw,
    binary: binaryOf(tool, file, adding),
    profile: adding.profile,
    command: ["coremlx", "gate", "--add", `${name}=${file}`],
    ...times,
    exitCode: -1,
    origin: "added",
  });
}

function readRaw(path: string, file: string): { readonly raw: Uint8Array; readonly modifiedMs: number } {
  try {
    const { size, mtimeMs } = statSync(path);
    if (size > mostBytes) throw new Error(`it has ${size} bytes, more than ${mostBytes}`);
    return { raw: readFileSync(path), modifiedMs: mtimeMs };
  } catch (error) {
    throw new CoremlxError("BAD_INPUT", `Cannot add "${file}": ${messageOf(error)}`, { cause: error });
  }
}

/** Which of the executables made it: the one of its commit. Logs say nothing of that, and belong to the first. */
function binaryOf(
  tool: { readonly version: string; readonly commit: string | null } | undefined,
  file: string,
  { binaries, files, cwd }: Adding,
): Binary {
  const [first] = binaries;
  if (first === undefined) throw new CoremlxError("USAGE", "There is no executable to judge");
  if (tool === undefined) return first;
  const found = binaries.findIndex((binary, index) => {
    const executable = files[index];
    if (executable === undefined || binary.version !== "")
      return binary.commit === tool.commit && binary.version === tool.version;
    return tool.commit !== null && containsText(resolve(cwd, executable), tool.commit);
  });
  const binary = binaries[found];
  if (binary !== undefined) return { ...binary, version: tool.version, commit: tool.commit };
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot add "${file}": it was made by coremlx ${tool.version} of commit ${tool.commit ?? "none"}, which is not judged here`,
    { hint: "Name the executable that made it with --binary" },
  );
}

/** As the result says; a log has only the time of its file. */
function timesOf(
  content: string,
  modifiedMs: number,
): { readonly startedAt: string; readonly endedAt: string } {
  const modified = new Date(modifiedMs).toISOString();
  if (!content.trimStart().startsWith("{")) return { startedAt: modified, endedAt: modified };
  const value: unknown = JSON.parse(content);
  const at = (key: string): string | undefined => {
    const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
    return typeof found === "string" && Number.isFinite(Date.parse(found)) ? found : undefined;
  };
  const startedAt = at("startedAt");
  const endedAt = at("endedAt") ?? startedAt ?? modified;
  return { startedAt: startedAt ?? endedAt, endedAt };
}
