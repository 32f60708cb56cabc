// What a report says, as data: pages describe results with it, and HTML, Markdown and SVG are drawn from it. Texts are plain
// and not trusted: whoever draws them escapes them.

/** Good and bad are judged; doubt is what nobody should overlook: not measured, interrupted, from a tape. */
export type Tone = "good" | "bad" | "doubt";

export interface Report {
  readonly title: string;
  /** What was measured, where and when, in one line each. */
  readonly subtitles: readonly string[];
  readonly verdict?: Verdict;
  /** What makes the figures doubtful, or where they come from. Shown before anything else. */
  readonly warnings: readonly string[];
  readonly sections: readonly Section[];
}

export interface Verdict {
  readonly tone: Tone;
  readonly word: string;
  readonly reason: string;
}

export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export type Block = Facts | Table | Chart | Text;

/** Names with their values, the few that matter. */
export interface Facts {
  readonly kind: "facts";
  readonly items: readonly Fact[];
}

export interface Fact {
  readonly name: string;
  /** With its unit. */
  readonly value: string;
  readonly note?: string;
  readonly tone?: Tone;
}

export interface Table {
  readonly kind: "table";
  readonly caption?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

export interface Column {
  readonly title: string;
  readonly isNumber?: boolean;
}

/** With its unit, where it is a number. */
export type Cell = string | { readonly text: string; readonly tone?: Tone };

export interface Text {
  readonly kind: "text";
  readonly text: string;
  readonly tone?: Tone;
}

export type Chart = LineChart | BarChart | HistogramChart;

interface ChartHead {
  /** Names its SVG file: letters, digits, "-". One of its kind in a report. */
  readonly id: string;
  readonly title: string;
}

export interface Axis {
  readonly label: string;
  /** Every number along the axis has it. */
  readonly unit: string;
}

/** Values over time. Gaps where a value is null. */
export interface LineChart extends ChartHead {
  readonly kind: "lines";
  readonly x: Axis & { readonly values: readonly number[] };
  readonly y: Axis;
  readonly series: readonly Series[];
  /** A level that must not be passed. */
  readonly limit?: Mark;
  /** The axis begins at 0 rather than at the smallest value. */
  readonly isFromZero?: boolean;
}

export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

export interface Mark {
  readonly at: number;
  readonly label: string;
}

export interface BarChart extends ChartHead {
  readonly kind: "bars";
  readonly value: Axis;
  readonly bars: readonly Bar[];
  readonly marks?: readonly Mark[];
}

export interface Bar {
  readonly name: string;
  /** null: not measured. */
  readonly value: number | null;
  /** What holds the true value with confidence. */
  readonly low?: number;
  readonly high?: number;
  readonly tone?: Tone;
  /** Beside the bar; default: the value. */
  readonly text?: string;
}

export interface HistogramChart extends ChartHead {
  readonly kind: "histogram";
  readonly value: Axis;
  /** At least, less than, how many. */
  readonly buckets: readonly (readonly [from: number, to: number, count: number])[];
  readonly marks: readonly Mark[];
}

export function chartsOf({ sections }: Report): readonly Chart[] {
  return sections.flatMap(({ blocks }) =>
    blocks.flatMap((block) =>
      block.kind === "lines" || block.kind === "bars" || block.kind === "histogram" ? [block] : [],
    ),
  );
}
