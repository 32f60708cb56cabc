// Rules for ONNX sequences. The shape of a sequence's type is that of its elements, where they agree.

import { knownElements } from "./elements.ts";
import { requested } from "./infer-elementwise.ts";
import {
  axisIn,
  type Call,
  integer,
  misuse,
  need,
  present,
  type RuleTable,
  sameDType,
} from "./infer-rule.ts";
import type { Dim, Shape, Value, ValueType } from "./types.ts";

export const sequenceRules: RuleTable = {
  SequenceEmpty: (call) => [
    { dtype: requested(call, "dtype", "float32"), shape: undefined, isSequence: true },
  ],
  SequenceConstruct(call) {
    const dtype = sameDType(
      call,
      call.inputs.map((_, index) => index),
    );
    const shape = present(call)
      .map((value) => value.shape)
      .reduce((a, b) => commonShape(call, a, b));
    return [{ dtype, shape, isSequence: true }];
  },
  SequenceInsert(call) {
    const { dtype, shape } = needSequence(call, 0);
    sameDType(call, [0, 1]);
    return [{ dtype, shape: commonShape(call, shape, need(call, 1).shape), isSequence: true }];
  },
  SequenceErase: (call) => {
    const { dtype, shape } = needSequence(call, 0);
    return [{ dtype, shape, isSequence: true }];
  },
  SequenceAt: (call) => {
    const { dtype, shape } = needSequence(call, 0);
    return [{ dtype, shape }];
  },
  SequenceLength: (call) => {
    needSequence(call, 0);
    return [{ dtype: "int64", shape: [] }];
  },
  ConcatFromSequence(call) {
    const { dtype, shape } = needSequence(call, 0);
    if (shape === undefined) return [{ dtype, shape: undefined }];
    const axis = integer(call, "axis");
    if (integer(call, "new_axis", 0) !== 0) {
      return [{ dtype, shape: shape.toSpliced(axisIn(call, axis, shape.length + 1), 0, call.unknownDim()) }];
    }
    return [{ dtype, shape: shape.with(axisIn(call, axis, shape.length), call.unknownDim()) }];
  },
  SplitToSequence(call): readonly ValueType[] {
    const { dtype, shape } = need(call, 0);
    if (shape === undefined) return [{ dtype, shape: undefined, isSequence: true }];
    const axis = axisIn(call, integer(call, "axis", 0), shape.length);
    const split = call.inputs[1];
    if (split === undefined && integer(call, "keepdims", 1) === 0) {
      return [{ dtype, shape: shape.toSpliced(axis, 1), isSequence: true }];
    }
    return [{ dtype, shape: shape.with(axis, partSize(call, split, shape[axis])), isSequence: true }];
  },
};

function needSequence(call: Call, index: number): Value {
  const value = need(call, index);
  if (value.isSequence !== true) throw misuse(call, `input ${index} must be a sequence`);
  return value;
}

/** Element sequences drop what their elements do not agree on. */
function commonShape(call: Call, a: Shape, b: Shape): Shape {
  if (a === undefined || b === undefined || a.length !== b.length) return undefined;
  return a.map((dim, axis) => (dim === b[axis] ? dim : call.unknownDim()));
}

/** The size all parts share, when they do. */
function partSize(call: Call, split: Value | undefined, dim: Dim | undefined): Dim {
  if (split === undefined) return 1;
  const sizes = knownElements(split);
  const [first] = sizes ?? [];
  if (sizes === undefined || first === undefined) return call.unknownDim();
  const isScalar = split.shape?.length === 0;
  if (!isScalar) return sizes.every((size) => size === first) ? first : call.unknownDim();
  const divides = typeof dim === "number" && typeof first === "number" && dim % first === 0;
  return divides ? first : call.unknownDim();
}
