// Tensors divided into equal blocks along every axis: which block each element belongs to, a run at a time.

import { elementCount } from "../../core/tensor.ts";

/** `block` is the row-major number of the block in the grid of blocks. */
export type RunVisitor = (start: number, length: number, block: number) => void;

/** Whether every axis of `shape` is a whole number of the blocks that `grid` counts. */
export function divides(grid: readonly number[], shape: readonly number[]): boolean {
  return (
    grid.length === shape.length &&
    grid.every((blocks, axis) => blocks > 0 && (shape[axis] ?? 0) % blocks === 0)
  );
}

/** Visits the elements of `shape` in order, as runs that lie in one block. `grid` must divide `shape`. */
export function forEachRun(shape: readonly number[], grid: readonly number[], visit: RunVisitor): void {
  const total = elementCount(shape);
  if (total === 0) return;
  const axis = grid.findLastIndex((blocks) => blocks > 1);
  if (axis < 0) return visit(0, total, 0);
  const blocks = grid[axis] ?? 1;
  const length = elementCount(shape.slice(axis)) / blocks;
  const rows = elementCount(shape.slice(0, axis));
  const firstBlock = blockOfRows(shape.slice(0, axis), grid.slice(0, axis));
  for (let row = 0, start = 0; row < rows; row++) {
    const base = firstBlock(row) * blocks;
    for (let block = 0; block < blocks; block++, start += length) visit(start, length, base + block);
  }
}

/** The number, among the blocks of the leading axes, of the block that holds a row. */
function blockOfRows(shape: readonly number[], grid: readonly number[]): (row: number) => number {
  return (row) => {
    let rest = row;
    let block = 0;
    let stride = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis] ?? 1;
      const blocks = grid[axis] ?? 1;
      block += Math.floor((rest % size) / (size / blocks)) * stride;
      stride *= blocks;
      rest = Math.floor(rest / size);
    }
    return block;
  };
}

/** Repeats the values of a grid of blocks so that it counts `finer` blocks. `grid` must divide `finer`. */
export function refineGrid(
  values: ArrayLike<number>,
  grid: readonly number[],
  finer: readonly number[],
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(new ArrayBuffer(elementCount(finer) * 4));
  if (grid.join() === finer.join()) {
    out.set(values);
    return out;
  }
  forEachRun(finer, grid, (start, length, block) => out.fill(values[block] ?? 0, start, start + length));
  return out;
}
