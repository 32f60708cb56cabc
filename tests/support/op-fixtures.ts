// Op cases that scripts/fixtures/ops computed in numpy, as rows for `opCases`.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../src/core/dtype.ts";
import { type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { ConstantRow, OpCase, OutputRow } from "./op-cases.ts";

interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

type StoredConstant =
  | Exclude<ConstantRow, object>
  | readonly number[]
  | readonly boolean[]
  | StoredTensor
  | readonly StoredTensor[];

interface StoredRow {
  readonly name: string;
  readonly op: string;
  readonly opset?: 15 | 16 | 17 | 18 | 26;
  readonly dynamic?: true;
  readonly outputs?: readonly OutputRow[];
  readonly precision?: "float32" | "model";
  readonly inputs: Readonly<Record<string, StoredTensor | readonly StoredTensor[]>>;
  readonly constants: Readonly<Record<string, StoredConstant>>;
  readonly expect: Readonly<Record<string, StoredTensor>>;
}

/** The rows of tests/fixtures/ops/<family>.json. */
export function fixtureRows(family: string): readonly OpCase[] {
  const path = join(import.meta.dir, "..", "fixtures", "ops", `${family}.json`);
  const rows = JSON.parse(readFileSync(path, "utf8")) as readonly StoredRow[];
  return rows.map(({ inputs, constants, expect, ...rest }): OpCase => {
    return {
      ...rest,
      inputs: mapValues(inputs, (value) => (isStoredList(value) ? value.map(restore) : restore(value))),
      constants: mapValues(constants, restoreConstant),
      expect: mapValues(expect, restore),
    };
  });
}

function restore({ dtype, shape, data }: StoredTensor): Tensor {
  return tensorOf(dtype, data, shape);
}

function restoreConstant(value: StoredConstant): ConstantRow | readonly Tensor[] {
  if (isStored(value)) return restore(value);
  return isStoredList(value) ? value.map(restore) : value;
}

function isStored(value: StoredConstant): value is StoredTensor {
  return typeof value === "object" && "data" in value;
}

function isStoredList(value: StoredConstant): value is readonly StoredTensor[] {
  return Array.isArray(value) && typeof value[0] === "object";
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, change: (value: From) => To) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
