// Folding of ops that only move elements: for every element of the result, which element of which input it is.

import { elementCount } from "../core/tensor.ts";
import { broadcastIndices, constantNumbers, isStatic, sliceSpan, stridesOf, unravel } from "./elements.ts";
import type { FoldCall } from "./fold.ts";
import { axisIn, integer, integers } from "./infer-rule.ts";

/** An input, and a flat index in it. */
export type Source = readonly [input: number, index: number];
/** Row-major over the result; undefined where the op would fail at run time. */
type Move = (call: FoldCall) => readonly Source[] | undefined;

/** Inputs that say how to move; they must be constant. */
export function controlInputs(call: FoldCall): readonly number[] {
  if (call.op === "Concat") return [];
  return call.op === "Where" ? [0] : [1, 2, 3, 4];
}

export const moves: Readonly<Record<string, Move>> = {
  Identity: inOrder,
  Reshape: inOrder,
  Flatten: inOrder,
  Squeeze: inOrder,
  Unsqueeze: inOrder,
  Expand: (call) => broadcastIndices(shapeOf(call, 0), call.shape).map((index) => [0, index]),
  Where(call) {
    const condition = constantNumbers(call.inputs[0]);
    const at = [0, 1, 2].map((input) => broadcastIndices(shapeOf(call, input), call.shape));
    return at[0]?.map((index, element) => {
      const input = condition?.[index] ? 1 : 2;
      return [input, at[input]?.[element] ?? 0];
    });
  },
  Transpose(call) {
    const from = shapeOf(call, 0);
    const perm = integers(call, "perm") ?? from.map((_, axis) => from.length - 1 - axis);
    return eachPosition(call, (position) => {
      const at = Array.from({ length: from.length }, (): number => 0);
      perm.forEach((axis, index) => {
        at[axisIn(call, axis, from.length)] = position[index] ?? 0;
      });
      return at;
    });
  },
  Tile: (call) => {
    const from = shapeOf(call, 0);
    return eachPosition(call, (position) => position.map((at, axis) => at % (from[axis] ?? 1)));
  },
  Slice(call) {
    const from = shapeOf(call, 0);
    const starts = constantNumbers(call.inputs[1]) ?? [];
    const ends = constantNumbers(call.inputs[2]) ?? [];
    const axes = constantNumbers(call.inputs[3]) ?? starts.map((_, axis) => axis);
    const steps = constantNumbers(call.inputs[4]) ?? axes.map(() => 1);
    const first = Array.from({ length: from.length }, (): number => 0);
    const step = Array.from({ length: from.length }, (): number => 1);
    axes.forEach((axis, index) => {
      const at = axisIn(call, axis, from.length);
      step[at] = steps[index] ?? 1;
      first[at] = sliceSpan(from[at] ?? 0, starts[index] ?? 0, ends[index] ?? 0, step[at]).first;
    });
    return eachPosition(call, (position) =>
      position.map((at, axis) => (first[axis] ?? 0) + at * (step[axis] ?? 1)),
    );
  },
  Concat(call) {
    const axis = axisIn(call, integer(call, "axis"), call.shape.length);
    const shapes = call.inputs.map((_, input) => shapeOf(call, input));
    const outer = elementCount(call.shape.slice(0, axis));
    const chunks = shapes.map((shape) => elementCount(shape.slice(axis)));
    return Array.from({ length: outer }, (_, row) =>
      chunks.flatMap((size, input) =>
        Array.from({ length: size }, (__, index): Source => [input, row * size + index]),
      ),
    ).flat();
  },
  Gather(call) {
    const from = shapeOf(call, 0);
    const axis = axisIn(call, integer(call, "axis", 0), from.length);
    const size = from[axis] ?? 0;
    const indices = constantNumbers(call.inputs[1])?.map((index) => (index < 0 ? index + size : index));
    if (!indices?.every((index) => index >= 0 && index < size)) return undefined;
    const inner = elementCount(from.slice(axis + 1));
    return Array.from({ length: elementCount(call.shape) }, (_, element): Source => {
      const row = Math.floor(element / inner);
      const index = indices[row % indices.length] ?? 0;
      return [0, (Math.floor(row / indices.length) * size + index) * inner + (element % inner)];
    });
  },
  GatherND(call) {
    const from = shapeOf(call, 0);
    const batches = integer(call, "batch_dims", 0);
    const depth = shapeOf(call, 1).at(-1) ?? 0;
    const strides = stridesOf(from);
    const indices = constantNumbers(call.inputs[1]) ?? [];
    const inner = elementCount(from.slice(batches + depth));
    const rows = indices.length / depth;
    const perBatch = rows / elementCount(from.slice(0, batches));
    const batchSize = elementCount(from.slice(batches));
    const starts: number[] = [];
    for (let row = 0; row < rows; row++) {
      let start = Math.floor(row / perBatch) * batchSize;
      for (let level = 0; level < depth; level++) {
        const size = from[batches + level] ?? 0;
        const raw = indices[row * depth + level] ?? 0;
        const index = raw < 0 ? raw + size : raw;
        if (index < 0 || index >= size) return undefined;
        start += index * (strides[batches + level] ?? 1);
      }
      starts.push(start);
    }
    return starts.flatMap((start) => Array.from({ length: inner }, (_, index): Source => [0, start + index]));
  },
};

function inOrder(call: FoldCall): readonly Source[] {
  return Array.from({ length: elementCount(shapeOf(call, 0)) }, (_, index) => [0, index]);
}

/** Sources in input 0, by the position each position of the result reads. */
function eachPosition(
  call: FoldCall,
  read: (position: readonly number[]) => readonly number[],
): readonly Source[] {
  const strides = stridesOf(shapeOf(call, 0));
  return Array.from({ length: elementCount(call.shape) }, (_, index) => [
    0,
    read(unravel(index, call.shape)).reduce((sum, at, axis) => sum + at * (strides[axis] ?? 1), 0),
  ]);
}

function shapeOf(call: FoldCall, input: number): readonly number[] {
  const shape = call.inputs[input]?.shape;
  return isStatic(shape) ? shape : [];
}
