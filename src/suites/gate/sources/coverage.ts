// How much of the lines was run: lcov as Bun writes it, or the export of llvm-cov in JSON.

import { CoremlxError } from "../../../core/errors.ts";
import type { Findings } from "../findings.ts";

export const coverageMetrics = { "line-share": "share" } as const;

interface Lines {
  readonly files: number;
  readonly found: number;
  readonly hit: number;
}

export function readCoverage(text: string, file: string): Findings {
  const { files, found, hit } = text.trimStart().startsWith("{")
    ? readLlvm(text, file)
    : readLcov(text, file);
  return {
    models: [],
    engines: [],
    measures: {
      "line-share": () =>
        found === 0
          ? "no line was counted"
          : { value: hit / found, detail: `${hit} of ${found} lines in ${files} files` },
    },
  };
}

/** A file that stands there more than once counts once, with every line that any of them ran. */
function readLcov(text: string, file: string): Lines {
  const files = new Map<string, Map<number, boolean>>();
  let lines: Map<number, boolean> | undefined;
  let isWhole = true;
  for (const line of text.split("\n")) {
    const [, key = "", value = ""] = /^(\w+):(.*)$/.exec(line.trim()) ?? [];
    if (key === "SF") {
      lines = files.get(value) ?? new Map<number, boolean>();
      files.set(value, lines);
      isWhole = false;
    }
    if (key === "DA") {
      const [number = Number.NaN, count = Number.NaN] = value.split(",").map(Number);
      if (lines === undefined || !Number.isSafeInteger(number) || !(count >= 0)) throw notLcov(file, line);
      lines.set(number, count > 0 || lines.get(number) === true);
    }
    if (line.trim() === "end_of_record") isWhole = true;
  }
  if (files.size === 0) throw notLcov(file, text.slice(0, 60));
  if (!isWhole) throw new CoremlxError("BAD_INPUT", `Cannot read ${file} as lcov: its end is missing`);
  const all = [...files.values()].flatMap((counted) => [...counted.values()]);
  return { files: files.size, found: all.length, hit: all.filter(Boolean).length };
}

function notLcov(file: string, line: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot read ${file} as lcov: "${line.slice(0, 60)}"`);
}

/** Only the project's own sources: packages and tests are in it as well. */
const ours = /(^|\/)swift\/Bridge\//;

function readLlvm(text: string, file: string): Lines {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new CoremlxError("BAD_INPUT", `Cannot read ${file} as llvm-cov's export: it is no JSON`, {
      cause: error,
    });
  }
  const counted = [...fieldsOf(parsed, "data")].flatMap((part) => [...fieldsOf(part, "files")]);
  const own = counted.flatMap((entry) => {
    const [name, lines] = [at(entry, "filename"), at(at(entry, "summary"), "lines")];
    const [found, hit] = [at(lines, "count"), at(lines, "covered")];
    if (typeof name !== "string" || typeof found !== "number" || typeof hit !== "number")
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot read ${file} as llvm-cov's export: a file has no line counts`,
      );
    return ours.test(name) ? [{ found, hit }] : [];
  });
  if (counted.length === 0)
    throw new CoremlxError("BAD_INPUT", `Cannot read ${file} as llvm-cov's export: it has no files`);
  return {
    files: own.length,
    found: own.reduce((total, { found }) => total + found, 0),
    hit: own.reduce((total, { hit }) => total + hit, 0),
  };
}

function at(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function fieldsOf(value: unknown, key: string): readonly unknown[] {
  const found = at(value, key);
  return Array.isArray(found) ? found : [];
}
