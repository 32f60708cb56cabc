// Numbers as pixels and as a line: arithmetic only, the canvas and the SVG are elsewhere.

import type { PictureView } from "./answer-plan.ts";

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** RGBA. */
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
}

export interface Range {
  readonly least: number;
  readonly greatest: number;
}

/** Of the finite values; 0 to 0 where there are none. */
export function rangeOf(values: readonly number[]): Range {
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return least <= greatest ? { least, greatest } : { least: 0, greatest: 0 };
}

/** One opaque picture, or one for each plane. What is not a number is black. */
export function toPixels({ width, height, layout, values, isBytes }: PictureView): readonly Pixels[] {
  const { least, greatest } = isBytes ? { least: 0, greatest: 255 } : rangeOf(values);
  const scale = greatest === least ? 0 : 255 / (greatest - least);
  const level = (index: number) => ((values[index] ?? Number.NaN) - least) * scale;
  const size = width * height;
  const draw = (channelAt: (pixel: number, channel: number) => number): Pixels => {
    const rgba = new Uint8ClampedArray(new ArrayBuffer(size * 4));
    for (let pixel = 0; pixel < size; pixel++) {
      for (let channel = 0; channel < 3; channel++)
        rgba[pixel * 4 + channel] = level(channelAt(pixel, channel));
      rgba[pixel * 4 + 3] = 255;
    }
    return { width, height, rgba };
  };
  if (layout.kind === "colors") return [draw((pixel, channel) => channel * size + pixel)];
  if (layout.kind === "planes") {
    return Array.from({ length: layout.count }, (_, plane) => draw((pixel) => plane * size + pixel));
  }
  const { count } = layout;
  return [draw((pixel, channel) => pixel * count + (count === 1 ? 0 : channel))];
}

/** An SVG path over width x height; gaps where there is no number. Long signals keep the least and greatest of each column. */
export function linePath(values: readonly number[], width: number, height: number): string {
  const { least, greatest } = rangeOf(values);
  const span = greatest - least || 1;
  const points = thinOut(values, width);
  let path = "";
  let isDown = false;
  for (const { index, value } of points) {
    if (!Number.isFinite(value)) {
      isDown = false;
      continue;
    }
    const x = (index / Math.max(values.length - 1, 1)) * width;
    const y = height - ((value - least) / span) * height;
    path += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isDown = true;
  }
  return path;
}

interface Point {
  readonly index: number;
  readonly value: number;
}

function thinOut(values: readonly number[], columns: number): readonly Point[] {
  const points = (from: number, to: number): Point[] =>
    values.slice(from, to).map((value, i) => ({ index: from + i, value }));
  if (values.length <= columns * 2) return points(0, values.length);
  return Array.from({ length: columns }, (_, column) => {
    const edge = (at: number) => Math.round((at * values.length) / columns);
    const bucket = points(edge(column), edge(column + 1));
    const order = bucket.toSorted((a, b) => a.value - b.value);
    const ends = [order[0], order.at(-1)].filter((point) => point !== undefined);
    return ends.toSorted((a, b) => a.index - b.index);
  }).flat();
}
