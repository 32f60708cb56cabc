// The text of a compiled ML program (model.mil) parsed into the same MilProgram that protobuf gives. Written after the
// notes on the format and compilers' output; `program(1.0)` types every literal, `program(1.3)` has short scalars.

import type { ElementType } from "../core/dtype.ts";
import { defaultLimits, type FormatLimits } from "./limits.ts";
import { MilLexer, token } from "./mil-lexer.ts";
import { MilLiteralReader } from "./mil-literal.ts";
import type {
  MilBinding,
  MilBlock,
  MilFunction,
  MilNamedType,
  MilOp,
  MilOpset,
  MilProgram,
  MilTensor,
  MilValue,
} from "./mil.ts";

export interface MilTextOptions {
  /** The tensor whose metadata lies at `offset` of a blob file. `fileName` is as written: "@model_path/weights/weight.bin". */
  resolveBlob(fileName: string, offset: number, dtype: ElementType, shape: readonly number[]): MilTensor;
  /** What errors call the text; default "model.mil". */
  readonly fileName?: string | undefined;
  readonly limits?: Partial<FormatLimits> | undefined;
}

/**
 * Parses a whole program in linear time. Throws BAD_MODEL with line and column, UNSUPPORTED for an opset newer than
 * we know, and whatever `resolveBlob` throws.
 */
export function parseMilText(text: string, options: MilTextOptions): MilProgram {
  const limits = { ...defaultLimits, ...options.limits };
  const fileName = options.fileName ?? "model.mil";
  const lexer = new MilLexer(text, { fileName, limits });
  if (text.length > limits.maxProgramTextBytes)
    lexer.reject(`${text.length} characters are more than the limit of ${limits.maxProgramTextBytes}`);
  const literals = new MilLiteralReader(lexer, {
    limits,
    resolveBlob: (blob) => options.resolveBlob(blob.fileName, blob.offset, blob.dtype, blob.shape),
  });
  return new MilParser(lexer, { literals, limits }).readProgram();
}

interface ParserOptions {
  readonly literals: MilLiteralReader;
  readonly limits: FormatLimits;
}

class MilParser {
  readonly #lexer: MilLexer;
  readonly #literals: MilLiteralReader;
  readonly #limits: FormatLimits;
  #operations = 0;
  #blockDepth = 0;

  constructor(lexer: MilLexer, options: ParserOptions) {
    this.#lexer = lexer;
    this.#literals = options.literals;
    this.#limits = options.limits;
  }

  readProgram(): MilProgram {
    const lexer: MilLexer = this.#lexer;
    lexer.expectWord("program");
    lexer.expect("(");
    const version = lexer.literalText("a version");
    if (!version.startsWith("1.") && version !== "1")
      lexer.reject(`version ${version} is not 1.x, the only one known`);
    lexer.advance();
    lexer.expect(")");
    const attributes = lexer.is("[") ? this.#attributes() : new Map<string, MilValue>();
    lexer.expect("{");
    const functions = new Map<string, MilFunction>();
    while (!lexer.is("}")) {
      if (functions.size >= this.#limits.maxFunctions)
        lexer.reject(`the program has more than ${this.#limits.maxFunctions} functions`);
      const start = lexer.start;
      const parsed = this.#function();
      if (functions.has(parsed.name)) lexer.reject(`the function "${parsed.name}" is defined twice`, start);
      functions.set(parsed.name, parsed);
    }
    lexer.advance();
    lexer.take(";");
    if (lexer.kind !== token.end) lexer.fail("the end of the text");
    if (functions.size === 0) lexer.reject("the program has no function");
    return { functions, attributes };
  }

  #function(): MilFunction {
    const lexer: MilLexer = this.#lexer;
    lexer.expectWord("func");
    const name = lexer.takeName("a function's name");
    lexer.expect("<");
    const opset = this.#opset();
    lexer.expect(">");
    const inputs = this.#parameters();
    const attributes = lexer.is("[") ? this.#attributes() : new Map<string, MilValue>();
    this.#operations = 0;
    const body = this.#block();
    lexer.expect(";");
    return { name, opset, inputs, block: { inputs: [], ...body }, attributes };
  }

  #opset(): MilOpset {
    const lexer: MilLexer = this.#lexer;
    const word = lexer.kind === token.word ? lexer.raw() : "";
    const opset = opsets.get(word.toLowerCase());
    if (opset === undefined) {
      if (!/^ios\d+$/i.test(word)) lexer.fail('an opset such as "ios17"');
      lexer.unsupported(`the opset "${word}" is newer than iOS26, the newest one known`);
    }
    lexer.advance();
    return opset;
  }

  #parameters(): MilNamedType[] {
    const lexer: MilLexer = this.#lexer;
    const parameters: MilNamedType[] = [];
    lexer.expect("(");
    while (!lexer.is(")")) {
      if (parameters.length > 0) lexer.expect(",");
      if (parameters.length >= this.#limits.maxFeatures)
        lexer.reject(`there are more than ${this.#limits.maxFeatures} parameters`);
      parameters.push(this.#namedType());
    }
    lexer.advance();
    return parameters;
  }

  #namedType(): MilNamedType {
    this.#literals.count(1);
    const type = this.#literals.readType();
    return { name: this.#lexer.takeName("a name"), type };
  }

  /** `{ statements } -> (outputs)`, without the semicolon that may follow. */
  #block(): Pick<MilBlock, "operations" | "outputs"> {
    const lexer: MilLexer = this.#lexer;
    if (++this.#blockDepth > this.#limits.maxBlockDepth)
      lexer.reject(`blocks are nested more than ${this.#limits.maxBlockDepth} deep`);
    lexer.expect("{");
    const operations: MilOp[] = [];
    while (!lexer.is("}")) operations.push(this.#operation());
    lexer.advance();
    lexer.expectArrow();
    lexer.expect("(");
    const outputs: string[] = [];
    while (!lexer.is(")")) {
      if (outputs.length > 0) lexer.expect(",");
      this.#literals.count(1);
      outputs.push(lexer.takeName("the name of an output"));
    }
    lexer.advance();
    this.#blockDepth--;
    return { operations, outputs };
  }

  #operation(): MilOp {
    const lexer: MilLexer = this.#lexer;
    if (++this.#operations > this.#limits.maxOperations)
      lexer.reject(`a function has more than ${this.#limits.maxOperations} operations`);
    const outputs: MilNamedType[] = [];
    // Only an operation without results has its parenthesis right behind the first word.
    if (lexer.isName() && lexer.peek() !== PARENTHESIS) {
      do outputs.push(this.#namedType());
      while (lexer.take(","));
      lexer.expect("=");
    }
    const type = lexer.takeName("an operation");
    const inputs = this.#arguments();
    const blocks: MilBlock[] = [];
    let attributes: ReadonlyMap<string, MilValue> | undefined;
    for (;;) {
      if (lexer.is("[") && attributes === undefined) attributes = this.#attributes();
      else if (lexer.is("{") || lexer.is("(") || lexer.isName()) blocks.push(this.#nestedBlock());
      else if (blocks.length === 0 || !(lexer.is(",") || (lexer.is(";") && lexer.peek() === BRACE))) break;
      else lexer.advance(); // what may stand between two blocks
    }
    lexer.expect(";");
    return { type, inputs, outputs, blocks, attributes: attributes ?? noAttributes };
  }

  /** `name (typed inputs) { … } -> (…)`, name and inputs optional. */
  #nestedBlock(): MilBlock {
    const lexer: MilLexer = this.#lexer;
    this.#literals.count(1);
    if (lexer.isName()) lexer.advance();
    const inputs = lexer.is("(") ? this.#parameters() : [];
    return { inputs, ...this.#block() };
  }

  #arguments(): ReadonlyMap<string, readonly MilBinding[]> {
    const lexer: MilLexer = this.#lexer;
    lexer.expect("(");
    const inputs = new Map<string, readonly MilBinding[]>();
    while (!lexer.is(")")) {
      if (inputs.size > 0) lexer.expect(",");
      const start = lexer.start;
      const name = lexer.takeName("an argument's name");
      if (inputs.has(name)) lexer.reject(`the argument "${name}" is given twice`, start);
      lexer.expect("=");
      inputs.set(name, lexer.is("(") ? this.#bindings() : [this.#binding()]);
    }
    lexer.advance();
    return inputs;
  }

  #bindings(): readonly MilBinding[] {
    const lexer: MilLexer = this.#lexer;
    lexer.expect("(");
    const bindings: MilBinding[] = [];
    while (!lexer.is(")")) {
      if (bindings.length > 0) lexer.expect(",");
      bindings.push(this.#binding());
    }
    lexer.advance();
    return bindings;
  }

  #binding(): MilBinding {
    this.#literals.count(1);
    if (this.#literals.isTypedValue()) return { kind: "value", value: this.#literals.readTypedValue() };
    return { kind: "name", name: this.#lexer.takeName("a value or the name of one") };
  }

  #attributes(): ReadonlyMap<string, MilValue> {
    const lexer: MilLexer = this.#lexer;
    lexer.expect("[");
    const attributes = new Map<string, MilValue>();
    while (!lexer.is("]")) {
      if (attributes.size > 0) lexer.expect(",");
      const start = lexer.start;
      const name = lexer.takeName("an attribute's name");
      if (attributes.has(name)) lexer.reject(`the attribute "${name}" is given twice`, start);
      lexer.expect("=");
      if (!this.#literals.isTypedValue()) lexer.fail(`a typed value for the attribute "${name}"`);
      attributes.set(name, this.#literals.readTypedValue());
    }
    lexer.advance();
    return attributes;
  }
}

/** Spellings of compilers and of protobuf. Core ML 3 and 4 had no programs of their own; beta 26 called itself 19. */
const opsets: ReadonlyMap<string, MilOpset> = new Map([
  ["ios13", "iOS15"],
  ["ios14", "iOS15"],
  ["ios15", "iOS15"],
  ["ios16", "iOS16"],
  ["ios17", "iOS17"],
  ["ios18", "iOS18"],
  ["ios19", "iOS26"],
  ["ios26", "iOS26"],
  ["coreml5", "iOS15"],
  ["coreml6", "iOS16"],
  ["coreml7", "iOS17"],
  ["coreml8", "iOS18"],
  ["coreml9", "iOS26"],
]);

const noAttributes: ReadonlyMap<string, MilValue> = new Map();
const PARENTHESIS = 0x28;
const BRACE = 0x7b;
