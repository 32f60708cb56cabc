import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { CoremlxError } from "../../../src/core/errors.ts";
import { DataType, ProgramSchema, type Program } from "../../../src/formats/gen/MIL_pb.ts";
import type { MilFunction, MilOp, MilValue } from "../../../src/formats/mil.ts";
import { openModel } from "../../../src/formats/open.ts";
import {
  blob,
  blobFile,
  constant,
  failureOf,
  floats,
  immediate,
  type ModelInit,
  type OperationInit,
  programModel,
  readBytes,
  readInit,
  stringValue,
  tensorType,
  unary,
  type ValueInit,
  writeFiles,
} from "../../support/model-files.ts";
import { tempFolder } from "../../support/temp.ts";

const fixtures = resolve(import.meta.dir, "../../fixtures/formats");

function functionOf(init: ModelInit): MilFunction {
  const { body } = readInit(init);
  const main = body.kind === "mlProgram" ? body.program.functions.get("main") : undefined;
  if (main === undefined) throw new Error("no function main");
  return main;
}

/** The value of a const "c" in a program, after a trip through the bytes of a file. */
function valueOf(value: ValueInit): MilValue | undefined {
  return functionOf(
    programModel([constant("c", value), unary("relu", "x", "y")]),
  ).block.operations[0]?.attributes.get("val");
}

function bytesIn(value: MilValue | undefined): Uint8Array {
  if (value?.kind !== "tensor") throw new Error("no tensor");
  return new Uint8Array(value.bytes);
}

/** Packed varints, as the wire has them. */
function varints(...values: readonly (number | bigint)[]): Uint8Array {
  const bytes: number[] = [];
  for (const value of values) {
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
  }
  return Uint8Array.from(bytes);
}

const { FLOAT16, FLOAT32, FLOAT64, BOOL, STRING, INT4, INT8, INT16, INT32, INT64 } = DataType;
const { UINT1, UINT3, UINT8, UINT16, UINT32, UINT64, BFLOAT16, FLOAT8E5M2 } = DataType;

describe("an inline tensor becomes little-endian bytes of its own type", () => {
  type Content = Parameters<typeof immediate>[1];
  const ints = (...values: readonly number[]): Content => ({
    case: "ints",
    value: { values: varints(...values) },
  });
  const longInts = (...values: readonly (number | bigint)[]): Content => ({
    case: "longInts",
    value: { values: varints(...values) },
  });
  const raw = (...values: readonly number[]): Content => ({
    case: "bytes",
    value: { values: Uint8Array.from(values) },
  });
  const cases: readonly (readonly [string, DataType, number, Content, Uint8Array])[] = [
    ["float32 from floats", FLOAT32, 2, { case: "floats", value: { values: floats(1, -2) } }, floats(1, -2)],
    ["float32 from bytes", FLOAT32, 2, { case: "bytes", value: { values: floats(1, -2) } }, floats(1, -2)],
    [
      "float64 from doubles",
      FLOAT64,
      1,
      { case: "doubles", value: { values: new Uint8Array(new Float64Array([0.1]).buffer) } },
      new Uint8Array(new Float64Array([0.1]).buffer),
    ],
    ["float16 from bytes", FLOAT16, 2, raw(0, 0x3c, 0, 0xc0), Uint8Array.of(0, 0x3c, 0, 0xc0)],
    ["bfloat16 from bytes", BFLOAT16, 1, raw(0x80, 0x3f), Uint8Array.of(0x80, 0x3f)],
    ["float8 from bytes", FLOAT8E5M2, 2, raw(1, 2), Uint8Array.of(1, 2)],
    [
      "bool from bools",
      BOOL,
      3,
      { case: "bools", value: { values: varints(1, 0, 1) } },
      Uint8Array.of(1, 0, 1),
    ],
    ["bool from ints, where any number but 0 is true", BOOL, 2, ints(0, -1), Uint8Array.of(0, 1)],
    ["int8 from bytes", INT8, 2, raw(255, 127), Uint8Array.of(255, 127)],
    ["int8 from ints", INT8, 2, ints(-128, 127), Uint8Array.of(128, 127)],
    ["uint8 from ints", UINT8, 2, ints(255, 0), Uint8Array.of(255, 0)],
    ["int16 from ints", INT16, 2, ints(-32768, 1), Uint8Array.of(0, 0x80, 1, 0)],
    ["uint16 from ints", UINT16, 1, ints(65535), Uint8Array.of(255, 255)],
    [
      "int32 from ints",
      INT32,
      3,
      ints(-1, 0x7fffffff, 300),
      new Uint8Array(new Int32Array([-1, 0x7fffffff, 300]).buffer),
    ],
    ["int32 from long ints", INT32, 2, longInts(-1, 5), new Uint8Array(new Int32Array([-1, 5]).buffer)],
    ["int32 from bytes", INT32, 1, raw(1, 2, 3, 4), Uint8Array.of(1, 2, 3, 4)],
    ["uint32 from bytes", UINT32, 1, raw(255, 255, 255, 255), Uint8Array.of(255, 255, 255, 255)],
    ["uint32 from ints that wrapped", UINT32, 1, ints(-1), Uint8Array.of(255, 255, 255, 255)],
    [
      "int64 from long ints",
      INT64,
      3,
      longInts(-1, 2n ** 62n, -(2n ** 63n)),
      new Uint8Array(new BigInt64Array([-1n, 2n ** 62n, -(2n ** 63n)]).buffer),
    ],
    ["int64 from ints", INT64, 1, ints(-2), new Uint8Array(new BigInt64Array([-2n]).buffer)],
    ["uint64 from long ints that wrapped", UINT64, 1, longInts(-1), new Uint8Array(8).fill(255)],
    ["int4 from bytes, two in each", INT4, 3, raw(0x7f, 0x08), Uint8Array.of(0x7f, 0x08)],
    ["int4 from ints", INT4, 3, ints(-1, 7, -8), Uint8Array.of(0x7f, 0x08)],
    ["uint1 from ints", UINT1, 9, ints(1, 0, 0, 0, 0, 0, 0, 1, 1), Uint8Array.of(0x81, 1)],
    ["uint3 from ints, across bytes", UINT3, 4, ints(7, 0, 5, 3), Uint8Array.of(0b01000111, 0b0111)],
    ["an empty tensor with its member", INT32, 0, ints(), new Uint8Array(0)],
  ];
  for (const [name, type, count, content, expected] of cases) {
    test(name, () =>
      expect(bytesIn(valueOf(immediate(tensorType(type, [count]), content)))).toEqual(expected),
    );
  }

  test("an empty tensor without any member", () => {
    const value: ValueInit = {
      type: tensorType(FLOAT32, [0, 3]),
      value: { case: "immediateValue", value: { value: { case: "tensor", value: {} } } },
    };
    expect(valueOf(value)).toEqual({
      kind: "tensor",
      dtype: "float32",
      shape: [0, 3],
      bytes: new Uint8Array(new ArrayBuffer(0)),
      source: undefined,
    });
  });

  test("a scalar has rank 0 and one element", () => {
    const value = valueOf(immediate(tensorType(INT32, []), ints(0)));
    expect(value?.kind === "tensor" ? [value.shape, value.bytes.byteLength] : value).toEqual([[], 4]);
  });

  const wrong: readonly (readonly [string, DataType, readonly number[], Content, string])[] = [
    [
      "too few floats",
      FLOAT32,
      [3],
      { case: "floats", value: { values: floats(1, 2) } },
      "has 8 bytes of float32, its shape [3] needs 12",
    ],
    ["too many integers", INT32, [1], ints(1, 2), "has 2 elements of int32, its shape needs 1"],
    ["a shape of 2^33 elements with one byte", INT8, [2 ** 17, 2 ** 16], raw(1), "has 1 bytes of int8"],
    ["a shape of 2^33 integers with one", INT32, [2 ** 17, 2 ** 16], ints(1), "has 1 elements of int32"],
    ["a shape beyond the limit", INT8, [2 ** 30, 2 ** 30], raw(1), "elements, more than the limit of"],
    ["an axis beyond the limit", INT8, [2 ** 40], raw(1), "has a dimension of 1099511627776"],
    ["an integer too large for its type", INT8, [1], ints(128), "has the value 128, too large for int8"],
    [
      "a negative integer for an unsigned type",
      UINT8,
      [1],
      ints(-1),
      "has the value -1, too large for uint8",
    ],
    [
      "a long integer too large for its type",
      INT32,
      [1],
      longInts(2 ** 31),
      "has the value 2147483648, too large for int32",
    ],
    [
      "floats for an integer",
      INT32,
      [1],
      { case: "floats", value: { values: floats(1) } },
      "is int32 and has floats",
    ],
    [
      "doubles for a float32",
      FLOAT32,
      [1],
      { case: "doubles", value: { values: new Uint8Array(8) } },
      "is float32 and has doubles",
    ],
    [
      "bools for an integer",
      INT32,
      [1],
      { case: "bools", value: { values: Uint8Array.of(1) } },
      "is int32 and has bools",
    ],
    ["ints for a float", FLOAT32, [1], ints(1), "is float32 and has ints"],
    [
      "strings for a number",
      INT32,
      [1],
      { case: "strings", value: { values: ["1"] } },
      "is int32 and has strings",
    ],
    ["numbers for a string", STRING, [1], ints(1), "is string and has ints"],
    [
      "too few strings",
      STRING,
      [2],
      { case: "strings", value: { values: ["a"] } },
      "has 1 strings, its shape [2] needs 2",
    ],
    ["a shape that is not fixed", INT32, [-1], ints(1), "has a value and a shape that is not fixed"],
    ["an element type that does not exist", 99 as DataType, [1], ints(1), "has the unknown element type 99"],
  ];
  for (const [name, type, shape, content, message] of wrong) {
    test(`${name} is refused`, async () => {
      const failure = await failureOf(() => valueOf(immediate(tensorType(type, shape), content)));
      expect(failure.code).toBe("BAD_MODEL");
      expect(failure.message).toContain(`const "c", attribute "val": ${message}`.slice(0, 28));
      expect(failure.message).toContain(message);
    });
  }
});

describe("other values", () => {
  test("strings keep their shape", () => {
    expect(
      valueOf(immediate(tensorType(STRING, [1, 2]), { case: "strings", value: { values: ["a", "ü"] } })),
    ).toEqual({
      kind: "strings",
      shape: [1, 2],
      values: ["a", "ü"],
    });
  });

  test("lists, tuples and dictionaries nest, and may be empty", () => {
    const list = { case: "listType", value: { type: tensorType(STRING, []) } } as const;
    const pair = { key: stringValue("k"), value: stringValue("v") };
    const cases: readonly (readonly [ValueInit, unknown])[] = [
      [
        {
          type: { type: list },
          value: {
            case: "immediateValue",
            value: { value: { case: "list", value: { values: [stringValue("a")] } } },
          },
        },
        { kind: "list", values: [{ kind: "strings", shape: [], values: ["a"] }] },
      ],
      [
        { type: { type: list }, value: { case: "immediateValue", value: {} } },
        { kind: "list", values: [] },
      ],
      [
        {
          type: { type: { case: "tupleType", value: { types: [] } } },
          value: { case: "immediateValue", value: {} },
        },
        { kind: "tuple", values: [] },
      ],
      [
        {
          type: {
            type: {
              case: "dictionaryType",
              value: { keyType: tensorType(STRING, []), valueType: tensorType(STRING, []) },
            },
          },
          value: {
            case: "immediateValue",
            value: { value: { case: "dictionary", value: { values: [pair] } } },
          },
        },
        {
          kind: "dictionary",
          entries: [
            [
              { kind: "strings", shape: [], values: ["k"] },
              { kind: "strings", shape: [], values: ["v"] },
            ],
          ],
        },
      ],
      [
        {
          type: {
            type: {
              case: "dictionaryType",
              value: { keyType: tensorType(STRING, []), valueType: tensorType(STRING, []) },
            },
          },
          value: { case: "immediateValue", value: {} },
        },
        { kind: "dictionary", entries: [] },
      ],
    ];
    for (const [value, expected] of cases) expect(valueOf(value)).toEqual(expected as MilValue);
  });

  const stateOfNothing: ValueInit = {
    type: { type: { case: "stateType", value: {} } },
    value: { case: "immediateValue", value: {} },
  };
  const wrong: readonly (readonly [string, ValueInit, string])[] = [
    ["no value at all", { type: tensorType(INT32, [1]) }, "has no value"],
    ["no type", { value: { case: "immediateValue", value: {} } }, "has no type"],
    ["a type of no kind", { type: {}, value: { case: "immediateValue", value: {} } }, "has no type"],
    ["a state of no type", stateOfNothing, "has no type"],
    [
      "an immediate of no kind",
      { type: tensorType(INT32, [1]), value: { case: "immediateValue", value: {} } },
      "has no value",
    ],
    [
      "a tensor for a list",
      {
        type: { type: { case: "listType", value: { type: tensorType(INT32, []) } } },
        value: { case: "immediateValue", value: { value: { case: "tensor", value: {} } } },
      },
      "is a list whose value is a tensor",
    ],
    [
      "a dictionary entry without a key",
      {
        type: {
          type: {
            case: "dictionaryType",
            value: { keyType: tensorType(STRING, []), valueType: tensorType(STRING, []) },
          },
        },
        value: {
          case: "immediateValue",
          value: { value: { case: "dictionary", value: { values: [{ value: stringValue("v") }] } } },
        },
      },
      "has a dictionary entry without key or value",
    ],
    [
      "a rank that is not that of the dimensions",
      { type: { type: { case: "tensorType", value: { dataType: INT32, rank: 3n, dimensions: [] } } } },
      "has rank 3 and 0 dimensions",
    ],
    [
      "33 dimensions",
      {
        type: tensorType(
          INT32,
          Array.from({ length: 33 }, () => 1),
        ),
      },
      "has 33 dimensions",
    ],
    [
      "a bool in the weight file",
      blob(tensorType(BOOL, [4]), "@model_path/w.bin", 64),
      "is bool and lies in a weight file",
    ],
    [
      "a string in the weight file",
      blob(tensorType(STRING, [4]), "@model_path/w.bin", 64),
      "is string and lies in a weight file",
    ],
    [
      "a weight file that is not there",
      blob(tensorType(FLOAT32, [4]), "@model_path/w.bin", 64),
      'weight file "@model_path/w.bin" does not exist',
    ],
  ];
  for (const [name, value, message] of wrong) {
    test(`${name} is refused`, async () =>
      expect((await failureOf(() => valueOf(value))).message).toContain(message));
  }

  test("a blob value is a tensor with its place on disk", () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "w.bin": blobFile(floats(1, 2, 3, 4)) });
    const model = programModel([
      constant("c", blob(tensorType(FLOAT32, [4]), "@model_path/w.bin", 64)),
      unary("relu", "x", "y"),
    ]);
    const { body } = readInit(model, { folder: folder.path });
    const value =
      body.kind === "mlProgram"
        ? body.program.functions.get("main")?.block.operations[0]?.attributes.get("val")
        : undefined;
    expect(value).toEqual({
      kind: "tensor",
      dtype: "float32",
      shape: [4],
      bytes: floats(1, 2, 3, 4),
      source: { path: join(folder.path, "w.bin"), offset: 128 },
    });
  });
});

describe("types", () => {
  const typeOf = (type: NonNullable<OperationInit["outputs"]>[number]["type"]) =>
    functionOf(
      programModel([{ type: "op", outputs: [{ name: "y", ...(type === undefined ? {} : { type }) }] }]),
    ).block.operations[0]?.outputs[0]?.type;

  test("unknown dimensions and unknown rank", () => {
    expect(typeOf(tensorType(FLOAT16, [1, -1]))).toEqual({
      kind: "tensor",
      dtype: "float16",
      shape: [1, undefined],
    });
    expect(typeOf({ type: { case: "tensorType", value: { dataType: FLOAT16, rank: -1n } } })).toEqual({
      kind: "tensor",
      dtype: "float16",
      shape: undefined,
    });
    expect(typeOf({ type: { case: "tensorType", value: { dataType: FLOAT16, dimensions: [{}] } } })).toEqual({
      kind: "tensor",
      dtype: "float16",
      shape: [undefined],
    });
  });

  test("lists, tuples, dictionaries and states of tensors", () => {
    const text = { kind: "tensor", dtype: "string", shape: [] } as const;
    expect(
      typeOf({
        type: {
          case: "listType",
          value: {
            type: tensorType(STRING, []),
            length: { dimension: { case: "constant", value: { size: 2n } } },
          },
        },
      }),
    ).toEqual({ kind: "list", element: text, length: 2 });
    expect(typeOf({ type: { case: "tupleType", value: { types: [tensorType(STRING, [])] } } })).toEqual({
      kind: "tuple",
      elements: [text],
    });
    expect(
      typeOf({
        type: {
          case: "dictionaryType",
          value: { keyType: tensorType(STRING, []), valueType: tensorType(STRING, []) },
        },
      }),
    ).toEqual({ kind: "dictionary", key: text, value: text });
    expect(typeOf({ type: { case: "stateType", value: { wrappedType: tensorType(STRING, []) } } })).toEqual({
      kind: "state",
      wrapped: text,
    });
  });
});

describe("opsets", () => {
  for (const [name, opset] of [
    ["CoreML5", "iOS15"],
    ["CoreML6", "iOS16"],
    ["CoreML7", "iOS17"],
    ["CoreML8", "iOS18"],
    ["CoreML9", "iOS26"],
  ] as const) {
    test(`${name} is ${opset}`, () =>
      expect(functionOf(programModel(undefined, { opset: name })).opset).toBe(opset));
  }
  for (const name of ["CoreML10", "CoreML4", "", "__proto__", "toString"]) {
    test(`${JSON.stringify(name)} is unknown`, async () => {
      const failure = await failureOf(() => readInit(programModel(undefined, { opset: name })));
      expect(failure.message).toBe(
        `function "main" is written for the unknown opset ${JSON.stringify(name)}`,
      );
      expect(failure.hint).toContain("CoreML9");
    });
  }
});

describe("a program that does not hold together is refused", () => {
  const relu = unary("relu", "x", "y");
  const nestedBlock = (operations: readonly OperationInit[], outputs: readonly string[]): OperationInit => ({
    type: "cond",
    blocks: [{ operations: [...operations], outputs: [...outputs] }],
    outputs: [{ name: "y", type: tensorType(FLOAT32, [4]) }],
  });
  const cases: readonly (readonly [string, ModelInit, string])[] = [
    [
      "a name defined twice",
      programModel([relu, unary("exp", "x", "y")]),
      'exp "y" defines "y" a second time',
    ],
    [
      "an output that hides an input",
      programModel([unary("relu", "x", "x")]),
      'relu "x" defines "x" a second time',
    ],
    [
      "a name used before its definition",
      programModel([unary("relu", "z", "y"), unary("relu", "x", "z")]),
      'relu "y", argument "x": uses "z", which nothing before it defines',
    ],
    [
      "an op that uses its own result",
      programModel([unary("relu", "y", "y")]),
      'uses "y", which nothing before it defines',
    ],
    [
      "an output that nothing defines",
      programModel([relu], { outputs: ["z"] }),
      'a block of function "main": uses "z"',
    ],
    [
      "a nested block that redefines an outer name",
      programModel([nestedBlock([unary("relu", "x", "x")], ["x"])]),
      'defines "x" a second time',
    ],
    [
      "a name from inside a nested block",
      programModel([nestedBlock([unary("relu", "x", "inner")], ["inner"]), unary("relu", "inner", "z")]),
      'uses "inner"',
    ],
    [
      "a binding of neither kind",
      programModel([{ ...relu, inputs: { x: { arguments: [{}] } } }]),
      'relu "y", argument "x": has neither a name nor a value',
    ],
    [
      "an inline argument of no value",
      programModel([{ ...relu, inputs: { x: { arguments: [{ binding: { case: "value", value: {} } }] } } }]),
      'relu "y", argument "x": has no type',
    ],
    [
      "a result without a type",
      programModel([{ ...relu, outputs: [{ name: "y" }] }]),
      'relu "y", value "y": has no type',
    ],
    [
      "an op without results that is wrong",
      programModel([{ type: "write_state", inputs: { x: { arguments: [{}] } } }, relu]),
      'operation "write_state", argument "x"',
    ],
  ];
  for (const [name, init, message] of cases) {
    test(name, async () => {
      const failure = await failureOf(() => readInit(init));
      expect([failure.code, failure.message]).toEqual(["BAD_MODEL", expect.stringContaining(message)]);
    });
  }

  test("sibling blocks may use the same names", () => {
    const block = { operations: [unary("relu", "x", "inner")], outputs: ["inner"] };
    const both: OperationInit = {
      type: "cond",
      blocks: [block, block],
      outputs: [{ name: "y", type: tensorType(FLOAT32, [4]) }],
    };
    expect(functionOf(programModel([both])).block.operations[0]?.blocks.map((each) => each.outputs)).toEqual([
      ["inner"],
      ["inner"],
    ]);
  });

  const nest = (depth: number): OperationInit => ({
    type: "cond",
    outputs: [{ name: depth === 0 ? "y" : `d${depth}`, type: tensorType(FLOAT32, [4]) }],
    blocks: depth >= 40 ? [] : [{ operations: [nest(depth + 1)], outputs: [`d${depth + 1}`] }],
  });

  test("blocks nested beyond the limit", async () => {
    const failure = await failureOf(() => readInit(programModel([nest(0)])));
    expect(failure.message).toBe("blocks are nested more than 32 deep");
  });

  test("more operations, functions or versions than the limits allow", async () => {
    const refusal = async (init: ModelInit, limits: Parameters<typeof readInit>[1]): Promise<CoremlxError> =>
      failureOf(() => readInit(init, limits));
    expect(
      (await refusal(programModel([relu, unary("relu", "y", "z")]), { limits: { maxOperations: 1 } }))
        .message,
    ).toBe('function "main" has more than 1 operations');
    expect((await refusal(programModel(), { limits: { maxFunctions: 0 } })).message).toContain("functions");
    const newer = programModel();
    const program = create(ProgramSchema, { version: 2n }) satisfies Program;
    expect((await refusal({ ...newer, Type: { case: "mlProgram", value: program } }, {})).message).toBe(
      "its program has version 2, the newest known is 1",
    );
    const empty = create(ProgramSchema, { version: 1n, functions: { main: { opset: "CoreML5" } } });
    expect((await refusal({ ...newer, Type: { case: "mlProgram", value: empty } }, {})).message).toBe(
      'function "main" has no block for its opset "CoreML5"',
    );
    const other = create(ProgramSchema, { version: 1n });
    expect((await refusal({ ...newer, Type: { case: "mlProgram", value: other } }, {})).message).toBe(
      'it describes the function "main", its program has none',
    );
  });
});

describe("programs written by coremltools", () => {
  test("control flow: blocks inside blocks, loop variables, names from outside", async () => {
    using model = await openModel(join(fixtures, "control_flow.mlpackage"));
    const main = model.body.kind === "mlProgram" ? model.body.program.functions.get("main") : undefined;
    const loop = find(main?.block.operations, "while_loop");
    const [condition, body] = loop.blocks;
    expect(condition?.inputs.map((input) => input.type)).toEqual([
      { kind: "tensor", dtype: "int32", shape: [] },
      { kind: "tensor", dtype: "float32", shape: [3, 4] },
    ]);
    expect(loop.inputs.get("loop_vars")?.length).toBe(2);
    const cond = find(body?.operations, "cond");
    expect(cond.blocks.map((block) => block.operations.at(-1)?.type)).toEqual(["add", "mul"]);
    const w = main?.block.operations.find((op) => op.outputs[0]?.name === "w")?.attributes.get("val");
    expect(w).toMatchObject({ dtype: "float32", shape: [3, 4], source: { offset: 128 } });
    expect(bytesIn(w)).toEqual(floats(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  });

  test("states and several functions that share one weight", async () => {
    using model = await openModel(join(fixtures, "stateful.mlpackage"));
    if (model.body.kind !== "mlProgram") throw new Error("no program");
    const { functions } = model.body.program;
    expect([...functions.keys()].toSorted()).toEqual(["accumulate", "reset"]);
    const accumulate = functions.get("accumulate");
    expect(accumulate?.opset).toBe("iOS18");
    expect(accumulate?.inputs.find((input) => input.name === "memory")?.type).toEqual({
      kind: "state",
      wrapped: { kind: "tensor", dtype: "float16", shape: [16] },
    });
    const sources = [...functions.values()].map((each) => {
      const value = each.block.operations
        .map((op) => op.attributes.get("val"))
        .find((val) => val?.kind === "tensor" && val.source !== undefined);
      return value?.kind === "tensor" ? value.source?.offset : undefined;
    });
    expect(sources).toEqual([128, 128]);
    expect(find(accumulate?.block.operations, "write_state").outputs).toEqual([]);
  });

  test("classify: labels in a list of strings, and in one of integers", async () => {
    using strings = await openModel(join(fixtures, "classifier_strings.mlmodel"));
    expect(strings.description.classLabels).toEqual(["cat", "dog", "ünï"]);
    using integers = await openModel(join(fixtures, "classifier_integers.mlmodel"));
    expect(integers.description.classLabels).toEqual([7n, -1n, 1099511627776n]);
  });

  test("a truncated program never reads past its end", async () => {
    const bytes = new Uint8Array(
      readFileSync(join(fixtures, "control_flow.mlpackage/Data/com.apple.CoreML/model.mlmodel")),
    );
    for (let length = 0; length < bytes.byteLength; length += 7) {
      expect((await failureOf(() => readBytes(bytes.subarray(0, length)))).code).toBe("BAD_MODEL");
    }
  });
});

describe("class labels of a program", () => {
  const classify = (classes: ValueInit | string): OperationInit => ({
    type: "classify",
    inputs: {
      probabilities: { arguments: [{ binding: { case: "name", value: "x" } }] },
      classes: {
        arguments: [
          {
            binding:
              typeof classes === "string"
                ? { case: "name", value: classes }
                : { case: "value", value: classes },
          },
        ],
      },
    },
    outputs: [{ name: "y", type: tensorType(STRING, []) }],
  });
  const labelsOf = (...operations: readonly OperationInit[]) =>
    readInit(programModel(operations)).description.classLabels;
  const names = immediate(tensorType(STRING, [2]), { case: "strings", value: { values: ["a", "b"] } });
  const numbers = immediate(tensorType(INT64, [2]), { case: "longInts", value: { values: varints(3, -4) } });

  test("in place, or in a const", () => {
    expect(labelsOf(classify(names))).toEqual(["a", "b"]);
    expect(labelsOf(classify(numbers))).toEqual([3n, -4n]);
    expect(labelsOf(constant("c", numbers), classify("c"))).toEqual([3n, -4n]);
  });

  test("none where they are no labels", () => {
    expect(labelsOf(unary("relu", "x", "y"))).toBeUndefined();
    expect(labelsOf(unary("relu", "x", "c"), classify("c"))).toBeUndefined();
    expect(
      labelsOf(
        classify(immediate(tensorType(FLOAT32, [1]), { case: "floats", value: { values: floats(1) } })),
      ),
    ).toBeUndefined();
    const type = tensorType(STRING, []);
    const dictionary: ValueInit = {
      type: { type: { case: "dictionaryType", value: { keyType: type, valueType: type } } },
      value: { case: "immediateValue", value: {} },
    };
    expect(labelsOf(classify(dictionary))).toBeUndefined();
    const mixed: ValueInit = {
      type: { type: { case: "tupleType", value: { types: [] } } },
      value: {
        case: "immediateValue",
        value: { value: { case: "tuple", value: { values: [names, numbers] } } },
      },
    };
    expect(labelsOf(classify(mixed))).toBeUndefined();
  });
});

function find(operations: readonly MilOp[] | undefined, type: string): MilOp {
  const found = operations?.find((op) => op.type === type);
  if (found === undefined) throw new Error(`no ${type}`);
  return found;
}
