// The axes of charts: round numbers that lie evenly, and where a value falls between them.

export interface Scale {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
  /** 0 for the low end, 1 for the high one. */
  readonly place: (value: number) => number;
  readonly format: (value: number) => string;
}

export interface ScaleOptions {
  readonly isFromZero?: boolean;
  /** About so many steps. Default 5. */
  readonly steps?: number;
  /** Ends at the greatest value rather than at a round number above it. */
  readonly isTight?: boolean;
}

/** Less is nothing: a chart of it would have no numbers along its axis that anybody can read. */
const leastSpan = 1e-12;
/** Beyond, the distance of two values is no number any more; and nothing that we measure is. */
const mostValue = 1e300;

/** Over all the values; where there is none, 0 to 1. */
export function makeScale(values: Iterable<number>, options: ScaleOptions = {}): Scale {
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!(Math.abs(value) <= mostValue)) continue;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  if (least > greatest) [least, greatest] = [0, 1];
  if (options.isFromZero) [least, greatest] = [Math.min(0, least), Math.max(0, greatest)];
  // Values that differ by no more than their last digits are one value: steps between them would be too fine to count.
  if (greatest - least <= Math.max(Math.abs(least), Math.abs(greatest)) * 1e-9 + leastSpan) {
    const reach = Math.max(Math.abs(least), Math.abs(greatest)) / 10;
    [least, greatest] = reach < leastSpan ? [0, 1] : [least - reach, greatest + reach];
  }
  const step = roundStep((greatest - least) / (options.steps ?? 5));
  const [first, last] = [Math.floor(least / step + 1e-9), Math.ceil(greatest / step - 1e-9)];
  const low = options.isTight ? least : first * step;
  const high = options.isTight ? greatest : last * step;
  const ticks: number[] = [];
  for (let count = 0; count <= last - first; count++) {
    const tick = (first + count) * step;
    if (tick >= low - step * 1e-9 && tick <= high + step * 1e-9) ticks.push(tick);
  }
  const digits = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return {
    low,
    high,
    ticks,
    place: (value) => Math.min(1, Math.max(0, (value - low) / (high - low))),
    format: (value) =>
      value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
  };
}

/** 1, 2 or 5 times a power of ten, at least as large. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const lead = step / power;
  const round = [1, 2, 5].find((candidate) => lead <= candidate + 1e-9) ?? 10;
  return round * power;
}
