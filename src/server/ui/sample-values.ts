// Made-up values for an input, as the text of a JSON list.

export type SampleKind = "zeros" | "ramp" | "random";

export interface SampleTarget {
  readonly datatype: string;
  readonly shape: readonly number[];
}

/** Floats are within 0 and 1; whole numbers within 0 and 100, bytes within 0 and 255. `random` gives numbers in [0, 1). */
export function sampleValues(kind: SampleKind, target: SampleTarget, random = Math.random): string {
  const { datatype, shape } = target;
  const count = shape.reduce((product, size) => product * size, 1);
  if (datatype === "BYTES") return JSON.stringify(Array.from({ length: count }, () => "text"));
  const values = Array.from({ length: count }, (_, i) => {
    const part = kind === "zeros" ? 0 : kind === "ramp" ? i / Math.max(count - 1, 1) : random();
    return toDatatype(part, datatype);
  });
  return `[${values.join(",")}]`;
}

function toDatatype(part: number, datatype: string): number | boolean {
  if (datatype === "BOOL") return part >= 0.5;
  if (datatype.startsWith("FP")) return Number(part.toFixed(4));
  return Math.round(part * (datatype === "UINT8" ? 255 : 100));
}
