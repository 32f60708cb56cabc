// Whether every use of an API newer than the deployment target stands behind a guard. Linux enforces no availability of
// macOS, so this reads the sources.

import { type ApiRow, deploymentTarget, isNewer, nameOf } from "./api-table.ts";
import { blankSwift, compareVersions, lineOf } from "./source.ts";

interface Symbol {
  readonly pattern: RegExp;
  readonly name: string;
  readonly since: string;
}

/** Problems of one file, none where all is guarded. `own` are the declarations with @available of all files. */
export function checkAvailability(rows: readonly ApiRow[], files: ReadonlyMap<string, string>): string[] {
  const own = [...files.values()].flatMap((source) => ownSymbols(blankSwift(source)));
  const symbols = [...rows.filter(isNewer).flatMap((row) => tableSymbols(row, rows)), ...own];
  return [...files].flatMap(([path, source]) => checkFile(path, source, symbols));
}

/**
 * Members of a type that is itself newer cannot be reached without naming that type, or a value of it that was named
 * before: only the newest step counts.
 */
function tableSymbols(row: ApiRow, rows: readonly ApiRow[]): Symbol[] {
  const name = nameOf(row);
  const parentPath = row.path.split(".").slice(0, -1).join(".");
  const parent = rows.find((other) => other.module === row.module && other.path === parentPath);
  if (parent !== undefined && compareVersions(parent.since, row.since) >= 0) return [];
  if (row.module === "ObjC") return [];
  // A case is written with a dot and nothing before it; its raw value is as good as its name.
  const value = /^case \w+ = (0x\w+)$/.exec(row.declaration)?.[1];
  const pattern = row.declaration.startsWith("case ") ? `(?<![\\w)\\]?!.])\\.${name}\\b` : `\\b${name}\\b`;
  return [
    { pattern: new RegExp(pattern, "g"), name, since: row.since },
    ...(value === undefined
      ? []
      : [{ pattern: new RegExp(`\\b${value}\\b`, "g"), name: value, since: row.since }]),
  ];
}

/** What the library itself declares for newer systems only. */
function ownSymbols(code: string): Symbol[] {
  const symbols: Symbol[] = [];
  const declared =
    /@available\(macOS (\d+\.\d+), \*\)\s*(?:private |public |static |final )*(?:func|var|let|class|struct|enum) (\w+)/g;
  for (const [, since = "", name = ""] of code.matchAll(declared))
    symbols.push({ pattern: new RegExp(`\\b${name}\\b`, "g"), name, since });
  const extended = /@available\(macOS (\d+\.\d+), \*\)\s*extension \w+ \{([^]*?)\n\}/g;
  for (const [, since = "", body = ""] of code.matchAll(extended))
    for (const [, name = ""] of body.matchAll(/^ {2}(?:static )?(?:func|var|let) (\w+)/gm))
      symbols.push({ pattern: new RegExp(`\\b${name}\\b`, "g"), name, since });
  return symbols;
}

function checkFile(path: string, source: string, symbols: readonly Symbol[]): string[] {
  const code = blankSwift(source);
  const guards = readGuards(code);
  const problems: string[] = [];
  for (const { pattern, name, since } of symbols)
    for (const { index } of code.matchAll(pattern)) {
      if (isDeclared(code, index)) continue;
      const guard = guards(index);
      if (compareVersions(guard, since) < 0)
        problems.push(
          `${path}:${lineOf(source, index)}: ${name} needs macOS ${since}, here it may be ${guard}`,
        );
    }
  // Tests pretend older systems through isAllowed, which must say what its #available says.
  for (const { 0: text, 1: version = "", index } of code.matchAll(
    /#available\(macOS ([\d.]+), \*\)(?:, isAllowed\(([\d.]+)\))?/g,
  ))
    if (!text.endsWith(`isAllowed(${version})`))
      problems.push(
        `${path}:${lineOf(source, index)}: #available(macOS ${version}, *) without isAllowed(${version})`,
      );
  return problems;
}

/** The name in its own declaration, behind its own @available. */
function isDeclared(code: string, index: number): boolean {
  return /(?:func|var|let|class|struct|enum) $/.test(code.slice(0, index));
}

interface Block {
  version: string;
  /** Of the guard whose else-block this is: holds for the rest of the block around it. */
  readonly afterwards: string | undefined;
}

/** The least system at an offset, by the guards around and before it. */
function readGuards(code: string): (offset: number) => string {
  const marks: { readonly offset: number; readonly version: string }[] = [
    { offset: 0, version: deploymentTarget },
  ];
  const blocks: Block[] = [{ version: deploymentTarget, afterwards: undefined }];
  const current = () => blocks.at(-1)?.version ?? deploymentTarget;
  let start = 0;
  for (let at = 0; at < code.length; at++) {
    const condition = /^[#@]available\(macOS (\d+\.\d+), \*\)/.exec(code.slice(at, at + 40));
    // The rest of a condition is read only where its first part holds; the rest of a declaration belongs to its attribute.
    if (condition !== null)
      marks.push({
        offset: at,
        version: highest(conditionVersion(code, start, at, marks), condition[1] ?? ""),
      });
    if (code[at] === "{") {
      const head = code.slice(start, at);
      const available =
        latestIn(head, /@available\(macOS (\d+\.\d+), \*\)/g) ??
        latestIn(head, /#available\(macOS (\d+\.\d+), \*\)/g);
      const isGuard = /\bguard\b[^]*\belse\s*$/.test(head);
      blocks.push(
        isGuard
          ? { version: current(), afterwards: available }
          : { version: highest(current(), available ?? deploymentTarget), afterwards: undefined },
      );
      marks.push({ offset: at, version: current() });
      start = at + 1;
    } else if (code[at] === "}") {
      const closed = blocks.pop();
      const outer = blocks.at(-1);
      if (outer && closed?.afterwards !== undefined)
        outer.version = highest(outer.version, closed.afterwards);
      marks.push({ offset: at, version: current() });
      start = at + 1;
    }
  }
  return (offset) => marks.findLast((mark) => mark.offset <= offset)?.version ?? deploymentTarget;
}

/** Conditions of the same statement add up. */
function conditionVersion(
  code: string,
  start: number,
  at: number,
  marks: readonly { readonly offset: number; readonly version: string }[],
): string {
  const before = latestIn(code.slice(start, at), /#available\(macOS (\d+\.\d+), \*\)/g) ?? deploymentTarget;
  return highest(marks.findLast((mark) => mark.offset <= start)?.version ?? deploymentTarget, before);
}

function latestIn(text: string, pattern: RegExp): string | undefined {
  return [...text.matchAll(pattern)]
    .map(([, version = ""]) => version)
    .toSorted(compareVersions)
    .at(-1);
}

function highest(a: string, b: string): string {
  return compareVersions(a, b) >= 0 ? a : b;
}
