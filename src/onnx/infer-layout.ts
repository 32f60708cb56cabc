// Rules for ops that rearrange elements without computing: reshape, transpose, concat, slice and their kin.

import { constantNumbers, isStatic, knownElements, partialElements, sliceSpan } from "./elements.ts";
import {
  axesIn,
  axisIn,
  broadcast,
  type Call,
  expectDType,
  freshShape,
  freshShapeOfLength,
  integer,
  integers,
  mapDim,
  mergeDims,
  mismatch,
  misuse,
  need,
  present,
  productOf,
  type RuleTable,
  sameDType,
  sumOf,
} from "./infer-rule.ts";
import type { Dim, Shape, Value } from "./types.ts";

export const layoutRules: RuleTable = {
  Reshape(call) {
    expectDType(call, 1, ["int64"]);
    return [{ dtype: need(call, 0).dtype, shape: reshaped(call) }];
  },
  Transpose(call) {
    const { dtype, shape } = need(call, 0);
    const perm = integers(call, "perm");
    if (shape === undefined) return [{ dtype, shape: perm && freshShape(call, perm.length) }];
    if (perm === undefined) return [{ dtype, shape: shape.toReversed() }];
    if (perm.length !== shape.length) throw mismatch(call, `perm [${perm.join(", ")}] does not fit its rank`);
    axesIn(call, perm, shape.length);
    return [
      { dtype, shape: perm.map((axis) => shape[axisIn(call, axis, shape.length)] ?? call.unknownDim()) },
    ];
  },
  Concat(call) {
    const dtype = sameDType(
      call,
      call.inputs.map((_, index) => index),
    );
    return [{ dtype, shape: concatenated(call, present(call), integer(call, "axis")) }];
  },
  Split(call) {
    expectDType(call, 1, ["int64"]);
    const { dtype, shape } = need(call, 0);
    if (shape === undefined) return Array.from({ length: call.count }, () => ({ dtype, shape: undefined }));
    const axis = axisIn(call, integer(call, "axis", 0), shape.length);
    return splitSizes(call, shape[axis]).map((size) => ({ dtype, shape: shape.with(axis, size) }));
  },
  Slice(call) {
    sameDType(call, [1, 2, 3, 4]);
    expectDType(call, 1, ["int32", "int64"]);
    return [{ dtype: need(call, 0).dtype, shape: sliced(call) }];
  },
  Squeeze(call) {
    expectDType(call, 1, ["int64"]);
    return [{ dtype: need(call, 0).dtype, shape: squeezed(call) }];
  },
  Unsqueeze(call) {
    expectDType(call, 1, ["int64"]);
    return [{ dtype: need(call, 0).dtype, shape: unsqueezed(call) }];
  },
  Flatten(call) {
    const { dtype, shape } = need(call, 0);
    if (shape === undefined) return [{ dtype, shape: freshShape(call, 2) }];
    const axis = integer(call, "axis", 1);
    if (axis < -shape.length || axis > shape.length) throw mismatch(call, `axis ${axis} is outside its rank`);
    const at = axis < 0 ? axis + shape.length : axis;
    return [{ dtype, shape: [productOf(call, shape.slice(0, at)), productOf(call, shape.slice(at))] }];
  },
  Expand(call) {
    expectDType(call, 1, ["int64"]);
    const { dtype, shape } = need(call, 0);
    const wanted = partialElements(need(call, 1))?.map((size) => size ?? call.unknownDim());
    if (shape === undefined) return [{ dtype, shape: undefined }];
    if (wanted !== undefined) return [{ dtype, shape: broadcast(call, [shape, checkedSizes(call, wanted)]) }];
    const fresh = freshShapeOfLength(call, need(call, 1));
    return [{ dtype, shape: fresh && broadcast(call, [shape, fresh]) }];
  },
  Tile(call) {
    expectDType(call, 1, ["int64"]);
    const { dtype, shape } = need(call, 0);
    const repeats = knownElements(need(call, 1));
    if (shape === undefined) return [{ dtype, shape: freshShapeOfLength(call, need(call, 1)) }];
    if (repeats === undefined) return [{ dtype, shape: freshShape(call, shape.length) }];
    if (repeats.length !== shape.length)
      throw mismatch(call, `${repeats.length} repeats do not fit its rank`);
    checkedSizes(call, repeats);
    return [{ dtype, shape: shape.map((dim, axis) => productOf(call, [dim, repeats[axis] ?? 1])) }];
  },
  Pad(call) {
    sameDType(call, [0, 2]);
    expectDType(call, 1, ["int64"]);
    return [{ dtype: need(call, 0).dtype, shape: padded(call) }];
  },
  DepthToSpace(call) {
    const { dtype, shape } = need(call, 0);
    const [n, c, h, w] = imageShape(call, shape);
    const block = blockSize(call);
    const channels = mapDim(call, c, (size) => exactly(call, size / block ** 2));
    return [{ dtype, shape: [n, channels, productOf(call, [h, block]), productOf(call, [w, block])] }];
  },
  SpaceToDepth(call) {
    const { dtype, shape } = need(call, 0);
    const [n, c, h, w] = imageShape(call, shape);
    const block = blockSize(call);
    const part = (dim: Dim) => (block === 1 ? dim : mapDim(call, dim, (size) => exactly(call, size / block)));
    return [{ dtype, shape: [n, productOf(call, [c, block ** 2]), part(h), part(w)] }];
  },
};

/** Concatenation of values along `axis`; those whose rank is unknown add an unknown size. */
export function concatenated(call: Call, values: readonly Value[], axis: number): Shape {
  const shapes = values.map((value) => value.shape).filter((shape) => shape !== undefined);
  const [first] = shapes;
  if (first === undefined) return undefined;
  const at = axisIn(call, axis, first.length);
  let result: readonly Dim[] = first;
  for (const shape of shapes.slice(1)) {
    if (shape.length !== first.length) throw mismatch(call, "ranks differ");
    result = result.map((dim, index) => (index === at ? dim : mergeDims(call, dim, shape[index] ?? dim)));
  }
  const total =
    shapes.length === values.length
      ? sumOf(
          call,
          shapes.map((shape) => shape[at] ?? call.unknownDim()),
        )
      : call.unknownDim();
  return result.with(at, total);
}

function reshaped(call: Call): Shape {
  const { shape } = need(call, 0);
  const wanted = partialElements(need(call, 1));
  if (wanted === undefined) return freshShapeOfLength(call, need(call, 1));
  const copiesZero = integer(call, "allowzero", 0) === 0;
  let deduced: number | undefined;
  const result = wanted.map((size, axis): Dim => {
    if (size === undefined) return call.unknownDim();
    if (size === -1) {
      if (deduced !== undefined) throw mismatch(call, `shape [${wanted.join(", ")}] has two sizes of -1`);
      deduced = axis;
      return 1;
    }
    if (size === 0 && copiesZero) {
      if (shape !== undefined && axis >= shape.length)
        throw mismatch(call, `no axis ${axis} to copy the size from`);
      return shape?.[axis] ?? call.unknownDim();
    }
    if (typeof size === "number" && size < 0)
      throw mismatch(call, `shape [${wanted.join(", ")}] is negative`);
    return size;
  });
  if (deduced !== undefined) {
    const size =
      shape === undefined ? call.unknownDim() : quotientOf(call, shape, result.toSpliced(deduced, 1));
    return result.with(deduced, size);
  }
  if (isStatic(shape) && isStatic(result) && product(shape) !== product(result)) {
    throw mismatch(call, `${product(shape)} elements do not fill [${result.join(", ")}]`);
  }
  return result;
}

/** The size that makes `others` hold as many elements as `shape`: equal symbols cancel out. */
function quotientOf(call: Call, shape: readonly Dim[], others: readonly Dim[]): Dim {
  const left: Dim[] = [...shape];
  const right: Dim[] = [];
  for (const dim of others) {
    const at = typeof dim === "string" ? left.indexOf(dim) : -1;
    if (at >= 0) left.splice(at, 1);
    else right.push(dim);
  }
  if (!isStatic(right)) return call.unknownDim();
  const divisor = product(right);
  const symbols = left.filter((dim) => typeof dim === "string");
  const dividend = product(left.filter((dim) => typeof dim === "number"));
  const [symbol] = symbols;
  if (divisor === 0) return call.unknownDim();
  if (symbol === undefined) {
    if (dividend % divisor !== 0) throw mismatch(call, `${dividend} elements do not divide by ${divisor}`);
    return dividend / divisor;
  }
  return symbols.length === 1 && dividend === divisor ? symbol : call.unknownDim();
}

function splitSizes(call: Call, dim: Dim | undefined): readonly Dim[] {
  const given = call.inputs[1];
  if (given !== undefined) {
    const sizes = knownElements(given);
    if (sizes === undefined) return freshShape(call, call.count);
    if (isStatic(sizes) && typeof dim === "number" && sizes.reduce((a, b) => a + b, 0) !== dim) {
      throw mismatch(call, `parts [${sizes.join(", ")}] do not add up to ${dim}`);
    }
    return checkedSizes(call, sizes);
  }
  const parts = integer(call, "num_outputs", call.count);
  if (parts < 1 || parts > maxParts) throw misuse(call, `"num_outputs" is ${parts}`);
  if (typeof dim !== "number") return parts === 1 && dim !== undefined ? [dim] : freshShape(call, parts);
  const each = Math.ceil(dim / parts);
  return Array.from({ length: parts }, (_, part) => Math.max(0, Math.min(each, dim - part * each)));
}

/** More results of one node than any model has. */
const maxParts = 65_536;

function sliced(call: Call): Shape {
  const { shape } = need(call, 0);
  if (shape === undefined) return undefined;
  const starts = partialElements(need(call, 1));
  const ends = partialElements(need(call, 2));
  const length = starts?.length ?? ends?.length ?? need(call, 1).shape?.[0];
  const axes = call.inputs[3] === undefined ? firstAxes(length) : constantNumbers(call.inputs[3]);
  if (axes === undefined) return freshShape(call, shape.length);
  const steps = call.inputs[4] === undefined ? axes.map(() => 1) : constantNumbers(call.inputs[4]);
  const result = [...shape];
  axes.forEach((axis, index) => {
    const at = axisIn(call, axis, shape.length);
    const step = steps?.[index];
    if (step === 0) throw mismatch(call, "a step is 0");
    result[at] = slicedDim(call, shape[at] ?? 0, starts?.[index], ends?.[index], step);
  });
  return result;
}

function slicedDim(
  call: Call,
  dim: Dim,
  start: Dim | undefined,
  end: Dim | undefined,
  step: number | undefined,
): Dim {
  if (step === undefined) return call.unknownDim();
  if (typeof dim === "number" && typeof start === "number" && typeof end === "number") {
    return sliceSpan(dim, start, end, step).count;
  }
  const far = Number.MAX_SAFE_INTEGER;
  const toEnd = end === dim || (typeof end === "number" && end >= far);
  if (step === 1 && start === 0 && toEnd) return dim;
  const toStart = typeof end === "number" && end <= -far;
  const fromEnd = start === -1 || (typeof start === "number" && start >= far);
  return step === -1 && fromEnd && toStart ? dim : call.unknownDim();
}

function firstAxes(length: Dim | undefined): readonly number[] | undefined {
  return typeof length === "number"
    ? Array.from({ length: Math.min(length, 64) }, (_, axis) => axis)
    : undefined;
}

function squeezed(call: Call): Shape {
  const { shape } = need(call, 0);
  if (call.inputs[1] === undefined) {
    return isStatic(shape) ? shape.filter((dim) => dim !== 1) : undefined;
  }
  const axes = constantNumbers(call.inputs[1]);
  if (shape === undefined) return undefined;
  if (axes === undefined) {
    const length = call.inputs[1].shape?.[0];
    return typeof length === "number" ? freshShape(call, Math.max(0, shape.length - length)) : undefined;
  }
  const gone = axesIn(call, axes, shape.length);
  for (const axis of gone) {
    const dim = shape[axis];
    if (typeof dim === "number" && dim !== 1) throw mismatch(call, `axis ${axis} has size ${dim}, not 1`);
  }
  return shape.filter((_, axis) => !gone.has(axis));
}

function unsqueezed(call: Call): Shape {
  const { shape } = need(call, 0);
  const axes = constantNumbers(need(call, 1));
  if (shape === undefined) return undefined;
  if (axes === undefined) return freshShapeOfLength(call, need(call, 1), shape.length);
  const rank = shape.length + axes.length;
  const added = axesIn(call, axes, rank);
  const rest = shape[Symbol.iterator]();
  return Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (rest.next().value ?? 1)));
}

function padded(call: Call): Shape {
  const { shape } = need(call, 0);
  if (shape === undefined) return undefined;
  const pads = knownElements(need(call, 1));
  const axes = call.inputs[3] === undefined ? shape.map((_, axis) => axis) : constantNumbers(call.inputs[3]);
  if (axes === undefined) return freshShape(call, shape.length);
  if (pads !== undefined && pads.length !== 2 * axes.length) {
    throw mismatch(call, `${pads.length} pads do not fit ${axes.length} axes`);
  }
  const result = [...shape];
  axes.forEach((axis, index) => {
    const at = axisIn(call, axis, shape.length);
    const before = pads?.[index];
    const after = pads?.[index + axes.length];
    const dim = shape[at] ?? 0;
    if (before === 0 && after === 0) return;
    if (typeof before !== "number" || typeof after !== "number") result[at] = call.unknownDim();
    else result[at] = before + after === 0 ? dim : mapDim(call, dim, (size) => size + before + after);
  });
  return result;
}

function checkedSizes(call: Call, sizes: readonly Dim[]): readonly Dim[] {
  if (sizes.some((size) => typeof size === "number" && size < 0)) {
    throw mismatch(call, `[${sizes.join(", ")}] has a negative size`);
  }
  return sizes;
}

function imageShape(call: Call, shape: Shape): readonly [Dim, Dim, Dim, Dim] {
  const [n, c, h, w] = shape ?? freshShape(call, 4);
  if (shape !== undefined && shape.length !== 4) throw mismatch(call, "rank 4 is needed");
  if (n === undefined || c === undefined || h === undefined || w === undefined)
    throw misuse(call, "rank 4 is needed");
  return [n, c, h, w];
}

function blockSize(call: Call): number {
  const block = integer(call, "blocksize");
  if (block < 1) throw mismatch(call, `"blocksize" is ${block}`);
  return block;
}

function exactly(call: Call, size: number): number {
  if (!Number.isInteger(size)) throw mismatch(call, "sizes do not divide by the block size");
  return size;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}
