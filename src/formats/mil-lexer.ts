// Tokens of MIL text, one at a time over the whole string: no regular expressions, no copies until a token is wanted.

import { CoremlxError } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import type { FormatLimits } from "./limits.ts";

/** Punctuation tokens carry their character code as kind; these four need a kind of their own. */
export const token = { end: 0, word: 1, number: 2, string: 3, arrow: 4 } as const;

/** Invariant: `kind`, `start` and `end` describe the current token; `advance` moves on. */
export class MilLexer {
  readonly text: string;
  kind: number = token.end;
  start = 0;
  end = 0;
  readonly #maxNameLength: number;
  readonly #fileName: string;

  constructor(text: string, options: { readonly fileName: string; readonly limits: FormatLimits }) {
    this.text = text;
    this.#fileName = options.fileName;
    this.#maxNameLength = options.limits.maxNameLength;
    if (text.charCodeAt(0) === BYTE_ORDER_MARK) this.end = 1;
    this.advance();
  }

  advance(): void {
    const { text } = this;
    let at = this.#skipBlank(this.end);
    this.start = at;
    const code = text.charCodeAt(at);
    if (at >= text.length) {
      this.kind = token.end;
      this.end = at;
    } else if (code === QUOTE) {
      this.kind = token.string;
      this.end = this.#endOfString(at);
    } else if (isNumberStart(text, at)) {
      this.kind = token.number;
      for (at++; at < text.length && isNumberPart(text, at); at++);
      this.end = at;
    } else if (isWordStart(code)) {
      this.kind = token.word;
      for (at++; at < text.length && isWordPart(text, at); at++);
      this.end = at;
    } else if (code === MINUS && text.charCodeAt(at + 1) === GREATER) {
      this.kind = token.arrow;
      this.end = at + 2;
    } else {
      this.kind = code;
      this.end = at + 1;
    }
  }

  /** Is the current token this punctuation character? */
  is(character: string): boolean {
    return this.kind === character.charCodeAt(0);
  }

  isWord(word: string): boolean {
    return (
      this.kind === token.word &&
      this.end - this.start === word.length &&
      this.text.startsWith(word, this.start)
    );
  }

  /** Moves past `character` if it is the current token. */
  take(character: string): boolean {
    if (!this.is(character)) return false;
    this.advance();
    return true;
  }

  expect(character: string): void {
    if (!this.take(character)) this.fail(`"${character}"`);
  }

  expectArrow(): void {
    if (this.kind !== token.arrow) this.fail('"->"');
    this.advance();
  }

  expectWord(word: string): void {
    if (!this.isWord(word)) this.fail(`"${word}"`);
    this.advance();
  }

  /** First character code after the current token, blanks skipped; NaN at the end of the text. */
  peek(): number {
    return this.text.charCodeAt(this.#skipBlank(this.end));
  }

  /** Is the current token a name? Converters may start one with a digit, and anything may stand in quotes. */
  isName(): boolean {
    return (
      this.kind === token.word ||
      this.kind === token.string ||
      (this.kind === token.number && isDigitCode(this.text.charCodeAt(this.start)))
    );
  }

  /** Takes a name. `what` says in the error what it would have named. */
  takeName(what: string): string {
    if (!this.isName()) this.fail(what);
    const name = this.kind === token.string ? this.#stringText() : this.raw();
    if (name.length > this.#maxNameLength)
      this.reject(`a name of ${name.length} characters is longer than the limit of ${this.#maxNameLength}`);
    this.advance();
    return name;
  }

  takeString(what: string): string {
    if (this.kind !== token.string) this.fail(what);
    const value = this.#stringText();
    this.advance();
    return value;
  }

  /** The current number or word as written, to be read as a literal. Does not move. */
  literalText(what: string): string {
    if (this.kind !== token.number && this.kind !== token.word) this.fail(what);
    const length = this.end - this.start;
    if (length > MAX_NUMBER_LENGTH)
      this.reject(`a literal of ${length} characters is longer than the limit of ${MAX_NUMBER_LENGTH}`);
    return this.raw();
  }

  /** The current token as written. */
  raw(): string {
    return this.text.slice(this.start, this.end);
  }

  /** Throws BAD_MODEL at the current token. */
  fail(expected: string): never {
    const found = this.kind === token.end ? "the end of the text" : quote(this.raw(), FOUND_LENGTH);
    throw this.#error(`expected ${expected}, found ${found}`, this.start, { expected, found });
  }

  /** Throws BAD_MODEL at `offset`, by default the current token's start. */
  reject(reason: string, offset = this.start): never {
    throw this.#error(reason, offset, {});
  }

  /** Throws UNSUPPORTED at the current token. */
  unsupported(reason: string): never {
    const { message, details } = this.#error(reason, this.start, {});
    throw new CoremlxError("UNSUPPORTED", message, { details: details ?? {} });
  }

  /** "model.mil at 12:34": where the current token stands. */
  place(): string {
    const { line, column } = positionOf(this.text, this.start);
    return `${this.#fileName} at ${line}:${column}`;
  }

  #error(reason: string, offset: number, facts: Readonly<Record<string, string>>): CoremlxError {
    const { line, column } = positionOf(this.text, offset);
    return badModel(`${this.#fileName} at ${line}:${column}: ${reason}`, {
      details: { file: this.#fileName, line, column, ...facts },
    });
  }

  #skipBlank(from: number): number {
    const { text } = this;
    let at = from;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === 0x20 || (code >= 0x09 && code <= 0x0d)) at++;
      else if (code === SLASH && text.charCodeAt(at + 1) === SLASH) {
        const lineEnd = text.indexOf("\n", at);
        at = lineEnd < 0 ? text.length : lineEnd;
      } else return at;
    }
  }

  #endOfString(start: number): number {
    const { text } = this;
    for (let at = start + 1; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === BACKSLASH) at++;
      else if (code === QUOTE) return at + 1;
    }
    return this.reject("a string has no closing quote", start);
  }

  #stringText(): string {
    const length = this.end - this.start - 2;
    if (length > MAX_STRING_LENGTH)
      this.reject(`a string of ${length} characters is longer than the limit of ${MAX_STRING_LENGTH}`);
    const body = this.text.slice(this.start + 1, this.end - 1);
    return body.includes("\\") ? this.#unescape(body) : body;
  }

  /** C's escapes. Runs of \xNN and octal escapes are bytes of UTF-8, as a C program writes them. */
  #unescape(body: string): string {
    let result = "";
    let bytes: number[] = [];
    const flush = (): void => {
      if (bytes.length > 0) result += new TextDecoder().decode(new Uint8Array(bytes));
      bytes = [];
    };
    for (let at = 0; at < body.length; ) {
      const plainEnd = body.indexOf("\\", at);
      if (plainEnd !== at) {
        flush();
        if (plainEnd < 0) return result + body.slice(at);
        result += body.slice(at, plainEnd);
      }
      const escape = readEscape(body, plainEnd + 1);
      if (escape === undefined)
        this.reject(
          `${quote(body.slice(plainEnd, plainEnd + 4))} is no escape of a string`,
          this.start + 1 + plainEnd,
        );
      if (escape.byte !== undefined) bytes.push(escape.byte);
      else {
        flush();
        result += escape.text;
      }
      at = escape.next;
    }
    flush();
    return result;
  }
}

type Escape =
  | { readonly byte: number; readonly text?: undefined; readonly next: number }
  | { readonly byte?: undefined; readonly text: string; readonly next: number };

/** The escape whose letter stands at `at`, just after the backslash. */
function readEscape(body: string, at: number): Escape | undefined {
  const letter = body[at];
  if (letter === undefined) return undefined;
  const simple = simpleEscapes[letter];
  if (simple !== undefined) return { text: simple, next: at + 1 };
  if (letter >= "0" && letter <= "7") {
    const digits = countDigits(body, at, 3, 8);
    return { byte: Number.parseInt(body.slice(at, at + digits), 8) & 0xff, next: at + digits };
  }
  const length = letter === "x" ? 2 : letter === "u" ? 4 : letter === "U" ? 8 : 0;
  const digits = countDigits(body, at + 1, length, 16);
  if (digits === 0 || (letter !== "x" && digits !== length)) return undefined;
  const next = at + 1 + digits;
  const value = Number.parseInt(body.slice(at + 1, next), 16);
  if (letter === "x") return { byte: value, next };
  return value > 0x10ffff ? undefined : { text: String.fromCodePoint(value), next };
}

function countDigits(body: string, at: number, most: number, base: 8 | 16): number {
  let count = 0;
  while (count < most && !Number.isNaN(Number.parseInt(body[at + count] ?? "", base))) count++;
  return count;
}

const simpleEscapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  e: "\x1b",
  "\\": "\\",
  '"': '"',
  "'": "'",
  "?": "?",
  "/": "/",
};

/** Line and column, both from 1, in UTF-16 units. */
function positionOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  let line = 1;
  let lineStart = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) {
    line++;
    lineStart = at + 1;
  }
  return { line, column: offset - lineStart + 1 };
}

function isDigitCode(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isLetterCode(code: number): boolean {
  const lower = code | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || code === UNDERSCORE;
}

function isWordStart(code: number): boolean {
  return isLetterCode(code) || code >= 0x80 || oddNameCodes.has(code);
}

/** coremltools replaces odd characters of names by "_"; other writers may not. */
function isWordPart(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  if (isLetterCode(code) || isDigitCode(code) || code === DOT || code >= 0x80) return true;
  if (code === MINUS) return text.charCodeAt(at + 1) !== GREATER;
  if (code === SLASH) return text.charCodeAt(at + 1) !== SLASH;
  return oddNameCodes.has(code) || code === PLUS;
}

function isNumberStart(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  if (isDigitCode(code)) return true;
  const next = text.charCodeAt(at + 1);
  if (code === DOT) return isDigitCode(next);
  return (code === MINUS || code === PLUS) && (isDigitCode(next) || isLetterCode(next) || next === DOT);
}

/** Letters and digits, and a sign behind the "p" or "e" of an exponent. */
function isNumberPart(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  if (isDigitCode(code) || isLetterCode(code) || code === DOT) return true;
  if (code !== MINUS && code !== PLUS) return false;
  const before = text.charCodeAt(at - 1) | 0x20;
  return before === 0x70 || before === 0x65;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const SLASH = 0x2f;
const GREATER = 0x3e;
const UNDERSCORE = 0x5f;
const BYTE_ORDER_MARK = 0xfeff;
const oddNameCodes: ReadonlySet<number> = new Set(new TextEncoder().encode("$@%#~!&|:/^`'"));
/** No float has more digits that matter: float64 needs 767. Reading a number takes time quadratic in its length. */
const MAX_NUMBER_LENGTH = 2048;
const MAX_STRING_LENGTH = 2 ** 24;
/** Characters of a wrong token that an error shows. */
const FOUND_LENGTH = 40;
