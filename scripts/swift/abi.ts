// Compares the three sides of the C ABI: the header, what the Swift library exports, and what TypeScript calls.

import { layOut, type FieldType } from "../../src/native/coreml-structs.ts";

export interface AbiSources {
  /** swift/CCoremlx/include/coremlx.h */
  readonly header: string;
  /** swift/CCoremlx/layout.c */
  readonly layout: string;
  /** swift/Bridge/….swift by path. */
  readonly bridge: ReadonlyMap<string, string>;
  /** src/native/coreml-symbols.ts, coreml-structs.ts, coreml-numbers.ts */
  readonly symbols: string;
  readonly structs: string;
  readonly numbers: string;
}

/** Types in one form for all three: `u32`, `i64`, `ptr T` for a T that the callee may change, `ptr const T`. */
interface Signature {
  readonly args: readonly string[];
  readonly returns: string;
}

/** Problems, none where all agree. */
export function checkAbi(sources: AbiSources): string[] {
  const header = blankComments(sources.header);
  const functions = readPrototypes(header);
  const problems = [
    ...compareSwift(functions, sources.bridge),
    ...compareSymbols(functions, sources.symbols),
    ...compareStructs(readStructs(header), sources),
    ...compareNumbers(readNumbers(header), sources),
  ];
  if (functions.size === 0) problems.push("coremlx.h: no function was found");
  return problems;
}

function blankComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, " ").replaceAll(/^#(?!define).*$/gm, " ");
}

const scalars: Readonly<Record<string, string>> = {
  void: "void",
  cmlx_handle: "u64",
  uint64_t: "u64",
  int64_t: "i64",
  uint32_t: "u32",
  int32_t: "i32",
  uint8_t: "u8",
  char: "char",
};

/** `const cmlx_tensor *` -> `ptr const cmlx_tensor`; a name behind it may be there. */
function readCType(text: string): string {
  const [, isConst, base = "", stars = ""] = /^\s*(const\s+)?(\w+)\s*(\**)/.exec(text) ?? [];
  const named = (isConst ? "const " : "") + (scalars[base] ?? base);
  return "ptr ".repeat(stars.length) + named;
}

function readPrototypes(source: string): ReadonlyMap<string, Signature> {
  const found = new Map<string, Signature>();
  for (const [, returns = "", name = "", args = ""] of source.matchAll(
    /^\s*(\w+) (cmlx_\w+)\(([^()]*)\);/gm,
  )) {
    const list = args.trim() === "void" ? [] : args.split(",");
    found.set(name, { args: list.map(readCType), returns: readCType(returns) });
  }
  return found;
}

// Swift.

const swiftScalars: Readonly<Record<string, string>> = {
  UInt64: "u64",
  Int64: "i64",
  UInt32: "u32",
  Int32: "i32",
  UInt8: "u8",
  CChar: "char",
};

/** Every pointer arrives optional. */
function readSwiftType(text: string): string {
  const type = text.trim();
  if (type === "UnsafeMutableRawPointer?") return "ptr void";
  const [, mutable, inner] = /^Unsafe(Mutable)?Pointer<(.*)>\?$/.exec(type) ?? [];
  if (inner === undefined) return swiftScalars[type] ?? type;
  return `ptr ${mutable ? "" : "const "}${readSwiftType(inner)}`;
}

function readExports(
  bridge: ReadonlyMap<string, string>,
): Map<string, Signature & { readonly path: string }> {
  const found = new Map<string, Signature & { readonly path: string }>();
  for (const [path, source] of bridge) {
    for (const [, name = "", args = "", returns] of source.matchAll(
      /@_cdecl\("(\w+)"\)\s*public func \w+\(([^()]*)\)(?:\s*->\s*(\w+))?/g,
    )) {
      const list = args.trim() === "" ? [] : args.split(",");
      found.set(name, {
        path,
        args: list.map((arg) => readSwiftType(arg.slice(arg.indexOf(":") + 1))),
        returns: returns === undefined ? "void" : readSwiftType(returns),
      });
    }
  }
  return found;
}

function compareSwift(
  functions: ReadonlyMap<string, Signature>,
  bridge: ReadonlyMap<string, string>,
): string[] {
  const problems: string[] = [];
  const found = readExports(bridge);
  for (const [name, wanted] of functions) {
    const swift = found.get(name);
    if (swift === undefined) problems.push(`swift/Bridge: nothing exports ${name}`);
    else problems.push(...differences(swift.path, name, swift, wanted));
    found.delete(name);
  }
  for (const [name, { path }] of found) problems.push(`${path}: ${name} is not in coremlx.h`);
  return problems;
}

function differences(where: string, name: string, found: Signature, wanted: Signature): string[] {
  const problems: string[] = [];
  if (found.args.length !== wanted.args.length) {
    problems.push(`${where}: ${name} has ${found.args.length} arguments, in coremlx.h ${wanted.args.length}`);
  } else {
    for (const [i, arg] of found.args.entries()) {
      if (arg !== wanted.args[i])
        problems.push(`${where}: ${name} takes ${arg} as argument ${i + 1}, in coremlx.h ${wanted.args[i]}`);
    }
  }
  if (found.returns !== wanted.returns)
    problems.push(`${where}: ${name} returns ${found.returns}, in coremlx.h ${wanted.returns}`);
  return problems;
}

// TypeScript.

const symbolsPath = "src/native/coreml-symbols.ts";

function compareSymbols(functions: ReadonlyMap<string, Signature>, source: string): string[] {
  const problems: string[] = [];
  const order: string[] = [];
  for (const [, prototype = "", name = "", args = "", returns = ""] of source.matchAll(
    /\/\/ (.*)\n\s*(\w+): \{\s*args: \[([^\]]*)\],\s*returns: "(\w+)",?\s*\}/g,
  )) {
    order.push(name);
    const wanted = functions.get(name);
    if (wanted === undefined) {
      problems.push(`${symbolsPath}: ${name} is not in coremlx.h`);
      continue;
    }
    const written = readPrototypes(`${prototype};`).get(name);
    if (written === undefined) problems.push(`${symbolsPath}: ${name} has another prototype above it`);
    else problems.push(...differences(symbolsPath, `the prototype above ${name}`, written, wanted));
    const bound = {
      args: [...args.matchAll(/"(\w+)"/g)].map(([, type = ""]) => type),
      returns,
    };
    const plain = { args: wanted.args.map(forgetPointee), returns: forgetPointee(wanted.returns) };
    problems.push(...differences(symbolsPath, name, bound, plain));
  }
  const missing = [...functions.keys()].filter((name) => !order.includes(name));
  problems.push(...missing.map((name) => `${symbolsPath}: ${name} is missing`));
  const wantedOrder = [...functions.keys()].filter((name) => order.includes(name));
  const misplaced = wantedOrder.find((name, i) => name !== order.filter((each) => functions.has(each))[i]);
  if (misplaced !== undefined) problems.push(`${symbolsPath}: ${misplaced} is not where coremlx.h has it`);
  return problems;
}

function forgetPointee(type: string): string {
  return type.startsWith("ptr") ? "ptr" : type;
}

// Structs.

type Fields = readonly (readonly [string, string])[];

const structsPath = "src/native/coreml-structs.ts";

function readStructs(header: string): ReadonlyMap<string, Fields> {
  const structs = new Map<string, Fields>();
  for (const [, body = "", name = ""] of header.matchAll(/typedef struct \w+ \{([^}]*)\} (\w+);/g)) {
    const fields = [...body.matchAll(/^\s*((?:const )?\w+) (\*?)(\w+)(?:\[(\w+)\])?;/gm)].map(
      ([, type = "", star, field = "", size]): [string, string] => {
        if (star) return [field, "ptr"];
        const base = readCType(type);
        return [field, size === undefined ? base : `${base}[${size === "CMLX_MAX_RANK" ? 8 : size}]`];
      },
    );
    structs.set(name, fields);
  }
  return structs;
}

function readTypeScriptStructs(source: string): ReadonlyMap<string, Fields> {
  const structs = new Map<string, Fields>();
  for (const [, name = "", body = ""] of source.matchAll(/^ {2}(cmlx_\w+): \{([^}]*)\}/gm)) {
    structs.set(
      name,
      [...body.matchAll(/(\w+): "([^"]+)"/g)].map(([, field = "", type = ""]): [string, string] => [
        field,
        type,
      ]),
    );
  }
  return structs;
}

function compareStructs(header: ReadonlyMap<string, Fields>, sources: AbiSources): string[] {
  const problems: string[] = [];
  const ours = readTypeScriptStructs(sources.structs);
  for (const [name, wanted] of header) {
    const found = ours.get(name);
    if (found === undefined) {
      problems.push(`${structsPath}: ${name} is missing`);
      continue;
    }
    const [here, there] = [found, wanted].map((fields) => fields.map((field) => field.join(" ")).join(", "));
    if (here !== there) problems.push(`${structsPath}: ${name} is "${here}", in coremlx.h "${there}"`);
    problems.push(...compareAssertions(name, found, sources.layout));
  }
  for (const name of ours.keys())
    if (!header.has(name)) problems.push(`${structsPath}: ${name} is not in coremlx.h`);
  return problems;
}

/** The compiler has checked the assertions: so they say whether our own arithmetic is C's. */
function compareAssertions(name: string, fields: Fields, layout: string): string[] {
  const ours = layOut(Object.fromEntries(fields) as Readonly<Record<string, FieldType>>);
  const [, size] = new RegExp(`sizeof\\(${name}\\) == (\\d+)`).exec(layout) ?? [];
  const problems: string[] = [];
  if (Number(size) !== ours.byteLength)
    problems.push(`${structsPath}: ${name} has ${ours.byteLength} bytes, in layout.c ${size ?? "no size"}`);
  for (const [, field = "", offset] of layout.matchAll(
    new RegExp(`offsetof\\(${name}, (\\w+)\\) == (\\d+)`, "g"),
  )) {
    const place = ours.fields[field]?.byteOffset;
    if (place !== Number(offset))
      problems.push(`${structsPath}: ${name}.${field} lies at ${place}, in layout.c at ${offset}`);
  }
  return problems;
}

// Numbers.

function readNumbers(header: string): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const [, name = "", value] of header.matchAll(/\b(CMLX_\w+)\s*=?\s+(\d+)u?\b/g))
    numbers.set(name, Number(value));
  return numbers;
}

function compareNumbers(header: ReadonlyMap<string, number>, { numbers, symbols }: AbiSources): string[] {
  const path = "src/native/coreml-numbers.ts";
  const problems: string[] = [];
  for (const [, name = "", value] of numbers.matchAll(/\b(CMLX_\w+): (\d+)/g)) {
    const wanted = header.get(name);
    if (Number(value) !== wanted) problems.push(`${path}: ${name} is ${value}, in coremlx.h ${wanted}`);
  }
  const statuses = [...header.keys()].filter((name) => name === "CMLX_OK" || name.startsWith("CMLX_E_"));
  for (const name of statuses)
    if (!numbers.includes(`${name}:`)) problems.push(`${path}: ${name} is missing`);
  const [, version] = /coremlAbiVersion = (\d+)/.exec(symbols) ?? [];
  const wanted = header.get("CMLX_ABI_VERSION");
  if (Number(version) !== wanted) problems.push(`${symbolsPath}: version ${version}, in coremlx.h ${wanted}`);
  return problems;
}
