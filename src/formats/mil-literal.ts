// Types and typed values of MIL text: `tensor<fp16, [2]>([0x1p+0, 0x0p+0])`, `bool(true)`, tuples, lists, dictionaries.

import { bitSize, isPacked, type ElementType } from "../core/dtype.ts";
import type { FormatLimits } from "./limits.ts";
import { ElementBuffer, floatElement } from "./mil-elements.ts";
import { token, type MilLexer } from "./mil-lexer.ts";
import {
  integerRange,
  isFloatType,
  isIntegerType,
  parseFloatAs,
  parseInteger,
  type FloatType,
  type IntegerType,
} from "./mil-number.ts";
import { about } from "./mil-values.ts";
import type { MilDim, MilTensor, MilType, MilValue } from "./mil.ts";

/** Where a BLOBFILE literal points. `offset` is that of the blob's metadata. */
export interface BlobReference {
  readonly fileName: string;
  readonly offset: number;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
}

export interface LiteralOptions {
  readonly limits: FormatLimits;
  readonly resolveBlob: (reference: BlobReference) => MilTensor;
}

/** Reads types and values at the lexer's position. Shared by a whole text: the count of items is one budget. */
export class MilLiteralReader {
  readonly #lexer: MilLexer;
  readonly #options: LiteralOptions;
  #items = 0;
  #depth = 0;

  constructor(lexer: MilLexer, options: LiteralOptions) {
    this.#lexer = lexer;
    this.#options = options;
  }

  /** Does a type start here? A value may bear a type's name; then neither "<" nor "(" follows it. */
  isTypedValue(): boolean {
    const lexer: MilLexer = this.#lexer;
    if (lexer.kind !== token.word) return false;
    const word = lexer.raw();
    const next = lexer.peek();
    return compoundTypes.has(word) ? next === LESS : elementTypes.has(word) && next === PARENTHESIS;
  }

  /** Charges the budget for `items` objects about to be made. */
  count(items: number): void {
    this.#items += items;
    const limit = this.#options.limits.maxDecodedItems;
    if (this.#items > limit)
      this.#lexer.reject(`the program holds more than ${limit} names, types and values`);
  }

  readType(): MilType {
    const lexer: MilLexer = this.#lexer;
    if (lexer.kind !== token.word) lexer.fail("a type");
    const word = lexer.raw();
    const element = elementTypes.get(word);
    if (element !== undefined) {
      lexer.advance();
      return { kind: "tensor", dtype: element, shape: [] };
    }
    if (!compoundTypes.has(word)) lexer.fail("a type");
    return this.#nested(() => {
      lexer.advance();
      lexer.expect("<");
      const type = this.#compoundType(word);
      lexer.expect(">");
      return type;
    });
  }

  readTypedValue(): MilValue {
    const type = this.readType();
    this.#lexer.expect("(");
    const value = type.kind === "tuple" ? this.#outerTuple(type.elements) : this.#value(type);
    this.#lexer.expect(")");
    return value;
  }

  #compoundType(word: string): MilType {
    const lexer: MilLexer = this.#lexer;
    switch (word) {
      case "tensor": {
        const dtype = elementTypes.get(lexer.kind === token.word ? lexer.raw() : "");
        if (dtype === undefined) lexer.fail("an element type");
        lexer.advance();
        lexer.expect(",");
        return { kind: "tensor", dtype, shape: this.#shape() };
      }
      case "list": {
        const element = this.readType();
        return { kind: "list", element, length: lexer.take(",") ? this.#dimension() : undefined };
      }
      case "state":
        return { kind: "state", wrapped: this.readType() };
      case "tuple": {
        const elements: MilType[] = [];
        while (!lexer.is(">")) {
          if (elements.length > 0) lexer.expect(",");
          this.count(1);
          elements.push(this.readType());
        }
        return { kind: "tuple", elements };
      }
      default: {
        const key = this.readType();
        lexer.expect(",");
        return { kind: "dictionary", key, value: this.readType() };
      }
    }
  }

  #shape(): readonly MilDim[] | undefined {
    const lexer: MilLexer = this.#lexer;
    if (lexer.take("?") || lexer.take("*")) return undefined;
    lexer.expect("[");
    const dims: MilDim[] = [];
    while (!lexer.is("]")) {
      if (dims.length > 0) lexer.expect(",");
      if (dims.length >= this.#options.limits.maxRank)
        lexer.reject(`a tensor has more than ${this.#options.limits.maxRank} axes`);
      dims.push(this.#dimension());
    }
    lexer.advance();
    return dims;
  }

  #dimension(): MilDim {
    const lexer: MilLexer = this.#lexer;
    if (lexer.take("?")) return undefined;
    if (lexer.kind === token.word) {
      lexer.advance(); // a symbol such as "is0": known only at run time
      return undefined;
    }
    const size = parseInteger(lexer.literalText("a dimension")) ?? lexer.fail("a dimension");
    if (size < 0n || size > BigInt(this.#options.limits.maxDimension))
      lexer.reject(`a dimension of ${size} is outside 0 to ${this.#options.limits.maxDimension}`);
    lexer.advance();
    return Number(size);
  }

  /**
   * Newer compilers write the tuple's own parentheses inside those of the typed value, `tuple<A, B>((a, b))`; older
   * ones let the outer pair serve as both, `tuple<A, B>(a, b)`. Only a single item needs a look to tell them apart.
   */
  #outerTuple(types: readonly MilType[]): MilValue {
    const first = types[0];
    if (this.#lexer.is(")")) return { kind: "tuple", values: [] };
    if (first !== undefined && leadingParentheses(this.#lexer) <= openingParentheses(first))
      return this.#tupleItems(types);
    return this.#value({ kind: "tuple", elements: types });
  }

  #tupleItems(types: readonly MilType[]): MilValue {
    const values: MilValue[] = [];
    for (const type of types) {
      if (values.length > 0) this.#lexer.expect(",");
      values.push(this.#value(type));
    }
    return { kind: "tuple", values };
  }

  #value(type: MilType): MilValue {
    this.count(1);
    if (this.isTypedValue()) return this.#nested(() => this.readTypedValue());
    if (type.kind === "tensor") return this.#tensor(type.dtype, type.shape);
    return this.#nested(() => this.#compoundValue(type));
  }

  #compoundValue(type: Exclude<MilType, { kind: "tensor" }>): MilValue {
    const lexer: MilLexer = this.#lexer;
    switch (type.kind) {
      case "tuple": {
        lexer.expect("(");
        const tuple = this.#tupleItems(type.elements);
        lexer.expect(")");
        return tuple;
      }
      case "list": {
        lexer.expect("[");
        const values: MilValue[] = [];
        while (!lexer.is("]")) {
          if (values.length > 0) lexer.expect(",");
          values.push(this.#value(type.element));
        }
        if (type.length !== undefined && type.length !== values.length)
          lexer.reject(`a list of ${type.length} has ${values.length} elements`);
        lexer.advance();
        return { kind: "list", values };
      }
      case "dictionary": {
        lexer.expect("{");
        const entries: (readonly [MilValue, MilValue])[] = [];
        while (!lexer.is("}")) {
          if (entries.length > 0) lexer.expect(",");
          lexer.expect("{");
          const key = this.#value(type.key);
          lexer.expect(",");
          entries.push([key, this.#value(type.value)]);
          lexer.expect("}");
        }
        lexer.advance();
        return { kind: "dictionary", entries };
      }
      case "state":
        return lexer.reject("a state has no literal value");
    }
  }

  #tensor(dtype: ElementType | "string", dims: readonly MilDim[] | undefined): MilValue {
    const lexer: MilLexer = this.#lexer;
    if (lexer.isWord("BLOBFILE")) return this.#blob(dtype, dims);
    if (dims === undefined) lexer.reject("a literal must have a type of known rank");
    const sizes = [...dims];
    const capacity = dims.every((dim) => dim !== undefined) ? this.#countWithinText(dims) : 0;
    if (dtype === "string") {
      const values: string[] = [];
      this.#elements(sizes, 0, () => values.push(this.#string()));
      return { kind: "strings", shape: sizes.map((size) => size ?? 0), values };
    }
    const elements = new ElementBuffer(dtype, capacity);
    if (isFloatType(dtype))
      this.#elements(sizes, 0, () => elements.add(floatElement(this.#float(dtype), dtype)));
    else if (isIntegerType(dtype)) this.#elements(sizes, 0, () => elements.add(this.#integer(dtype)));
    else this.#elements(sizes, 0, () => elements.add(this.#bool()));
    return elements.tensor(sizes.map((size) => size ?? 0));
  }

  /**
   * Calls `read` for every element in order, checking the brackets of one axis after the other. Where a size is not
   * known the first run along that axis decides it.
   */
  #elements(sizes: MilDim[], axis: number, read: () => void): void {
    if (axis === sizes.length) {
      read();
      return;
    }
    const lexer: MilLexer = this.#lexer;
    lexer.expect("[");
    let size = 0;
    while (!lexer.is("]") && size !== sizes[axis]) {
      if (size > 0) lexer.expect(",");
      this.#elements(sizes, axis + 1, read);
      size++;
    }
    const expected = (sizes[axis] ??= size);
    if (size < expected) lexer.fail(`${expected} elements along axis ${axis}, the next after ${size}`);
    if (!lexer.take("]")) lexer.fail(`"]" after ${expected} elements along axis ${axis}`);
  }

  #string(): string {
    this.count(1);
    return this.#lexer.takeString("a string");
  }

  #bool(): number {
    const lexer: MilLexer = this.#lexer;
    const text = lexer.literalText('"true" or "false"');
    if (text !== "true" && text !== "false" && text !== "1" && text !== "0") lexer.fail('"true" or "false"');
    lexer.advance();
    return text === "true" || text === "1" ? 1 : 0;
  }

  #float(dtype: FloatType): number {
    const lexer: MilLexer = this.#lexer;
    const value =
      parseFloatAs(lexer.literalText(`a ${dtype} value`), dtype) ?? lexer.fail(`a ${dtype} value`);
    lexer.advance();
    return value;
  }

  #integer(dtype: IntegerType): number | bigint {
    const lexer: MilLexer = this.#lexer;
    const text = lexer.literalText(`an ${dtype} value`);
    const value = parseInteger(text) ?? lexer.fail(`an ${dtype} value`);
    const [lowest, highest] = integerRange[dtype];
    if (value < lowest || value > highest)
      lexer.reject(`${value} is outside the range of ${dtype}, ${lowest} to ${highest}`);
    lexer.advance();
    return bitSize[dtype] === 64 ? value : Number(value);
  }

  #blob(dtype: ElementType | "string", dims: readonly MilDim[] | undefined): MilTensor {
    const lexer: MilLexer = this.#lexer;
    if (dtype === "string" || dtype === "bool") lexer.reject(`a blob file cannot hold ${dtype} values`);
    if (dims === undefined || !dims.every((dim) => dim !== undefined))
      lexer.reject("a blob must have a type of known shape");
    this.#elementCount(dims);
    lexer.advance();
    lexer.expect("(");
    let fileName: string | undefined;
    let offset: number | undefined;
    while (!lexer.is(")")) {
      if (fileName !== undefined || offset !== undefined) lexer.expect(",");
      const start = lexer.start;
      const key = lexer.takeName('"path" or "offset"');
      lexer.expect("=");
      const value = this.readTypedValue();
      if (key === "path" && fileName === undefined && value.kind === "strings") fileName = value.values[0];
      else if (key === "offset" && offset === undefined && value.kind === "tensor") offset = offsetOf(value);
      else
        lexer.reject(`BLOBFILE takes one "path" string and one "offset" integer, not this "${key}"`, start);
    }
    if (fileName === undefined || offset === undefined) lexer.fail('a "path" and an "offset" in BLOBFILE');
    lexer.advance();
    try {
      return this.#options.resolveBlob({ fileName, offset, dtype, shape: dims });
    } catch (error) {
      throw about(lexer.place(), error);
    }
  }

  /** Every element but the last takes two characters: a shape cannot claim more memory than the text justifies. */
  #countWithinText(shape: readonly number[]): number {
    const lexer: MilLexer = this.#lexer;
    const count = this.#elementCount(shape);
    if (count * 2 - 1 <= lexer.text.length - lexer.start) return count;
    return lexer.reject(
      `a tensor of shape [${shape.join(", ")}] has ${count} elements, more than the text that is left`,
    );
  }

  #elementCount(shape: readonly number[]): number {
    const limit = this.#options.limits.maxTensorElements;
    const count = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
    if (count > limit)
      this.#lexer.reject(
        `a tensor of shape [${shape.join(", ")}] has more elements than the limit of ${limit}`,
      );
    return count;
  }

  #nested<T>(read: () => T): T {
    const limit = this.#options.limits.maxNesting;
    if (++this.#depth > limit) this.#lexer.reject(`types or values are nested more than ${limit} deep`);
    const result = read();
    this.#depth--;
    return result;
  }
}

function offsetOf(value: MilTensor): number | undefined {
  if (value.shape.length > 0 || isPacked(value.dtype) || !isIntegerType(value.dtype)) return undefined;
  let offset = 0;
  for (let i = value.bytes.length - 1; i >= 0; i--) offset = offset * 256 + (value.bytes[i] ?? 0);
  return Number.isSafeInteger(offset) ? offset : undefined;
}

/** Opening parentheses from here on, blanks between them ignored. */
function leadingParentheses(lexer: MilLexer): number {
  if (!lexer.is("(")) return 0;
  const { text } = lexer;
  let count = 0;
  for (let at = lexer.start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === PARENTHESIS) count++;
    else if (code > 0x20) break;
  }
  return count;
}

/** With how many parentheses a literal of this type begins. */
function openingParentheses(type: MilType): number {
  let count = 0;
  for (let inner: MilType | undefined = type; inner?.kind === "tuple"; inner = inner.elements[0]) count++;
  return count;
}

const compoundTypes: ReadonlySet<string> = new Set([
  "tensor",
  "list",
  "tuple",
  "dict",
  "dictionary",
  "state",
]);

const elementTypes: ReadonlyMap<string, ElementType | "string"> = new Map([
  ["bool", "bool"],
  ["string", "string"],
  ["fp16", "float16"],
  ["fp32", "float32"],
  ["fp64", "float64"],
  ["bf16", "bfloat16"],
  ["fp8e4m3fn", "float8e4m3fn"],
  ["fp8E4M3FN", "float8e4m3fn"],
  ["fp8e5m2", "float8e5m2"],
  ["fp8E5M2", "float8e5m2"],
  ["int4", "int4"],
  ["int8", "int8"],
  ["int16", "int16"],
  ["int32", "int32"],
  ["int64", "int64"],
  ["uint1", "uint1"],
  ["uint2", "uint2"],
  ["uint3", "uint3"],
  ["uint4", "uint4"],
  ["uint6", "uint6"],
  ["uint8", "uint8"],
  ["uint16", "uint16"],
  ["uint32", "uint32"],
  ["uint64", "uint64"],
]);

const LESS = 0x3c;
const PARENTHESIS = 0x28;
