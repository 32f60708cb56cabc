// Constant folding: what a node gives is computed here when it is small and exact, and sizes are followed through
// the arithmetic done on them, so that shapes stay known. Whatever is not exact is left to ONNX Runtime.

import { byteSize } from "../core/dtype.ts";
import { elementCount, tensorOf } from "../core/tensor.ts";
import { isStatic, maxFoldElements, partialElements } from "./elements.ts";
import { castConstant, computed } from "./fold-math.ts";
import { generated, nonZeroIndices } from "./fold-generate.ts";
import { controlInputs, moves, type Source } from "./fold-move.ts";
import { reduction } from "./fold-reduce.ts";
import { measuredAxes } from "./infer-generator.ts";
import type { Call } from "./infer-rule.ts";
import type { Attributes, Constant, Dim, Value, ValueType } from "./types.ts";

export { constantNumbers } from "./elements.ts";

export interface Folded {
  /** The whole result. */
  readonly constant?: Constant;
  /** Of an integer result that is not constant: its elements, each a number, the symbol of the axis it measures, or unknown. */
  readonly elements?: readonly (Dim | undefined)[];
}

/** A call whose result has `shape` and `dtype`. */
export interface FoldCall extends Call {
  readonly dtype: ValueType["dtype"];
  readonly shape: readonly number[];
}

/**
 * What is known now of the first result of a node, whose inferred type is `type`. Results equal those of ONNX
 * Runtime bit for bit; a node that would fail or round differently there is not folded.
 */
export function foldNode(
  op: string,
  inputs: readonly (Value | undefined)[],
  attributes: Attributes,
  type: ValueType | undefined,
): Folded {
  if (type === undefined || type.isSequence || type.dtype === "int4" || type.dtype === "uint4") return {};
  if (op === "Shape" || op === "Size") return measured(op, inputs[0], attributes);
  if (op === "NonZero") return found(inputs[0]);
  const { dtype, shape } = type;
  if (!isStatic(shape) || elementCount(shape) > maxFoldElements) return {};
  const call: FoldCall = { op, inputs, attributes, count: 1, unknownDim: () => "", dtype, shape };

  if (Object.hasOwn(moves, op)) return moved(call);
  if (op === "Cast") return casted(call);
  if (!inputs.every((input) => input === undefined || isSmallConstant(input))) return {};
  const constant = computed(call) ?? reduction(call) ?? generated(call);
  return constant ? { constant } : {};
}

function measured(op: string, value: Value | undefined, attributes: Attributes): Folded {
  if (value?.shape === undefined) return {};
  if (op === "Shape") return fromElements(measuredAxes({ op, attributes }, value.shape), undefined);
  const size = isStatic(value.shape) ? elementCount(value.shape) : undefined;
  return size === undefined || !Number.isSafeInteger(size) ? {} : { constant: tensorOf("int64", [size], []) };
}

function found(value: Value | undefined): Folded {
  const constant = value?.constant && isSmallConstant(value) ? nonZeroIndices(value.constant) : undefined;
  return constant ? { constant } : {};
}

function casted(call: FoldCall): Folded {
  const [value] = call.inputs;
  if (value === undefined) return {};
  if (isSmallConstant(value) && value.constant) {
    const constant = castConstant(value.constant, call.dtype);
    return constant ? { constant } : {};
  }
  const isIndex = call.dtype === "int32" || call.dtype === "int64";
  return isIndex && value.elements && (value.dtype === "int32" || value.dtype === "int64")
    ? { elements: value.elements }
    : {};
}

/** An op that only moves elements: bytes when all is constant, else the elements that are followed. */
function moved(call: FoldCall): Folded {
  const { inputs, dtype, shape } = call;
  const isControl = (index: number) => controlInputs(call).includes(index);
  const isReady = inputs.every(
    (input, index) =>
      input === undefined || (isStatic(input.shape) && (!isControl(index) || isSmallConstant(input))),
  );
  const followed = inputs.flatMap((input, index) => (input && !isControl(index) ? [isFollowed(input)] : []));
  const isSmall = elementCount(shape) <= maxPartialElements;
  if (!isReady || !(isSmall ? followed.includes(true) : !followed.includes(false))) return {};
  const sources = moves[call.op]?.(call);
  if (sources?.length !== elementCount(shape)) return {};
  if (
    inputs.every((input, index) => isControl(index) || input === undefined || input.constant !== undefined)
  ) {
    const bytes = gatherBytes(call, sources);
    return bytes === undefined ? {} : { constant: { dtype, shape, bytes } };
  }
  const lists = inputs.map((input, index) => (isControl(index) ? undefined : partialElements(input)));
  const elements = sources.map(([input, index]) => lists[input]?.[index]);
  return fromElements(elements, { ...call, shape });
}

function isSmallConstant(value: Value): boolean {
  const { constant } = value;
  if (constant === undefined || constant.dtype === "int4" || constant.dtype === "uint4") return false;
  return elementCount(constant.shape) <= maxFoldElements;
}

function isFollowed(value: Value): boolean {
  return isSmallConstant(value) || (value.constant === undefined && value.elements !== undefined);
}

/** Longer vectors are followed only where every element is known: no tensor has so many axes. */
const maxPartialElements = 64;

/** Elements that are all numbers are a constant; those that are all unknown are nothing. */
function fromElements(
  elements: readonly (Dim | undefined)[],
  type: Pick<FoldCall, "dtype" | "shape"> | undefined,
): Folded {
  const known = elements.filter((element) => element !== undefined);
  if (known.length === 0 && elements.length > 0) return {};
  if (known.length < elements.length || !isStatic(known)) return { elements };
  if (!known.every((element) => Number.isSafeInteger(element))) return {};
  const { dtype, shape } = type ?? { dtype: "int64", shape: [known.length] };
  return dtype === "int4" || dtype === "uint4" ? {} : { constant: tensorOf(dtype, known, shape) };
}

function gatherBytes(call: FoldCall, sources: readonly Source[]): Uint8Array<ArrayBuffer> | undefined {
  if (call.dtype === "int4" || call.dtype === "uint4") return undefined;
  const size = byteSize(call.dtype);
  const bytes = new Uint8Array(new ArrayBuffer(sources.length * size));
  for (const [at, [input, index]] of sources.entries()) {
    const from = call.inputs[input]?.constant?.bytes;
    if (from === undefined || (index + 1) * size > from.length) return undefined;
    bytes.set(from.subarray(index * size, (index + 1) * size), at * size);
  }
  return bytes;
}
