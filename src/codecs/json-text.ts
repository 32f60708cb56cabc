// JSON text to values without loss: whole numbers of any length stay exact, repeated names are errors, depth is bounded.
// JSON.parse does none of the three. Grammar: RFC 8259.

import { CoremlxError } from "../core/errors.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";

/** A whole number beyond 2^53 is a bigint; every other number the nearest float64. Objects keep the order of the text. */
export type JsonNode = null | boolean | number | bigint | string | JsonNode[] | Map<string, JsonNode>;

export interface JsonTextOptions {
  /** Opens every error: `Cannot read JSON "x.json"`. */
  readonly subject: string;
  readonly limits?: CodecLimits | undefined;
}

/** Throws BAD_INPUT with line and column. Takes no stack space for nested values. */
export function parseJson(
  source: string | Uint8Array,
  { subject, limits = defaultLimits }: JsonTextOptions,
): JsonNode {
  if (source.length > limits.jsonBytes)
    throw new CoremlxError(
      "BAD_INPUT",
      `${subject}: ${source.length} bytes are more than the limit of ${limits.jsonBytes}`,
    );
  return new JsonReader(
    typeof source === "string" ? source : decodeUtf8(source, subject),
    subject,
    limits,
  ).read();
}

export function isJsonObject(node: JsonNode): node is Map<string, JsonNode> {
  return node instanceof Map;
}

function decodeUtf8(bytes: Uint8Array, subject: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes); // drops a byte order mark
  } catch (cause) {
    throw new CoremlxError("BAD_INPUT", `${subject}: it is not UTF-8 text`, { cause });
  }
}

/** A list or object that is still open. `key` is the name whose value comes next. */
type Open =
  | { readonly kind: "list"; readonly items: JsonNode[] }
  | { readonly kind: "object"; readonly members: Map<string, JsonNode>; key: string };

/** One pass over one text. Invariant: everything before `at` is read, and is the beginning of a JSON text. */
class JsonReader {
  readonly #text: string;
  readonly #subject: string;
  readonly #limits: CodecLimits;
  readonly #open: Open[] = [];
  #at = 0;
  #containers = 0;

  constructor(text: string, subject: string, limits: CodecLimits) {
    this.#text = text;
    this.#subject = subject;
    this.#limits = limits;
  }

  read(): JsonNode {
    for (;;) {
      let value = this.#begin();
      if (value === undefined) continue; // a list or object was opened and has a first value
      // Give the value to what holds it, and close whatever ends behind it.
      for (;;) {
        const holder = this.#open.at(-1);
        if (holder === undefined) {
          this.#skipSpace();
          if (this.#at < this.#text.length) throw this.#fail("more text follows the value");
          return value;
        }
        if (holder.kind === "list") holder.items.push(value);
        else holder.members.set(holder.key, value);
        this.#skipSpace();
        const code = this.#text.charCodeAt(this.#at);
        if (code === COMMA) {
          this.#at++;
          if (holder.kind === "object") holder.key = this.#readKey(holder.members);
          break;
        }
        if (code !== (holder.kind === "list" ? CLOSE_LIST : CLOSE_OBJECT))
          throw this.#fail(holder.kind === "list" ? `expected "," or "]"` : `expected "," or "}"`);
        this.#at++;
        this.#open.pop();
        value = holder.kind === "list" ? holder.items : holder.members;
      }
    }
  }

  /** A scalar or an empty container; undefined after opening one whose first value comes next. */
  #begin(): JsonNode | undefined {
    this.#skipSpace();
    const code = this.#text.charCodeAt(this.#at);
    if (code === QUOTE) return this.#readString();
    if (code === OPEN_LIST || code === OPEN_OBJECT) return this.#openContainer(code === OPEN_LIST);
    if (code === MINUS || (code >= ZERO && code <= NINE)) return this.#readNumber();
    for (const [word, value] of words)
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    throw this.#fail("expected a value");
  }

  #openContainer(isList: boolean): JsonNode | undefined {
    if (this.#open.length >= this.#limits.jsonDepth)
      throw this.#fail(`more than ${this.#limits.jsonDepth} lists and objects within each other`);
    if (++this.#containers > this.#limits.jsonContainers)
      throw this.#fail(`more than ${this.#limits.jsonContainers} lists and objects`);
    this.#at++;
    this.#skipSpace();
    const isEmpty = this.#text.charCodeAt(this.#at) === (isList ? CLOSE_LIST : CLOSE_OBJECT);
    if (isEmpty) {
      this.#at++;
      return isList ? [] : new Map<string, JsonNode>();
    }
    if (isList) this.#open.push({ kind: "list", items: [] });
    else {
      const members = new Map<string, JsonNode>();
      this.#open.push({ kind: "object", members, key: this.#readKey(members) });
    }
    return undefined;
  }

  #readKey(members: ReadonlyMap<string, JsonNode>): string {
    this.#skipSpace();
    if (this.#text.charCodeAt(this.#at) !== QUOTE) throw this.#fail("expected a name in quotes");
    const start = this.#at;
    const key = this.#readString();
    if (members.has(key)) {
      this.#at = start;
      throw this.#fail(`${JSON.stringify(key.slice(0, 100))} is there twice`);
    }
    this.#skipSpace();
    if (this.#text.charCodeAt(this.#at) !== COLON) throw this.#fail(`expected ":"`);
    this.#at++;
    return key;
  }

  #readString(): string {
    const start = this.#at + 1;
    let end = start;
    let isPlain = true;
    for (; ; end++) {
      const code = this.#text.charCodeAt(end);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        isPlain = false;
        end++;
      } else if (!(code >= 0x20)) {
        this.#at = Math.min(end, this.#text.length); // NaN here is the end of the text
        throw this.#fail(
          Number.isNaN(code) ? "the text ends within a string" : "a control character within a string",
        );
      }
    }
    this.#at = end + 1;
    if (isPlain) return this.#text.slice(start, end);
    try {
      const value: unknown = JSON.parse(this.#text.slice(start - 1, end + 1));
      return String(value);
    } catch {
      this.#at = start; // the only fault left is an escape that JSON does not have
      throw this.#fail("a string has an unknown escape");
    }
  }

  #readNumber(): number | bigint {
    numberPattern.lastIndex = this.#at;
    const match = numberPattern.exec(this.#text);
    if (match === null) throw this.#fail("expected a number");
    const literal = match[0];
    const value = Number(literal);
    const isWhole = match[1] === undefined && match[2] === undefined;
    if (isWhole && literal.length > this.#limits.jsonDigits)
      throw this.#fail(
        `a number of ${literal.length} digits is beyond the limit of ${this.#limits.jsonDigits}`,
      );
    if (!(isWhole && literal.length > 15) && !Number.isFinite(value))
      throw this.#fail(`${literal.slice(0, 40)} is beyond float64; infinity is written "Infinity"`);
    this.#at = numberPattern.lastIndex;
    return isWhole && !Number.isSafeInteger(value) ? BigInt(literal) : value;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #fail(reason: string): CoremlxError {
    const before = this.#text.slice(0, this.#at);
    const line = before.split("\n").length;
    const column = this.#at - before.lastIndexOf("\n");
    const found =
      this.#at >= this.#text.length ? "the end" : JSON.stringify(this.#text.slice(this.#at, this.#at + 20));
    return new CoremlxError(
      "BAD_INPUT",
      `${this.#subject}: line ${line}, column ${column}, at ${found}: ${reason}`,
      {
        details: { line, column },
      },
    );
  }
}

const words = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;

const numberPattern = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
