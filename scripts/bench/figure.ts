// A figure that was promised: what was measured, what it may be at most or must be at least, and whether it is.

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** `undefined`: for information. */
  readonly limit: { readonly atMost: number } | { readonly atLeast: number } | undefined;
  /** How sure: an interval, the number of runs, the conditions. */
  readonly note: string;
}

export function isMet({ value, limit }: Figure): boolean {
  if (limit === undefined) return true;
  return "atMost" in limit ? value <= limit.atMost : value >= limit.atLeast;
}

export function formatFigure(figure: Figure): string {
  const { name, value, unit, limit, note } = figure;
  const number = Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 4 });
  const bound =
    limit === undefined
      ? ""
      : "atMost" in limit
        ? ` (at most ${limit.atMost})`
        : ` (at least ${limit.atLeast})`;
  const mark = limit === undefined ? "·" : isMet(figure) ? "✓" : "✗";
  return `${mark} ${name}: ${number}${unit === "" ? "" : ` ${unit}`}${bound}${note === "" ? "" : `; ${note}`}`;
}
