// ONNX messages of nodes, attributes, types and tensors.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { byteLengthOf } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { elementCount } from "../core/tensor.ts";
import { onnxType } from "./data-type.ts";
import {
  AttributeProto_AttributeType as Kind,
  type AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type TypeProtoSchema,
  type ValueInfoProtoSchema,
} from "./gen/onnx_pb.ts";
import type { Graph } from "./graph.ts";
import { isGraph, type Pruned } from "./prune.ts";
import type { Attribute, Constant, Node, Value, ValueType } from "./types.ts";

/** Attributes that ONNX declares as FLOAT or FLOATS, in the standard operators, ai.onnx.ml and com.microsoft. */
const floatNames: ReadonlySet<string> = new Set([
  "activation_alpha",
  "activation_beta",
  "alpha",
  "base_values",
  "beta",
  "bias",
  "class_weights",
  "clip",
  "coefficients",
  "cubic_coeff_a",
  "default_float",
  "epsilon",
  "extrapolation_value",
  "gamma",
  "high",
  "imputed_value_floats",
  "intercepts",
  "kernel_params",
  "keys_floats",
  "lambd",
  "low",
  "mean",
  "momentum",
  "nodes_hitrates",
  "nodes_values",
  "offset",
  "prob_a",
  "prob_b",
  "replaced_value_float",
  "rho",
  "scale",
  "seed",
  "spatial_scale",
  "support_vectors",
  "target_weights",
  "threshold",
  "value_float",
  "value_floats",
  "values_floats",
  "weights",
]);

/** Where a name above is an integer all the same. */
const integerExceptions: ReadonlySet<string> = new Set(["Dropout.seed"]);

/** A graph without its initializers. */
export function graphMessage(graph: Graph, pruned: Pruned, name: string): GraphProto {
  const nodes = pruned.nodes.get(graph) ?? graph.nodes;
  return create(GraphProtoSchema, {
    name,
    node: nodes.map((node) => nodeMessage(node, pruned)),
    input: graph.inputs.map(valueInfo),
    output: graph.outputs.map(valueInfo),
  });
}

/** A tensor without its bytes. Throws INTERNAL where their number does not fit the shape. */
export function tensorMessage(name: string, constant: Constant): TensorProto {
  const { dtype, shape, bytes } = constant;
  const expected = byteLengthOf(dtype, elementCount(shape));
  if (bytes.length !== expected) {
    const type = `${dtype}[${shape.join(", ")}]`;
    throw new CoremlxError(
      "INTERNAL",
      `Cannot write "${name}": ${type} takes ${expected} bytes, got ${bytes.length}`,
    );
  }
  return create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType: onnxType[dtype] });
}

function nodeMessage(node: Node, pruned: Pruned): MessageInitShape<typeof NodeProtoSchema> {
  const attribute = Object.entries(node.attributes).flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, ...attributeMessage(node, name, value, pruned) }],
  );
  return {
    name: node.name,
    opType: node.op,
    domain: node.domain,
    // ONNX Runtime crashes on LayerNormalization with a last input that is named and absent.
    input: node.inputs.slice(0, node.inputs.findLastIndex((name) => name !== "") + 1),
    output: [...node.outputs],
    attribute,
  };
}

function attributeMessage(
  node: Node,
  name: string,
  value: Attribute,
  pruned: Pruned,
): MessageInitShape<typeof AttributeProtoSchema> {
  const isFloat = floatNames.has(name) && !integerExceptions.has(`${node.op}.${name}`);
  if (typeof value === "number" && isFloat) return { type: Kind.FLOAT, f: value };
  if (typeof value === "number" || typeof value === "bigint")
    return { type: Kind.INT, i: int64(node, name, value) };
  if (typeof value === "string") return { type: Kind.STRING, s: utf8.encode(value) };
  if (isGraph(value)) return { type: Kind.GRAPH, g: graphMessage(value, pruned, `${node.name}/${name}`) };
  if (isConstant(value)) {
    return {
      type: Kind.TENSOR,
      t: create(TensorProtoSchema, { ...tensorMessage("", value), rawData: value.bytes }),
    };
  }
  const numbers = value.filter((item) => typeof item === "number");
  if (numbers.length < value.length) {
    return { type: Kind.STRINGS, strings: value.map((item) => utf8.encode(String(item))) };
  }
  return isFloat
    ? { type: Kind.FLOATS, floats: numbers }
    : { type: Kind.INTS, ints: numbers.map((item) => int64(node, name, item)) };
}

const utf8 = new TextEncoder();

function int64(node: Node, name: string, value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new CoremlxError(
      "INTERNAL",
      `Cannot write ${node.op} "${node.name}": "${name}" must be an integer, got ${value}`,
    );
  }
  const clamped = BigInt(value);
  const largest = 2n ** 63n - 1n;
  return clamped > largest ? largest : clamped < -largest ? -largest - 1n : clamped;
}

function isConstant(value: Constant | readonly number[] | readonly string[]): value is Constant {
  return "bytes" in value;
}

function valueInfo(value: Value): MessageInitShape<typeof ValueInfoProtoSchema> {
  return { name: value.name, type: typeMessage(value) };
}

function typeMessage(type: ValueType): MessageInitShape<typeof TypeProtoSchema> {
  if (type.isSequence) {
    const elemType = typeMessage({ dtype: type.dtype, shape: type.shape });
    return { value: { case: "sequenceType", value: { elemType } } };
  }
  const shape = type.shape && {
    dim: type.shape.map((dim) => {
      if (typeof dim === "number") return { value: { case: "dimValue" as const, value: BigInt(dim) } };
      return dim.startsWith("unknown_") ? {} : { value: { case: "dimParam" as const, value: dim } };
    }),
  };
  const tensor = { elemType: onnxType[type.dtype], ...(shape && { shape }) };
  return { value: { case: "tensorType", value: tensor } };
}
