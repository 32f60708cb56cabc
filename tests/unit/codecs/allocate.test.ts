import { expect, test } from "bun:test";
import { allocateBytes, checkElementCount, formatShape, makeTensor } from "../../../src/codecs/allocate.ts";
import { castTensor } from "../../../src/codecs/cast.ts";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { zeros } from "../../../src/core/tensor.ts";
import { describeError, errorOf } from "../../support/codec-fixtures.ts";

const subject = "Cannot do it";

test("memory is zero, and never more than the limit", () => {
  expect(allocateBytes(3, subject)).toEqual(new Uint8Array(3));
  expect(
    describeError(errorOf(() => allocateBytes(101, subject, { ...defaultLimits, tensorBytes: 100 }))),
  ).toBe("BAD_INPUT: Cannot do it: 101 bytes are more than the limit of 100");
});

test("what the machine does not have is an error of ours", () => {
  const limits = { ...defaultLimits, tensorBytes: Infinity };
  expect(errorOf(() => allocateBytes(2 ** 52, subject, limits)).message).toBe(
    "Cannot do it: this machine has no memory for 4503599627370496 bytes",
  );
});

test("shapes are counted without overflow, and odd axes refused", () => {
  expect(checkElementCount([], "float32", { subject })).toBe(1);
  expect(checkElementCount([5, 0, 7], "float32", { subject })).toBe(0);
  for (const axis of [-1, 1.5, NaN, Infinity, 2 ** 53])
    expect(errorOf(() => checkElementCount([axis], "int8", { subject })).message).toBe(
      `Cannot do it: an axis of ${axis} is no size`,
    );
  const shape = Array.from({ length: 32 }, () => 2 ** 40);
  expect(errorOf(() => checkElementCount(shape, "int8", { subject })).message).toEndWith(
    "has more elements than can be counted",
  );
  expect(makeTensor("int16", [2], { subject })).toEqual(zeros("int16", [2]));
});

test("a conversion that multiplies the size is checked too", () => {
  // no such bytes exist: the shape alone must be refused
  const tensor = { dtype: "uint8", shape: [2 ** 30], bytes: new Uint8Array(0) } as const;
  expect(errorOf(() => castTensor(tensor, "float64", 'input "x"')).message).toBe(
    'Cannot convert input "x" to float64: shape [1073741824] of float64 takes 8589934592 bytes, more than the limit of 4294967296',
  );
});

test("long shapes are shortened in messages", () => {
  expect(formatShape(Array.from({ length: 20 }, () => 1))).toBe(`[${"1, ".repeat(16)}…]`);
});
