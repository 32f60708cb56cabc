import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { numbersOf } from "../../../src/core/tensor.ts";
import { CoremlxError } from "../../../src/core/errors.ts";
import { parseMilText, type MilTextOptions } from "../../../src/formats/mil-text.ts";
import type { MilOp, MilProgram, MilTensor, MilValue } from "../../../src/formats/mil.ts";
import { sharedPath } from "../../support/shared.ts";

/** Blobs of zero bytes; what a test wants to know of them is where they were sought. */
function parse(text: string, options: Partial<MilTextOptions> = {}): MilProgram {
  return parseMilText(text, {
    resolveBlob: (fileName, offset, dtype, shape) => ({
      kind: "tensor",
      dtype,
      shape,
      bytes: new Uint8Array(new ArrayBuffer(0)),
      source: { path: fileName, offset },
    }),
    ...options,
  });
}

function inFunction(statements: string, outputs = ""): string {
  return `program(1.3)\n{\nfunc main<ios18>() {\n${statements}\n} -> (${outputs});\n}`;
}

function operations(statements: string): readonly MilOp[] {
  return parse(inFunction(statements)).functions.get("main")?.block.operations ?? [];
}

function value(typed: string, options: Partial<MilTextOptions> = {}): MilValue | undefined {
  const program = parse(inFunction(`int32 v = const()[val = ${typed}];`), options);
  return program.functions.get("main")?.block.operations[0]?.attributes.get("val");
}

function tensor(typed: string): { dtype: string; shape: readonly number[]; values: readonly number[] } {
  const parsed = value(typed);
  if (parsed?.kind !== "tensor") throw new Error(`${typed} is no tensor`);
  const values =
    parsed.dtype === "int64" || parsed.dtype === "uint64" || parsed.dtype.startsWith("float8")
      ? [...parsed.bytes]
      : [...numbersOf({ dtype: parsed.dtype as "float32", bytes: parsed.bytes })];
  return { dtype: parsed.dtype, shape: parsed.shape, values };
}

function failure(text: string, options: Partial<MilTextOptions> = {}): CoremlxError {
  try {
    parse(text, options);
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("the text was accepted");
}

function messageFor(statement: string): string {
  return failure(inFunction(statement)).message;
}

const scalar = { kind: "tensor", dtype: "int32", shape: [] } as const;

describe("parseMilText", () => {
  test("reads a whole program of the older dialect", () => {
    const program = parse(
      readFileSync(sharedPath("models/apple-add-model-mlmodelc/add_model.mlmodelc/model.mil"), "utf8"),
    );
    const half = { kind: "tensor", dtype: "float16", shape: [1, 10] } as const;
    const text = (each: string) => ({ kind: "strings", shape: [], values: [each] });
    expect(program).toEqual({
      attributes: new Map([
        [
          "buildInfo",
          {
            kind: "dictionary",
            entries: [
              [text("coremlc-component-MIL"), text("3402.3.2")],
              [text("coremlc-version"), text("3402.4.1")],
              [text("coremltools-component-torch"), text("2.5.1")],
              [text("coremltools-source-dialect"), text("TorchScript")],
              [text("coremltools-version"), text("8.1")],
            ],
          },
        ],
      ]) as MilProgram["attributes"],
      functions: new Map([
        [
          "main",
          {
            name: "main",
            opset: "iOS16",
            inputs: [
              { name: "x", type: half },
              { name: "y", type: half },
            ],
            attributes: new Map(),
            block: {
              inputs: [],
              operations: [
                {
                  type: "mul",
                  inputs: new Map([
                    ["x", [{ kind: "name", name: "x" }]],
                    ["y", [{ kind: "name", name: "y" }]],
                  ]),
                  outputs: [{ name: "var_3", type: half }],
                  blocks: [],
                  attributes: new Map([["name", text("op_3_cast_fp16")]]),
                },
              ],
              outputs: ["var_3"],
            },
          },
        ],
      ]) as MilProgram["functions"],
    });
  });

  test("reads several functions, their opsets and attributes", () => {
    const program = parse(`program(1.3)
[buildInfo = dict<string, string>({})]
{
    func first<ios17>(tensor<fp32, [?]> a) [FlexibleShapeInformation = tuple<tuple<string, dict<string, tensor<int32, [?]>>>, tuple<string, dict<string, list<tensor<int32, [2]>, ?>>>>((("DefaultShapes", {{"a", [4]}}), ("RangeDims", {{"a", [[0, 4]]}})))] {
            tensor<fp32, [?]> b = relu(x = a);
        } -> (b);
    func second<ios26>(state<tensor<fp16, [1, 8]>> kv) {
            tensor<fp16, [1, 8]> r = read_state(input = kv);
            write_state(data = r, input = kv)[name = string("w")];
        } -> (r);
}`);
    const first = program.functions.get("first");
    const second = program.functions.get("second");
    const int32 = (shape: number[], values: number[]) => ({
      kind: "tensor",
      dtype: "int32",
      shape,
      bytes: new Uint8Array(new Int32Array(values).buffer),
      source: undefined,
    });
    const text = (each: string) => ({ kind: "strings", shape: [], values: [each] });
    expect([first?.opset, second?.opset]).toEqual(["iOS17", "iOS26"]);
    expect(first?.inputs).toEqual([
      { name: "a", type: { kind: "tensor", dtype: "float32", shape: [undefined] } },
    ]);
    expect(first?.attributes.get("FlexibleShapeInformation")).toEqual({
      kind: "tuple",
      values: [
        {
          kind: "tuple",
          values: [text("DefaultShapes"), { kind: "dictionary", entries: [[text("a"), int32([1], [4])]] }],
        },
        {
          kind: "tuple",
          values: [
            text("RangeDims"),
            { kind: "dictionary", entries: [[text("a"), { kind: "list", values: [int32([2], [0, 4])] }]] },
          ],
        },
      ],
    } as MilValue);
    expect(second?.inputs).toEqual([
      {
        name: "kv",
        type: { kind: "state", wrapped: { kind: "tensor", dtype: "float16", shape: [1, 8] } },
      },
    ]);
    expect(second?.block.operations.map((op) => [op.type, op.outputs.length, [...op.inputs.keys()]])).toEqual(
      [
        ["read_state", 1, ["input"]],
        ["write_state", 0, ["data", "input"]],
      ],
    );
  });

  test("reads list arguments, inline values and several results", () => {
    const [split, concat] = operations(`
      tensor<fp16, [1, 4]> s0, tensor<fp16, [1, ?]> s1 = split(axis = int32(1), num_splits = n, x = x)[name = string("s")];
      tensor<fp16, ?> c = concat(axis = a, interleave = bool(false), values = (s0, s1), none = ());`);
    expect(split?.outputs).toEqual([
      { name: "s0", type: { kind: "tensor", dtype: "float16", shape: [1, 4] } },
      { name: "s1", type: { kind: "tensor", dtype: "float16", shape: [1, undefined] } },
    ]);
    expect(split?.inputs.get("axis")).toEqual([
      {
        kind: "value",
        value: {
          kind: "tensor",
          dtype: "int32",
          shape: [],
          bytes: new Uint8Array([1, 0, 0, 0]),
          source: undefined,
        },
      },
    ]);
    expect(concat?.inputs.get("values")).toEqual([
      { kind: "name", name: "s0" },
      { kind: "name", name: "s1" },
    ]);
    expect(concat?.inputs.get("none")).toEqual([]);
    expect(concat?.outputs[0]?.type).toEqual({ kind: "tensor", dtype: "float16", shape: undefined });
    expect(concat?.attributes).toEqual(new Map());
  });

  test("reads parameters of a constexpr operation from its attributes", () => {
    const [op] = operations(`
      tensor<fp16, [4]> w = constexpr_affine_dequantize()[axis = int32(0), quantized_data = tensor<int8, [4]>(BLOBFILE(path = string("@model_path/weights/weight.bin"), offset = uint64(64))), scale = fp16(0x1p-1), zero_point = int8(-1)];`);
    expect([...(op?.attributes.keys() ?? [])]).toEqual(["axis", "quantized_data", "scale", "zero_point"]);
    expect(op?.attributes.get("quantized_data")).toMatchObject({
      dtype: "int8",
      shape: [4],
      source: { path: "@model_path/weights/weight.bin", offset: 64 },
    });
    expect(op?.attributes.get("zero_point")).toMatchObject({ dtype: "int8", bytes: new Uint8Array([255]) });
  });

  test("reads nested blocks, with and without inputs and labels, before or after the attributes", () => {
    const [cond, loop] = operations(`
      tensor<fp32, [1]> y = cond(pred = p)[name = string("c")] {
          tensor<fp32, [1]> t = relu(x = x);
      } -> (t) {
      } -> (x);
      int32 i, tensor<fp32, [1]> v = while_loop(loop_vars = (i0, v0))
        loop_cond(int32 a, tensor<fp32, [1]> b) { bool go = less(x = a, y = int32(3)); } -> (go);
        { inner(x = v0) { nothing(); } -> (); } -> (i0, v0)
        [name = string("w")];`);
    expect(cond?.blocks.map((block) => [block.inputs, block.operations.length, block.outputs])).toEqual([
      [[], 1, ["t"]],
      [[], 0, ["x"]],
    ]);
    expect(loop?.attributes.get("name")).toEqual({ kind: "strings", shape: [], values: ["w"] });
    expect(loop?.blocks[0]?.inputs).toEqual([
      { name: "a", type: scalar },
      { name: "b", type: { kind: "tensor", dtype: "float32", shape: [1] } },
    ]);
    expect(loop?.blocks[0]?.outputs).toEqual(["go"]);
    expect(loop?.blocks[1]?.operations[0]?.blocks[0]?.operations[0]?.type).toBe("nothing");
  });

  test("takes names that look like types, begin with a digit, hold odd characters or stand in quotes", () => {
    const ops = operations(`
      string string = const()[val = string("s")];
      int32 7_out = const()[val = int32(7)];
      bool tensor = f(x = string, y = tensor, state = 7_out, bool = "a b");
      fp16 conv/bias:0 = g(x = tensor) // a remark
      ;
      fp16 größe-1.x = g(x = conv/bias:0);
      "odd op"(x = größe-1.x);`);
    expect(ops.map((op) => [op.type, op.outputs[0]?.name])).toEqual([
      ["const", "string"],
      ["const", "7_out"],
      ["f", "tensor"],
      ["g", "conv/bias:0"],
      ["g", "größe-1.x"],
      ["odd op", undefined],
    ]);
    expect([...(ops[2]?.inputs ?? [])].map(([key, bindings]) => [key, bindings[0]])).toEqual([
      ["x", { kind: "name", name: "string" }],
      ["y", { kind: "name", name: "tensor" }],
      ["state", { kind: "name", name: "7_out" }],
      ["bool", { kind: "name", name: "a b" }],
    ]);
    expect(
      parse('\ufeffprogram(1.0) { func "my f"<CoreML7>() { } -> ("a b"); };').functions.get("my f"),
    ).toMatchObject({
      opset: "iOS17",
      block: { outputs: ["a b"] },
    });
  });

  test("reads every element type in both dialects", () => {
    expect(tensor("fp16(0x1.8p+1)")).toEqual({ dtype: "float16", shape: [], values: [3] });
    expect(tensor("tensor<fp16, []>(-inf)")).toEqual({ dtype: "float16", shape: [], values: [-Infinity] });
    expect(tensor("tensor<fp32, [2, 2]>([[1, 0.5], [nan, -0x1p-149]])")).toEqual({
      dtype: "float32",
      shape: [2, 2],
      values: [1, 0.5, Number.NaN, -(2 ** -149)],
    });
    expect(tensor("fp64(0x1.921fb54442d18p+1)")).toEqual({ dtype: "float64", shape: [], values: [Math.PI] });
    expect(tensor("bf16(0x1.8p+0)")).toEqual({ dtype: "bfloat16", shape: [], values: [1.5] });
    expect(tensor("tensor<fp8E4M3FN, [2]>([1, 448])")).toEqual({
      dtype: "float8e4m3fn",
      shape: [2],
      values: [0x38, 0x7e],
    });
    expect(tensor("tensor<bool, [4]>([true, false, 1, 0])")).toEqual({
      dtype: "bool",
      shape: [4],
      values: [1, 0, 1, 0],
    });
    expect(tensor("tensor<int8, [2]>([-128, 127])").values).toEqual([-128, 127]);
    expect(tensor("tensor<uint8, [1]>([255])").values).toEqual([255]);
    expect(tensor("tensor<int16, [1, 1]>([[-32768]])").values).toEqual([-32_768]);
    expect(tensor("uint16(65535)").values).toEqual([65_535]);
    expect(tensor("int32(-2147483648)").values).toEqual([-2_147_483_648]);
    expect(tensor("uint32(4294967295)").values).toEqual([4_294_967_295]);
    expect(tensor("int64(-2)").values).toEqual([254, 255, 255, 255, 255, 255, 255, 255]);
    expect(tensor("uint64(18446744073709551615)").values).toEqual([255, 255, 255, 255, 255, 255, 255, 255]);
    expect(value('tensor<string, [2]>(["a", "b"])')).toEqual({
      kind: "strings",
      shape: [2],
      values: ["a", "b"],
    });
  });

  test("packs small integers from the lowest bit up", () => {
    const bytes = (typed: string) => [...((value(typed) as MilTensor | undefined)?.bytes ?? [])];
    expect(bytes("tensor<int4, [3]>([-8, 7, -1])")).toEqual([0x78, 0x0f]);
    expect(bytes("tensor<uint1, [9]>([1, 0, 0, 0, 0, 0, 0, 1, 1])")).toEqual([0x81, 0x01]);
    expect(bytes("tensor<uint2, [4]>([3, 0, 1, 2])")).toEqual([0b10_01_00_11]);
    expect(bytes("tensor<uint3, [3]>([7, 0, 5])")).toEqual([0b01_000_111, 0b1]);
    expect(bytes("tensor<uint6, [2]>([63, 33])")).toEqual([0b01_111111, 0b1000]);
    expect(bytes("uint4(9)")).toEqual([9]);
  });

  test("takes the shape of a literal of unknown size from its brackets", () => {
    const zeros = Array.from({ length: 100 }, (_, i) => `[${i}, 0]`).join(", ");
    expect(tensor(`tensor<int32, [?, ?]>([${zeros}])`)).toMatchObject({ shape: [100, 2] });
    expect(tensor("tensor<int32, [?, 0]>([[], []])").shape).toEqual([2, 0]);
    expect(tensor("tensor<int32, [0, 3]>([])").shape).toEqual([0, 3]);
    expect(tensor("tensor<int32, [is0]>([1])").shape).toEqual([1]);
    expect(value('tensor<string, [?]>(["a", "]"])')).toEqual({
      kind: "strings",
      shape: [2],
      values: ["a", "]"],
    });
  });

  test("reads tuples with and without parentheses of their own", () => {
    const string = (each: string) => ({ kind: "strings", shape: [], values: [each] }) as const;
    const pair: MilValue = { kind: "tuple", values: [string("a"), string("b")] };
    expect(value('tuple<string, string>("a", "b")')).toEqual(pair);
    expect(value('tuple<string, string>(("a", "b"))')).toEqual(pair);
    expect(value('tuple<tuple<string, string>>(("a", "b"))')).toEqual({ kind: "tuple", values: [pair] });
    expect(value('tuple<tuple<string, string>>( ( ("a", "b") ) )')).toEqual({
      kind: "tuple",
      values: [pair],
    });
    expect(value("tuple<>()")).toEqual({ kind: "tuple", values: [] });
    expect(value("tuple<>(())")).toEqual({ kind: "tuple", values: [] });
    expect(value('list<string, 2>([string("a"), "b"])')).toEqual({
      kind: "list",
      values: [string("a"), string("b")],
    });
    expect(value("list<int32>([])")).toEqual({ kind: "list", values: [] });
  });

  test("reads C's escapes in strings, bytes of UTF-8 among them", () => {
    expect(value(String.raw`string("a\n\t\"\\\x41\303\251\u00e9\U0001F600/\/")`)).toEqual({
      kind: "strings",
      shape: [],
      values: ['a\n\t"\\Aéé😀//'],
    });
    expect(value('string("Zeile 1\nZeile 2 ü")')).toMatchObject({ values: ["Zeile 1\nZeile 2 ü"] });
  });
});

describe("errors of parseMilText", () => {
  test("say where, what was expected and what was found", () => {
    const error = failure("program(1.0)\n{\n    func main<ios15>() {\n      x = y;\n    } -> ();\n}");
    expect(error.code).toBe("BAD_MODEL");
    expect(error.message).toBe('model.mil at 4:7: expected a type, found "x"');
    expect(error.details).toEqual({
      file: "model.mil",
      line: 4,
      column: 7,
      expected: "a type",
      found: '"x"',
    });
    expect(failure("program", { fileName: "model0/model.mil" }).message).toBe(
      'model0/model.mil at 1:8: expected "(", found the end of the text',
    );
  });

  test.each([
    ["", '1:1: expected "program", found the end of the text'],
    ["program(2.0) {}", "1:9: version 2.0 is not 1.x, the only one known"],
    ["program(1.0) {}", "1:16: the program has no function"],
    ["program(1.0) { func f<ios16>() {} -> (); } tail", '1:44: expected the end of the text, found "tail"'],
    ["program(1.0) { func f<ios16>() {} ; }", '1:35: expected "->", found ";"'],
    [
      "program(1.0) { func f<vision1>() {} -> (); }",
      '1:23: expected an opset such as "ios17", found "vision1"',
    ],
    [
      "program(1.0) { func f<ios16>() {} -> (); func f<ios16>() {} -> (); }",
      '1:42: the function "f" is defined twice',
    ],
    ['program(1.0) [a = string("x"), a = string("y")] {}', '1:32: the attribute "a" is given twice'],
    ["program(1.0) [a = b] {}", '1:19: expected a typed value for the attribute "a", found "b"'],
    ['program(1.0) [a = string("x] {}', "1:26: a string has no closing quote"],
    ["program(1.0) { func f<ios16>() { g(x = a, x = b); } -> (); }", '1:43: the argument "x" is given twice'],
    [
      "program(1.0) { func f<ios16>() { g(x = ((a))); } -> (); }",
      '1:41: expected a value or the name of one, found "("',
    ],
    ["program(1.0) { func f<ios16>() { g(x = a) } -> (); }", '1:43: expected ";", found "}"'],
  ])("refuse %p", (text, message) => {
    expect(failure(text).message).toBe(`model.mil at ${message}`);
  });

  test.each([
    ["fp16(abc)", 'expected a float16 value, found "abc"'],
    ['fp16("1")', 'expected a float16 value, found "\\"1\\""'],
    ["int8(128)", "128 is outside the range of int8, -128 to 127"],
    ["uint64(-1)", "-1 is outside the range of uint64, 0 to 18446744073709551615"],
    ["int32(1.5)", 'expected an int32 value, found "1.5"'],
    ["bool(yes)", 'expected "true" or "false", found "yes"'],
    ["string(a)", 'expected a string, found "a"'],
    ["tensor<int32, [2]>([1])", 'expected 2 elements along axis 0, the next after 1, found "]"'],
    ["tensor<int32, [2]>([])", 'expected 2 elements along axis 0, the next after 0, found "]"'],
    ["tensor<int32, [2]>([1, 2, 3])", 'expected "]" after 2 elements along axis 0, found ","'],
    ["tensor<int32, [?, ?]>([[1], [1, 2]])", 'expected "]" after 1 elements along axis 1, found ","'],
    ["tensor<int32, [2, 2]>([1, 2, 3, 4])", 'expected "[", found "1"'],
    ["tensor<int32, ?>(1)", "a literal must have a type of known rank"],
    ["tensor<int32, [-1]>([])", "a dimension of -1 is outside 0 to 2147483647"],
    ["tensor<int32, [3000000000]>([])", "a dimension of 3000000000 is outside 0 to 2147483647"],
    [
      "tensor<int32, [2000000000]>([1])",
      "a tensor of shape [2000000000] has 2000000000 elements, more than the text that is left",
    ],
    [
      "tensor<int32, [2000000000, 2000000000]>([1])",
      "a tensor of shape [2000000000, 2000000000] has more elements than the limit of 34359738368",
    ],
    ["tensor<complex, []>(1)", 'expected an element type, found "complex"'],
    ["complex(1)", 'expected a typed value for the attribute "val", found "complex"'],
    ["list<int32, 2>([1])", "a list of 2 has 1 elements"],
    ["state<int32>(1)", "a state has no literal value"],
    ["tuple<int32, int32>((1))", 'expected ",", found ")"'],
    ['dict<string, int32>({"a", 1})', 'expected "{", found "\\"a\\""'],
    [String.raw`string("\q")`, '"\\\\q" is no escape of a string'],
    [String.raw`string("\u12")`, '"\\\\u12" is no escape of a string'],
    [String.raw`string("\U00110000")`, '"\\\\U00" is no escape of a string'],
    [
      'tensor<string, [1]>(BLOBFILE(path = string("a"), offset = uint64(64)))',
      "a blob file cannot hold string values",
    ],
    [
      'tensor<fp16, [?]>(BLOBFILE(path = string("a"), offset = uint64(64)))',
      "a blob must have a type of known shape",
    ],
    [
      'tensor<fp16, [1]>(BLOBFILE(path = string("a")))',
      'expected a "path" and an "offset" in BLOBFILE, found ")"',
    ],
    [
      'tensor<fp16, [1]>(BLOBFILE(path = string("a"), size = uint64(64)))',
      'BLOBFILE takes one "path" string and one "offset" integer, not this "size"',
    ],
  ])("refuse the value %p", (typed, reason) => {
    expect(messageFor(`int32 v = const()[val = ${typed}];`)).toContain(`: ${reason}`);
  });

  test("an opset from the future is unsupported, not damage", () => {
    const error = failure("program(1.0) { func f<ios31>() {} -> (); }");
    expect(error.code).toBe("UNSUPPORTED");
    expect(error.message).toBe(
      'model.mil at 1:23: the opset "ios31" is newer than iOS26, the newest one known',
    );
  });

  test("say which value a blob error belongs to", () => {
    const statement =
      'fp16 v = const()[val = tensor<fp16, [1]>(BLOBFILE(path = string("a"), offset = uint64(1)))];';
    const error = failure(inFunction(statement), {
      resolveBlob() {
        throw new CoremlxError("BAD_MODEL", "has no blob there");
      },
    });
    expect(error.message).toBe("model.mil at 4:90: has no blob there");
  });

  test("name the limit that was met", () => {
    const limited = (text: string, limits: MilTextOptions["limits"]) => failure(text, { limits }).message;
    const twoOps = inFunction("a(); b();");
    expect(limited(twoOps, { maxProgramTextBytes: 10 })).toContain("more than the limit of 10");
    expect(limited(twoOps, { maxOperations: 1 })).toContain("more than 1 operations");
    expect(limited(twoOps, { maxNameLength: 3 })).toContain(
      "a name of 4 characters is longer than the limit of 3",
    );
    expect(limited(twoOps, { maxFunctions: 0 })).toContain("more than 0 functions");
    expect(limited(inFunction("a(x = (b, c, d));"), { maxDecodedItems: 2 })).toContain(
      "more than 2 names, types and values",
    );
    expect(limited(inFunction("tensor<fp16, [1, 2]> a = f();"), { maxRank: 1 })).toContain(
      "more than 1 axes",
    );
    expect(limited(inFunction("f() { g() { } -> (); } -> ();"), { maxBlockDepth: 2 })).toContain(
      "nested more than 2 deep",
    );
    expect(
      limited("program(1.0) { func f<ios16>(int32 a, int32 b) {} -> (); }", { maxFeatures: 1 }),
    ).toContain("more than 1 parameters");
    const deep = "list<".repeat(200);
    expect(messageFor(`${deep} a = f();`)).toContain("types or values are nested more than 100 deep");
    expect(
      messageFor(`int32 a = const()[val = ${"tuple<".repeat(50)}${">".repeat(50)}(${"(".repeat(100_000)}`),
    ).toContain('expected ")", found "("');
    expect(messageFor(`int32 a = const()[val = int32(${"1".repeat(3000)})];`)).toContain(
      "longer than the limit of 2048",
    );
    expect(messageFor(`int32 a = const()[val = string("${"x".repeat(2 ** 24 + 1)}")];`)).toContain(
      "longer than the limit",
    );
    expect(messageFor(`${"f() {".repeat(10_000)}`)).toContain("blocks are nested more than 32 deep");
  });
});

describe("the program of silero-vad", () => {
  const folder = "models/silero-vad-mlmodelc/silero_vad.mlmodelc";
  const text = readFileSync(sharedPath(`${folder}/model.mil`), "utf8");

  test("has the operations, types and inline constants of its text", () => {
    const main = parse(text).functions.get("main");
    // Counted with grep: 137 statements, 89 of them constants.
    expect(main?.block.operations.length).toBe(137);
    expect(main?.block.operations.filter((op) => op.type === "const").length).toBe(89);
    expect(main?.opset).toBe("iOS15");
    expect(main?.inputs.map((input) => input.name)).toEqual(["audio_input", "cell_state", "hidden_state"]);
    expect(main?.block.outputs).toEqual(["vad_output", "new_hidden_state", "new_cell_state"]);
    const constants = new Map(
      main?.block.operations.map((op) => [op.outputs[0]?.name, op.attributes.get("val")]),
    );
    expect(constants.get("const_1_to_fp16")).toMatchObject({
      dtype: "float16",
      bytes: new Uint8Array([0x00, 0xfc]),
    });
    expect(constants.get("var_40_to_fp16")).toMatchObject({
      dtype: "float16",
      bytes: new Uint8Array([0xe2, 0x70]),
    });
    expect(constants.get("var_36_to_fp16")).toMatchObject({
      dtype: "float16",
      bytes: new Uint8Array([0x01, 0x00]),
    });
    expect(constants.get("x_1_mode_0")).toEqual({ kind: "strings", shape: [], values: ["reflect"] });
    expect(constants.get("stft_forward_basis_to_fp16")).toMatchObject({
      shape: [258, 1, 256],
      source: { path: "@model_path/weights/weight.bin", offset: 64 },
    });
  });

  test("with random damage parses or is refused, and nothing else", () => {
    const small = text.slice(0, 4000) + text.slice(text.indexOf("        } ->"));
    const pieces = [
      "(",
      ")",
      "[",
      "]",
      "{",
      "}",
      "<",
      ">",
      ",",
      ";",
      "=",
      '"',
      "\\",
      "->",
      "?",
      "0x",
      "-",
      "\u0000",
      "ü",
      "tensor",
    ];
    const edit = fc.tuple(fc.nat(small.length), fc.nat(40), fc.constantFrom("", ...pieces));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let damaged = small;
        for (const [at, length, piece] of edits)
          damaged = damaged.slice(0, at) + piece + damaged.slice(at + length);
        try {
          parse(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(CoremlxError);
        }
      }),
      { seed: 3, numRuns: 1500 },
    );
  });

  test("cut off at any character is refused with a position", () => {
    const small = text.slice(0, 1500);
    for (let length = 0; length < small.length; length += 7) {
      expect(failure(small.slice(0, length)).message).toMatch(/^model\.mil at \d+:\d+: /);
    }
  });
});
