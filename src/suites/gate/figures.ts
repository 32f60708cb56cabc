// The figures of a gate as people read them.

import { formatBytes, formatCount, formatLatency, formatShare } from "../../core/quantity.ts";
import type { Comparison } from "./profile-schema.ts";

const signs: Readonly<Record<Comparison, string>> = { "<": "<", "<=": "≤", "==": "=", ">=": "≥", ">": ">" };

export function describeLimit(line: {
  readonly comparison: Comparison;
  readonly limit: number;
  readonly unit: string;
}): string {
  return `${signs[line.comparison]} ${formatFigure(line.limit, line.unit)}`;
}

export function formatFigure(value: number, unit: string): string {
  switch (unit) {
    case "share":
      return formatShare(value);
    case "bytes":
      return `${value < 0 ? "-" : ""}${formatBytes(Math.abs(value))}`;
    case "bytes/hour":
      return `${value < 0 ? "-" : ""}${formatBytes(Math.abs(value))}/h`;
    case "ms":
      return formatLatency(value);
    case "times":
      return `${Number(value.toPrecision(4))}×`;
    default:
      return `${formatCount(Number(value.toPrecision(6)))} ${value === 1 ? unit.replace(/s$/, "") : unit}`;
  }
}
