// Compares the stand-ins with the table of Apple's API, and the library's sources with both.

import { type ApiRow, deploymentTarget } from "./api-table.ts";
import { type Declaration, readDeclarations } from "./declarations.ts";
import { blankSwift, compareVersions, lineOf } from "./source.ts";

export interface Sources {
  /** swift/StandIn/MODULE/….swift by path. */
  readonly standIn: ReadonlyMap<string, string>;
  /** swift/Bridge/….swift by path. */
  readonly bridge: ReadonlyMap<string, string>;
  /** Headers of the stand-ins for try.m, by path. */
  readonly objectiveC: ReadonlyMap<string, string>;
}

/** Problems, none where stand-ins, table and library agree. */
export function checkApi(rows: readonly ApiRow[], sources: Sources): string[] {
  const problems = [
    ...compareStandIns(rows, sources.standIn),
    ...compareObjectiveC(rows, sources.objectiveC),
  ];
  for (const [path, source] of sources.bridge) problems.push(...checkUses(rows, path, source));
  return problems;
}

function compareStandIns(rows: readonly ApiRow[], files: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const seen = new Set<ApiRow>();
  for (const [path, source] of files) {
    const module = path.split("/").at(-2) ?? "";
    for (const declaration of readDeclarations(source)) {
      const row = rows.find(
        (row) =>
          row.module === module &&
          row.path === declaration.path &&
          row.declaration === declaration.declaration,
      );
      if (row) seen.add(row);
      problems.push(...differences(path, module, declaration, row, rows));
    }
  }
  for (const row of rows)
    if (row.module !== "ObjC" && !seen.has(row))
      problems.push(`apple-api.txt: no stand-in declares ${row.module} ${row.path} | ${row.declaration}`);
  return problems;
}

function differences(
  path: string,
  module: string,
  found: Declaration,
  row: ApiRow | undefined,
  rows: readonly ApiRow[],
): string[] {
  if (row === undefined) {
    const same = rows.filter((other) => other.module === module && other.path === found.path);
    const known = same.map((other) => other.declaration).join(" or ");
    return [
      `${path}: ${module} ${found.path} is "${found.declaration}", Apple's is ${known === "" ? "not in the table" : `"${known}"`}`,
    ];
  }
  const since = newest(found.since ?? deploymentTarget, deploymentTarget);
  const wanted = newest(row.since, deploymentTarget);
  return since === wanted ? [] : [`${path}: ${found.path} is there since ${since}, Apple's since ${wanted}`];
}

function newest(a: string, b: string): string {
  return compareVersions(a, b) > 0 ? a : b;
}

/** Methods as `-[MLModel newState]`, with the availability that the header writes. */
function compareObjectiveC(rows: readonly ApiRow[], headers: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const wanted = new Map(rows.filter((row) => row.module === "ObjC").map((row) => [row.path, row] as const));
  for (const [path, source] of headers)
    for (const { name, declaration, since } of readObjectiveC(source)) {
      const row = wanted.get(name);
      wanted.delete(name);
      if (row === undefined) problems.push(`${path}: ${name} is not in the table`);
      else if (row.declaration !== declaration)
        problems.push(`${path}: ${name} is "${declaration}", Apple's is "${row.declaration}"`);
      else if (newest(since, deploymentTarget) !== newest(row.since, deploymentTarget))
        problems.push(`${path}: ${name} is there since ${since}, Apple's since ${row.since}`);
    }
  for (const name of wanted.keys()) problems.push(`apple-api.txt: no header declares ${name}`);
  return problems;
}

function readObjectiveC(source: string): { name: string; declaration: string; since: string }[] {
  const methods: { name: string; declaration: string; since: string }[] = [];
  const code = source.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
  for (const [, interfaceName = "", body = ""] of code.matchAll(/@interface (\w+)[^\n]*\n([^]*?)@end/g))
    for (const [statement] of body.matchAll(/^[-+] \([^;]*;/gm)) {
      const since = /API_AVAILABLE\(macos\((\d+\.\d+)\)\)/.exec(statement)?.[1] ?? deploymentTarget;
      const declaration = statement
        .replace(/\s*API_AVAILABLE\(macos\(\d+\.\d+\)\)/, "")
        .replaceAll(/\s+/g, " ")
        .replace(/;$/, "");
      methods.push({ name: objectiveCName(interfaceName, declaration), declaration, since });
    }
  return methods;
}

/** `-[MLModel predictionFromFeatures:options:error:]`, which is the path of a row without its spaces. */
function objectiveCName(interfaceName: string, declaration: string): string {
  const sign = declaration[0] ?? "";
  // Types in parentheses go, nested ones first: a block's arguments are no labels.
  let bare = declaration;
  for (let before = ""; before !== bare; ) {
    before = bare;
    bare = bare.replaceAll(/\([^()]*\)/g, "");
  }
  const labels = [...bare.matchAll(/(\w+):/g)].map(([label]) => label);
  const selector = labels.length > 0 ? labels.join("") : (/\w+/.exec(bare)?.[0] ?? "");
  return `${sign}[${interfaceName}.${selector}]`;
}

const applePrefix = /\b(?:k?(?:ML|CV|CG|IO|MTL)[A-Z]\w+|kIO\w+|RUSAGE_\w+|rusage_\w+|proc_\w+)\b/g;

/** A framework's name that the table does not have, also in parts that Linux does not compile. */
function checkUses(rows: readonly ApiRow[], path: string, source: string): string[] {
  const problems: string[] = [];
  const code = blankSwift(source);
  const known = new Set(rows.flatMap((row) => row.path.split(".")));
  for (const row of rows) for (const [name] of row.declaration.matchAll(/\w+/g)) known.add(name);
  for (const { 0: name, index } of code
    .replaceAll(/^\s*import .*$/gm, (line) => " ".repeat(line.length))
    .matchAll(applePrefix))
    if (!known.has(name))
      problems.push(`${path}:${lineOf(source, index)}: ${name} is not in the table of Apple's API`);
  for (const { 0: name, index } of code.matchAll(/\bStandIn\w+/g))
    problems.push(`${path}:${lineOf(source, index)}: the library may not know ${name}`);
  for (const { 1: module = "", index } of code.matchAll(/^\s*import ([\w.]+)/gm))
    if (!allowedModules.has(module))
      problems.push(`${path}:${lineOf(source, index)}: the library may not import ${module}`);
  return problems;
}

const allowedModules = new Set([
  "CCoremlx",
  "CoreGraphics",
  "CoreML",
  "CoreVideo",
  "Darwin",
  "DarwinStandIn",
  "Dispatch",
  "Foundation",
  "IOKit",
  "IOKit.ps",
  "ImageIO",
  "Metal",
]);

/** Rows that a listing of the stand-ins would make, to start a table from. */
export function listDeclarations(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, source]) =>
    readDeclarations(source).map(
      ({ path: name, declaration, since }) =>
        `${since ?? "10.13"} ${path.split("/").at(-2)} ${name} | ${declaration}`,
    ),
  );
}
