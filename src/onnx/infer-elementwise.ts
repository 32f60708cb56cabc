// Rules for ops whose result has the shape of their operands: unary, broadcasting, comparing, casting, normalising.

import { dtypeOfOnnx } from "./data-type.ts";
import {
  broadcast,
  type Call,
  expectDType,
  floatTypes,
  forAll,
  integer,
  mismatch,
  misuse,
  need,
  present,
  type RuleTable,
  sameDType,
} from "./infer-rule.ts";
import type { OnnxDType, Shape, ValueType } from "./types.ts";

const unary = "Abs Clip CumSum Identity Neg Relu ReverseSequence Shrink Sign Trilu BitwiseNot";

/** Defined on floats alone. */
const unaryOfFloats =
  "Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish Hardmax LeakyRelu " +
  "Log LogSoftmax LpNormalization LRN MeanVarianceNormalization Mish Reciprocal Round Selu Sigmoid Sin Sinh Softmax " +
  "Softplus Softsign Sqrt Tan Tanh ThresholdedRelu BatchNormalization GroupNormalization InstanceNormalization";

export const elementwiseRules: RuleTable = {
  ...forAll(unary, (call) => [typeOf(call)]),
  ...forAll(unaryOfFloats, (call) => {
    expectDType(call, 0, floatTypes);
    return [typeOf(call)];
  }),
  ...forAll("Add Sub Mul Div Mod Max Min Sum Mean BitwiseAnd BitwiseOr BitwiseXor BitShift", (call) => [
    {
      dtype: sameDType(
        call,
        call.inputs.map((_, index) => index),
      ),
      shape: broadcastAll(call),
    },
  ]),
  Pow: (call) => [{ dtype: need(call, 0).dtype, shape: broadcastAll(call) }],
  PRelu: (call) => [{ dtype: sameDType(call, [0, 1]), shape: need(call, 0).shape }],
  ...forAll("Equal Greater GreaterOrEqual Less LessOrEqual", (call) => {
    sameDType(call, [0, 1]);
    return [{ dtype: "bool", shape: broadcastAll(call) }];
  }),
  ...forAll("And Or Xor", (call) => {
    expectDType(call, 0, ["bool"]);
    expectDType(call, 1, ["bool"]);
    return [{ dtype: "bool", shape: broadcastAll(call) }];
  }),
  Not(call) {
    expectDType(call, 0, ["bool"]);
    return [typeOf(call)];
  },
  ...forAll("IsNaN IsInf", (call) => [{ dtype: "bool", shape: need(call, 0).shape }]),
  Where(call) {
    expectDType(call, 0, ["bool"]);
    return [{ dtype: sameDType(call, [1, 2]), shape: broadcastAll(call) }];
  },
  Cast: (call) => [{ dtype: requested(call, "to"), shape: need(call, 0).shape }],
  CastLike: (call) => [{ dtype: need(call, 1).dtype, shape: need(call, 0).shape }],
  Dropout: (call) => [typeOf(call), { dtype: "bool", shape: need(call, 0).shape }],
  LayerNormalization(call) {
    expectDType(call, 0, floatTypes);
    const { shape } = need(call, 0);
    const axis = integer(call, "axis", -1);
    const first = shape && axis < 0 ? axis + shape.length : axis;
    if (shape && (first < 0 || first >= shape.length))
      throw mismatch(call, `axis ${axis} is outside its rank`);
    const statistic: ValueType = {
      dtype: requested(call, "stash_type", "float32"),
      shape: shape?.map((dim, at) => (at < first ? dim : 1)),
    };
    return [typeOf(call), statistic, statistic];
  },
  ...forAll("RandomNormalLike RandomUniformLike Bernoulli EyeLike", (call) => [
    { dtype: requested(call, "dtype", need(call, 0).dtype), shape: need(call, 0).shape },
  ]),
  QuantizeLinear: (call) => [
    { dtype: call.inputs[2]?.dtype ?? requested(call, "output_dtype", "uint8"), shape: need(call, 0).shape },
  ],
  DequantizeLinear: (call) => [{ dtype: need(call, 1).dtype, shape: need(call, 0).shape }],
  ...forAll("ScatterND ScatterElements", (call) => {
    sameDType(call, [0, 2]);
    expectDType(call, 1, call.op === "ScatterND" ? ["int64"] : ["int32", "int64"]);
    return [typeOf(call)];
  }),
};

/** The element type an attribute asks for by its TensorProto number. */
export function requested(call: Call, name: string, fallback?: OnnxDType): OnnxDType {
  const number = call.attributes[name] === undefined ? 0 : integer(call, name);
  if (number === 0 && fallback !== undefined) return fallback;
  const dtype = dtypeOfOnnx(number);
  if (dtype === undefined) throw misuse(call, `attribute "${name}" names no element type: ${number}`);
  return dtype;
}

function typeOf(call: Call): ValueType {
  const { dtype, shape } = need(call, 0);
  return { dtype, shape };
}

function broadcastAll(call: Call): Shape {
  need(call, 0);
  return broadcast(
    call,
    present(call).map((input) => input.shape),
  );
}
