// MIL programs written by hand: ops by their arguments, blocks within them.

import type { ElementType } from "../../src/core/dtype.ts";
import type {
  MilBinding,
  MilBlock,
  MilFunction,
  MilNamedType,
  MilOp,
  MilOpset,
  MilType,
} from "../../src/formats/mil.ts";
import { type ConstantRow, milValue } from "./op-cases.ts";

/** "=name" refers to a value; anything else is a constant in place. A list of references is a list argument. */
export type Argument = ConstantRow;

export function tensorType(dtype: ElementType, shape?: readonly (number | undefined)[]): MilType {
  return { kind: "tensor", dtype, shape };
}

export function listType(dtype: ElementType, shape: readonly (number | undefined)[] | undefined): MilType {
  return { kind: "list", element: { kind: "tensor", dtype, shape }, length: undefined };
}

export function stateType(dtype: ElementType, shape: readonly (number | undefined)[]): MilType {
  return { kind: "state", wrapped: { kind: "tensor", dtype, shape } };
}

export function named(types: Readonly<Record<string, MilType>>): readonly MilNamedType[] {
  return Object.entries(types).map(([name, type]) => ({ name, type }));
}

export function milOp(
  type: string,
  inputs: Readonly<Record<string, Argument>>,
  outputs: Readonly<Record<string, MilType>> = {},
  blocks: readonly MilBlock[] = [],
): MilOp {
  const bindings = Object.entries(inputs).map(([name, value]) => [name, bindingsOf(value)] as const);
  return { type, inputs: new Map(bindings), outputs: named(outputs), blocks, attributes: new Map() };
}

export function milBlock(
  inputs: Readonly<Record<string, MilType>>,
  operations: readonly MilOp[],
  outputs: readonly string[],
): MilBlock {
  return { inputs: named(inputs), operations, outputs };
}

export function milFunction(
  inputs: Readonly<Record<string, MilType>>,
  operations: readonly MilOp[],
  outputs: readonly string[],
  opset: MilOpset = "iOS18",
): MilFunction {
  const block = milBlock({}, operations, outputs);
  return { name: "main", opset, inputs: named(inputs), attributes: new Map(), block };
}

function bindingsOf(value: Argument): readonly MilBinding[] {
  const list = Array.isArray(value) ? value : [value];
  const names = list.filter((item) => typeof item === "string" && item.startsWith("="));
  if (names.length > 0 && names.length === list.length) {
    return names.map((name) => ({ kind: "name", name: String(name).slice(1) }));
  }
  return [{ kind: "value", value: milValue(value) }];
}
