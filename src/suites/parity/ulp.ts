// Distances between floats counted in floats: how many of them lie between two numbers of one width.

/** A histogram: pairs no further apart than `upTo`, and further than the row before says. Rows without pairs are left out. */
export type UlpRow = [upTo: number, count: number];

const halfView = new Float16Array(new ArrayBuffer(2));
const halfBits = new Uint16Array(halfView.buffer);
const singleView = new Float32Array(new ArrayBuffer(4));
const singleBits = new Uint32Array(singleView.buffer);

/** Both rounded to float16 first. Neither is NaN. */
export function halfDistance(a: number, b: number): number {
  return Math.abs(halfOrder(a) - halfOrder(b));
}

/** Both rounded to float32 first. Neither is NaN. */
export function singleDistance(a: number, b: number): number {
  return Math.abs(singleOrder(a) - singleOrder(b));
}

/** The float's place among all of its width; zero and minus zero share one. */
function halfOrder(value: number): number {
  halfView[0] = value;
  const bits = halfBits[0] ?? 0;
  return bits < 0x8000 ? bits : 0x8000 - bits;
}

function singleOrder(value: number): number {
  singleView[0] = value;
  const bits = singleBits[0] ?? 0;
  return bits < 0x8000_0000 ? bits : 0x8000_0000 - bits;
}

/** Rows end at 0, 1, 2, 4, 8 and so on. */
export class UlpHistogram {
  readonly #counts: number[] = [];

  add(distance: number): void {
    const row = distance === 0 ? 0 : 33 - Math.clz32(distance - 1);
    this.#counts[row] = (this.#counts[row] ?? 0) + 1;
  }

  rows(): UlpRow[] {
    return [...this.#counts.keys()].flatMap((row): UlpRow[] => {
      const count = this.#counts[row] ?? 0;
      return count === 0 ? [] : [[row === 0 ? 0 : 2 ** (row - 1), count]];
    });
  }
}

/** Of several histograms. */
export function sumRows(all: readonly (readonly UlpRow[])[]): UlpRow[] {
  const counts = new Map<number, number>();
  for (const [upTo, count] of all.flat()) counts.set(upTo, (counts.get(upTo) ?? 0) + count);
  return [...counts].toSorted(([a], [b]) => a - b);
}
