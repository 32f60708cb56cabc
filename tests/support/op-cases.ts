// Op cases as data: each row becomes a MIL function of one op, is lowered, written, and run by ONNX Runtime.

import { describe, expect, test } from "bun:test";
import type { ElementType } from "../../src/core/dtype.ts";
import { CoremlxError, type ErrorCode } from "../../src/core/errors.ts";
import { type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type {
  MilBinding,
  MilBlock,
  MilFunction,
  MilNamedType,
  MilOp,
  MilOpset,
  MilValue,
} from "../../src/formats/mil.ts";
import { lower, type Lowered } from "../../src/lowering/lower.ts";
import type { LoweringPrecision as Precision } from "../../src/lowering/scope.ts";
import { serializeModel } from "../../src/onnx/serialize.ts";
import { expectAllClose, type Tolerance, tolerances } from "./close.ts";
import { portableRuntime } from "./portable.ts";

/** A constant of any element type, packed ones included. */
export interface Packed {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Whole numbers become int32, other numbers float32; a list becomes a vector. */
export type ConstantRow =
  | number
  | boolean
  | string
  | readonly number[]
  | readonly boolean[]
  | readonly string[]
  | Packed;

export interface OutputRow {
  readonly dtype: ElementType;
  readonly shape?: readonly (number | undefined)[];
}

export interface OpCase {
  /** A sentence about behaviour. */
  readonly name: string;
  readonly op: string;
  /** Default 15. */
  readonly opset?: 15 | 16 | 17 | 18 | 26;
  /** Run-time values; a list becomes a list argument. */
  readonly inputs?: Readonly<Record<string, Tensor | readonly Tensor[]>>;
  /** Arguments that are `const` ops; several tensors become a list argument. */
  readonly constants?: Readonly<Record<string, ConstantRow | readonly Packed[]>>;
  /** Parameters kept in the op's attributes: constexpr ops up to iOS17. */
  readonly attributes?: Readonly<Record<string, ConstantRow>>;
  readonly blocks?: readonly MilBlock[];
  /** One result is called "y"; several are given in the op's order. */
  readonly expect: Tensor | Readonly<Record<string, Tensor>> | OpCaseError;
  /** Run again with every axis of every input unknown: the same answer is expected. */
  readonly dynamic?: true;
  /** Declared result types. Default: those of the expected tensors. */
  readonly outputs?: readonly OutputRow[];
  readonly tolerance?: Tolerance;
  /** Default: float32, and with a float16 input also model. */
  readonly precision?: Precision;
}

export interface OpCaseError {
  /** Part of the message. */
  readonly error: string;
  /** Default: any. */
  readonly code?: ErrorCode;
}

/** Registers one test a row (two or more where a row asks for dynamic shapes or has float16 inputs). */
export function opCases(family: string, rows: readonly OpCase[]): void {
  describe(family, () => {
    for (const row of rows) {
      for (const precision of precisionsOf(row)) {
        const suffix = precision === "model" ? ", in half precision" : "";
        test(`${row.name}${suffix}`, () => check(row, precision, false));
        if (row.dynamic) test(`${row.name}${suffix}, with unknown sizes`, () => check(row, precision, true));
      }
    }
  });
}

/** Lowers the row's function and runs it; results by name. For checks that a tolerance cannot express. */
export async function runOp(
  row: Omit<OpCase, "name" | "expect">,
  outputs: Readonly<Record<string, OutputRow>>,
  options: { readonly precision?: Precision; readonly dynamic?: boolean } = {},
): Promise<Readonly<Record<string, Tensor>>> {
  const fn = functionOf(row, outputs, options.dynamic ?? false);
  return runFunction(fn, tensorsOf(row), options.precision ?? "float32");
}

/** Lowers and runs any function: inputs by feature name, results by feature name. */
export async function runFunction(
  fn: MilFunction,
  inputs: ReadonlyMap<string, Tensor>,
  precision: Precision = "float32",
): Promise<Readonly<Record<string, Tensor>>> {
  const lowered = lower(fn, { precision });
  const runtime = await portableRuntime();
  using session = runtime.createSession(serializeModel(lowered.graph).bytes, { threads: 1 });
  return byFeature(lowered, session.run(byPort(lowered, inputs)));
}

/** The MIL function of one op that a row describes. */
export function functionOf(
  row: Omit<OpCase, "name" | "expect">,
  outputs: Readonly<Record<string, OutputRow>>,
  dynamic = false,
): MilFunction {
  const operations: MilOp[] = [];
  const bindings = new Map<string, readonly MilBinding[]>();
  for (const [name, value] of Object.entries(row.inputs ?? {})) {
    const list = isList(value) ? value : [value];
    bindings.set(
      name,
      list.map((_, index) => ({ kind: "name", name: isList(value) ? `${name}_${index}` : name })),
    );
  }
  for (const [name, value] of Object.entries(row.constants ?? {})) {
    const list = isPackedList(value) ? value : [value];
    bindings.set(
      name,
      list.map((item, index) => {
        const id = `const_${name}_${index}`;
        operations.push(constOp(id, milValue(item)));
        return { kind: "name", name: id };
      }),
    );
  }
  const attributes = new Map(
    Object.entries(row.attributes ?? {}).map(([name, value]) => [name, milValue(value)]),
  );
  const results: MilNamedType[] = Object.entries(outputs).map(([name, { dtype, shape }]) => ({
    name,
    type: { kind: "tensor", dtype, shape: dynamic ? shape?.map(() => undefined) : shape },
  }));
  operations.push({
    type: row.op,
    inputs: bindings,
    outputs: results,
    blocks: row.blocks ?? [],
    attributes,
  });
  const opset: MilOpset = `iOS${row.opset ?? 15}`;
  const inputs = [...tensorsOf(row)].map(([name, { dtype, shape }]): MilNamedType => {
    return { name, type: { kind: "tensor", dtype, shape: dynamic ? shape.map(() => undefined) : shape } };
  });
  return {
    name: "main",
    opset,
    inputs,
    attributes: new Map(),
    block: { inputs: [], operations, outputs: results.map(({ name }) => name) },
  };
}

export function constOp(name: string, value: MilValue): MilOp {
  const type: MilNamedType["type"] =
    value.kind === "tensor"
      ? { kind: "tensor", dtype: value.dtype, shape: value.shape }
      : { kind: "tensor", dtype: "string", shape: value.kind === "strings" ? value.shape : [] };
  return {
    type: "const",
    inputs: new Map(),
    outputs: [{ name, type }],
    blocks: [],
    attributes: new Map([["val", value]]),
  };
}

export function milValue(value: ConstantRow): MilValue {
  if (typeof value === "string") return { kind: "strings", shape: [], values: [value] };
  if (typeof value === "number") return tensorValue(tensorOf(numberType([value]), [value], []));
  if (typeof value === "boolean") return tensorValue(tensorOf("bool", [Number(value)], []));
  if (isPacked(value)) return tensorValue(value);
  const list: readonly (string | number | boolean)[] = value;
  const strings = list.filter((item) => typeof item === "string");
  if (strings.length > 0) return { kind: "strings", shape: [strings.length], values: strings };
  const numbers = list.map(Number);
  const isBoolean = list.some((item) => typeof item === "boolean");
  return tensorValue(tensorOf(isBoolean ? "bool" : numberType(numbers), numbers));
}

/** Elements of a packed type, from numbers: the first in the lowest bits. */
export function packed(dtype: ElementType, values: readonly number[], shape?: readonly number[]): Packed {
  const bits = { int4: 4, uint1: 1, uint2: 2, uint3: 3, uint4: 4, uint6: 6 }[dtype as string];
  if (bits === undefined) throw new Error(`${dtype} is not a packed type`);
  const bytes = new Uint8Array(new ArrayBuffer(Math.ceil((values.length * bits) / 8)));
  values.forEach((value, index) => {
    for (let bit = 0; bit < bits; bit++) {
      const at = index * bits + bit;
      if ((value >> bit) & 1) bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (1 << (at & 7));
    }
  });
  return { dtype, shape: shape ?? [values.length], bytes };
}

async function check(row: OpCase, precision: Precision, dynamic: boolean): Promise<void> {
  if (isError(row.expect)) return checkError(row, row.expect, precision, dynamic);
  const expected = isOneTensor(row.expect) ? { y: row.expect } : row.expect;
  const outputs = outputRows(row, expected);
  const actual = await runOp(row, outputs, { precision, dynamic });
  const surfaced = Object.fromEntries(
    Object.entries(expected).map(([name, tensor]) => [
      name,
      tensor.shape.length === 0 ? { ...tensor, shape: [1] } : tensor,
    ]),
  );
  const tolerance = row.tolerance ?? (precision === "model" ? tolerances.float16 : undefined);
  expectAllClose(actual, surfaced, tolerance);
}

async function checkError(
  row: OpCase,
  expected: OpCaseError,
  precision: Precision,
  dynamic: boolean,
): Promise<void> {
  let failure: unknown;
  try {
    await runOp(row, outputRows(row, {}), { precision, dynamic });
  } catch (error) {
    failure = error;
  }
  if (!(failure instanceof CoremlxError)) throw failure ?? new Error(`Expected an error: ${expected.error}`);
  expect({ code: failure.code, message: failure.message }).toEqual({
    code: expected.code ?? failure.code,
    message: expect.stringContaining(expected.error),
  });
}

function outputRows(row: OpCase, expected: Readonly<Record<string, Tensor>>): Record<string, OutputRow> {
  const rows = row.outputs ?? Object.values(expected);
  const names = Object.keys(expected);
  if (rows.length === 0) return { y: { dtype: "float32" } };
  return Object.fromEntries(rows.map((output, index) => [names[index] ?? `y${index || ""}`, output]));
}

function precisionsOf(row: OpCase): readonly Precision[] {
  if (row.precision) return [row.precision];
  const hasHalf = [...tensorsOf(row).values()].some(({ dtype }) => dtype === "float16");
  return hasHalf && !isError(row.expect) ? ["float32", "model"] : ["float32"];
}

/** The run-time inputs by the name the function knows them under. */
function tensorsOf(row: Pick<OpCase, "inputs">): Map<string, Tensor> {
  return new Map(
    Object.entries(row.inputs ?? {}).flatMap(([name, value]): [string, Tensor][] =>
      isList(value) ? value.map((item, index) => [`${name}_${index}`, item]) : [[name, value]],
    ),
  );
}

function byPort(lowered: Lowered, inputs: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const named = new Map<string, Tensor>();
  for (const port of lowered.inputs) {
    const tensor = inputs.get(port.feature);
    if (tensor === undefined) throw new Error(`The test gives no input "${port.feature}"`);
    named.set(port.name, tensor);
  }
  return named;
}

function byFeature(lowered: Lowered, results: ReadonlyMap<string, Tensor>): Record<string, Tensor> {
  const named: Record<string, Tensor> = {};
  for (const port of lowered.outputs) {
    const tensor = results.get(port.name);
    if (tensor === undefined) throw new Error(`The run gave no "${port.name}"`);
    named[port.feature] = tensor;
  }
  return named;
}

function tensorValue({ dtype, shape, bytes }: Packed): MilValue {
  return { kind: "tensor", dtype, shape, bytes, source: undefined };
}

function numberType(values: readonly number[]): "int32" | "float32" {
  return values.every((value) => Number.isInteger(value) && !Object.is(value, -0)) ? "int32" : "float32";
}

function isPacked(value: ConstantRow | Packed): value is Packed {
  return typeof value === "object" && "bytes" in value && "dtype" in value;
}

function isOneTensor(value: Tensor | Readonly<Record<string, Tensor>>): value is Tensor {
  return value["bytes"] instanceof Uint8Array;
}

function isList(value: Tensor | readonly Tensor[]): value is readonly Tensor[] {
  return Array.isArray(value);
}

function isPackedList(value: ConstantRow | readonly Packed[]): value is readonly Packed[] {
  return Array.isArray(value) && typeof value[0] === "object";
}

function isError(value: OpCase["expect"]): value is OpCaseError {
  return "error" in value && typeof value.error === "string";
}
