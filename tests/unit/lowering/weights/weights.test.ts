// Decoders of stored weights, apart from any op: every width, shares of bytes, blocks of every form, and refusals.

import { describe, expect, test } from "bun:test";
import type { ElementType } from "../../../../src/core/dtype.ts";
import { f32, numbersOf, tensorOf } from "../../../../src/core/tensor.ts";
import type { MilTensor } from "../../../../src/formats/mil.ts";
import { divides, forEachRun, refineGrid } from "../../../../src/lowering/weights/blocks.ts";
import { paletteProblem } from "../../../../src/lowering/weights/palette.ts";
import { asIntegers } from "../../../../src/lowering/weights/shift-scale.ts";
import { repeatMask } from "../../../../src/lowering/weights/sparse.ts";
import {
  asDType,
  checkedCount,
  rawElements,
  rawZeros,
  unpackBits,
  widen,
} from "../../../../src/lowering/weights/unpack.ts";
import { packed } from "../../../support/op-cases.ts";

describe("unpackBits", () => {
  for (const bits of [1, 2, 3, 4, 6, 8] as const) {
    test(`reads ${bits}-bit numbers, whatever is left of the last byte`, () => {
      for (const count of [0, 1, 2, 3, 5, 7, 8, 9, 16, 23]) {
        const numbers = Array.from({ length: count }, (_, at) => (at * 37 + 11) % 2 ** bits);
        const bytes = bits === 8 ? Uint8Array.from(numbers) : packed(`uint${bits}`, numbers).bytes;
        expect([...unpackBits(bytes, bits, count)]).toEqual(numbers);
      }
    });
  }
});

describe("widen", () => {
  test("keeps the sign of 4-bit integers", () => {
    const { dtype, bytes } = widen(weight("int4", packed("int4", [-8, -1, 0, 7, 3]).bytes, [5]), "w");
    expect({ dtype, values: [...numbersOf({ dtype, bytes })] }).toEqual({
      dtype: "int8",
      values: [-8, -1, 0, 7, 3],
    });
  });

  test("borrows what is dense", () => {
    const { bytes } = f32([1, 2]);
    expect(widen(weight("float32", bytes, [2]), "w").bytes).toBe(bytes);
  });

  test("refuses 8-bit floats, which no op takes", () => {
    expect(() => widen(weight("float8e4m3fn", bytesOf(2), [2]), "the weight")).toThrow(
      "Cannot decode the weight: weights of type float8e4m3fn are not supported",
    );
  });
});

describe("checkedCount", () => {
  test("refuses bytes that end too early", () => {
    expect(() => checkedCount(weight("uint3", bytesOf(2), [6]), "w")).toThrow(
      "[6] of uint3 needs 3 bytes, got 2",
    );
  });

  test.each([[[2 ** 31, 2]], [[2 ** 40, 2 ** 40]]])("refuses %p elements", (shape) => {
    expect(() => checkedCount(weight("uint1", bytesOf(1), shape), "w")).toThrow("is too large");
  });
});

test("rawElements reads from an odd place", () => {
  const bytes = new Uint8Array(new ArrayBuffer(9)).subarray(1);
  bytes.set([1, 0, 2, 0], 0);
  expect([...rawElements(bytes.subarray(0, 4), "float16")]).toEqual([1, 2]);
});

test("rawElements refuses types that no weight has", () => {
  expect(() => rawElements(bytesOf(8), "int64")).toThrow("Cannot decode weights of type int64");
});

test("rawZeros refuses more than ONNX could hold", () => {
  expect(() => rawZeros("float32", 2 ** 30, "the weight")).toThrow(
    "Cannot decode the weight: 4294967296 bytes are too many",
  );
});

test("asDType rounds to halves and widens again", () => {
  const half = asDType({ ...weight("float32", f32([0.1, -2]).bytes, [2]), dtype: "float32" }, "float16");
  const wide = asDType(half, "float32");
  expect([...numbersOf(wide)]).toEqual([Math.f16round(0.1), -2]);
});

describe("forEachRun", () => {
  // The block of element p is, axis by axis, floor(p_m / (shape_m / grid_m)): checked one by one.
  test.each([
    [[5], [1]],
    [[6], [3]],
    [
      [4, 6],
      [4, 1],
    ],
    [
      [4, 6],
      [2, 3],
    ],
    [
      [2, 4, 3],
      [1, 2, 1],
    ],
    [
      [2, 4, 3],
      [2, 1, 3],
    ],
    [
      [2, 3, 4, 2],
      [1, 3, 2, 1],
    ],
    [
      [3, 0],
      [3, 1],
    ],
  ])("visits every element of %p once, in its block of %p", (shape, grid) => {
    const blocks: number[] = [];
    forEachRun(shape, grid, (start, length, block) => {
      expect(start).toBe(blocks.length);
      for (let i = 0; i < length; i++) blocks.push(block);
    });
    const count = shape.reduce((a, b) => a * b, 1);
    const expected = Array.from({ length: count }, (_, index) => {
      let [rest, block, stride] = [index, 0, 1];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const [size = 1, parts = 1] = [shape[axis], grid[axis]];
        block += Math.floor((rest % size) / (size / parts)) * stride;
        stride *= parts;
        rest = Math.floor(rest / size);
      }
      return block;
    });
    expect(blocks).toEqual(expected);
  });
});

test("divides wants the same rank, blocks on every axis, and nothing left over", () => {
  expect(divides([2, 1], [4, 3])).toBe(true);
  expect(divides([2], [4, 3])).toBe(false);
  expect(divides([0, 1], [4, 3])).toBe(false);
  expect(divides([3, 1], [4, 3])).toBe(false);
});

test("refineGrid repeats blocks", () => {
  expect([...refineGrid([1, 2], [2, 1], [4, 2])]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
});

test("asIntegers packs whole numbers in range, and nothing else", () => {
  expect(asIntegers(Float32Array.of(-8, 7, 1), "int4")).toEqual(Uint8Array.of(0x78, 0x01));
  expect(asIntegers(Float32Array.of(-1, 127), "int8")).toEqual(Uint8Array.of(255, 127));
  expect(asIntegers(Float32Array.of(16), "uint4")).toBeUndefined();
  expect(asIntegers(Float32Array.of(-1), "uint8")).toBeUndefined();
  expect(asIntegers(Float32Array.of(0.5), "int8")).toBeUndefined();
});

test("repeatMask repeats bits along an axis", () => {
  // 1 0 / 0 1 along the first axis: 1 0 / 1 0 / 0 1 / 0 1.
  expect(repeatMask(Uint8Array.of(0b1001), [2, 2], 0, 2)).toEqual(Uint8Array.of(0b10100101));
});

test("paletteProblem names an axis outside the rank", () => {
  const lut = { ...weight("float32", f32([1, 2]).bytes, [1, 2, 1]), dtype: "float32" } as const;
  const indices = bytesOf(1);
  expect(paletteProblem({ indices, shape: [1], lut, vectorAxis: 1 }, 1)).toBe(
    '"vector_axis" 1 is outside the rank',
  );
  expect(paletteProblem({ indices, shape: [1], lut, vectorAxis: 0 }, 1)).toBeUndefined();
});

function weight(dtype: ElementType, bytes: Uint8Array<ArrayBuffer>, shape: readonly number[]): MilTensor {
  return { kind: "tensor", dtype, shape, bytes, source: undefined };
}

function bytesOf(length: number): Uint8Array<ArrayBuffer> {
  return tensorOf("uint8", Array(length).fill(0)).bytes;
}
