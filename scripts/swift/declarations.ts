// The public declarations of a Swift source, as rows to compare with the table of Apple's.

import { blankSwift, compareVersions } from "./source.ts";

export interface Declaration {
  readonly path: string;
  readonly declaration: string;
  /** From @available, its own or that of what it stands in; undefined: from the start. */
  readonly since: string | undefined;
}

interface Scope {
  readonly name: string;
  readonly kind: "type" | "enum" | "protocol" | "body";
  readonly isPublic: boolean;
  readonly isStandIn: boolean;
  readonly since: string | undefined;
}

const word = String.raw`[A-Za-z_][A-Za-z0-9_]*`;
const typeHead = new RegExp(`\\b(class|struct|enum|protocol|extension)\\s+((?:${word}\\.)*${word})`);

/** Everything that another module can see, but not what is named StandIn…: that is no part of Apple's API. */
export function readDeclarations(source: string): Declaration[] {
  const code = blankSwift(source).replaceAll(/^\s*#.*$/gm, (line) => " ".repeat(line.length));
  const found: Declaration[] = [];
  const scopes: Scope[] = [];
  let start = 0;
  let depth = 0;
  for (let at = 0; at <= code.length; at++) {
    const char = code[at];
    if (char === "(" || char === "[") depth++;
    if (char === ")" || char === "]") depth--;
    if (depth > 0) continue;
    const endsLine = char === "\n" && !isOpen(code.slice(start, at));
    if (char !== "{" && char !== "}" && !endsLine && at < code.length) continue;
    const text = code.slice(start, at).trim();
    const parent = scopes.at(-1);
    if (text !== "" && parent?.kind !== "body") {
      const declaration = readOne(text, scopes);
      if (declaration) found.push(declaration);
    }
    if (char === "{") scopes.push(scopeOf(text, scopes));
    if (char === "}") scopes.pop();
    start = at + 1;
  }
  return found;
}

/** A line that goes on: attributes before their declaration, an operator at the end. */
function isOpen(text: string): boolean {
  const trimmed = text.trim();
  return /^(?:@\w+(?:\([^()]*\))?\s*)+$/.test(trimmed) || /(?:[=,:&|]|->)$/.test(trimmed);
}

function scopeOf(text: string, scopes: readonly Scope[]): Scope {
  const outer = scopes.at(-1);
  const head = outer?.kind === "body" ? null : typeHead.exec(text);
  const since = latest(outer?.since, availableOf(text));
  if (head === null)
    return { name: "", kind: "body", isPublic: false, isStandIn: outer?.isStandIn ?? false, since };
  const [, keyword = "", name = ""] = head;
  const isPublic = /\b(?:public|open)\b/.test(text.slice(0, head.index)) || keyword === "extension";
  const kind = keyword === "enum" || keyword === "protocol" ? keyword : "type";
  const isStandIn = (outer?.isStandIn ?? false) || name.startsWith("StandIn");
  return { name, kind, isPublic: isPublic && (outer?.isPublic ?? true), isStandIn, since };
}

function readOne(text: string, scopes: readonly Scope[]): Declaration | undefined {
  const outer = scopes.at(-1);
  if (outer?.isStandIn || outer?.isPublic === false) return undefined;
  // What C sees of a stand-in is a function of ours, declared in coremlx_try.h.
  if (text.includes("@_cdecl")) return undefined;
  const bare = text.replaceAll(/@(?!convention|escaping)\w+(?:\([^()]*\))?/g, " ").trim();
  const isCase = outer?.kind === "enum" && /^case\b/.test(bare);
  const isRequirement = outer?.kind === "protocol";
  if (!/^(?:[a-z]+(?:\(\w+\))?\s+)*?(?:public|open)\b/.test(bare) && !isCase && !isRequirement)
    return undefined;
  const head = typeHead.exec(bare);
  const isType = head !== null && !/\b(?:func|var|let|init)\b/.test(bare.slice(0, head.index));
  if (isType && head[1] === "extension") return undefined;
  const name = isType ? (head[2] ?? "") : memberName(bare);
  if (name === undefined || name.startsWith("StandIn") || name === "rawValue" || bare.includes("standIn"))
    return undefined;
  const declaration = tidy(bare, isType, text);
  // NS_ENUM's own initializer, and what only makes stand-ins: Apple's types say `init()` where they have one.
  if (/^init\??\(rawValue:/.test(declaration)) return undefined;
  return {
    path: [...scopes.map((scope) => scope.name), name].join("."),
    declaration,
    since: latest(outer?.since, availableOf(text)),
  };
}

function memberName(bare: string): string | undefined {
  return new RegExp(`\\b(?:func|var|let|case|typealias)\\s+(\`?${word}\`?)|\\b(init|deinit|subscript)\\b`)
    .exec(bare)
    ?.slice(1)
    .find((name) => name !== undefined)
    ?.replaceAll("`", "");
}

/** One line; `let` and `var`, stored and computed, look alike to a caller. */
function tidy(bare: string, isType: boolean, text: string): string {
  let line = bare
    .replaceAll(/\b(?:public|open|final|override|convenience|internal\(set\)|nonisolated\(unsafe\))\s+/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
  if (isType) return line.replace(/: StandInEnum$/, ": Int").replace(/^struct (\w+): Int$/, "enum $1: Int");
  const constant = /^static let (\w+) = \w+\(rawValue: (\w+)\)!?$/.exec(line);
  if (constant !== null) return /OptionSet|"/.test(text) ? line : `case ${constant[1]} = ${constant[2]}`;
  line = line.replace(/^((?:static )?)let /, "$1var ");
  // A default that a caller need not give is a part of a function; a stored value is not.
  return /^(?:static )?var /.test(line) ? line.replace(/ = .*$/, "") : line;
}

function availableOf(text: string): string | undefined {
  return /@available\(macOS (\d+\.\d+), \*\)/.exec(text)?.[1];
}

function latest(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareVersions(a, b) > 0 ? a : b;
}
