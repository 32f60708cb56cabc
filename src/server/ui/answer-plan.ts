// How each output of an answer is drawn, by what it is: classes as bars, pictures, curves, tables, texts.

import type { ModelForm, TensorForm } from "./page-data.ts";

/** As the protocol has it. */
export interface AnswerOutput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

export interface ClassRow {
  readonly label: string;
  readonly value: number;
}

export interface PictureView {
  readonly kind: "picture";
  readonly width: number;
  readonly height: number;
  /** channels: interleaved, 1, 3 or 4 of them; colors: red, green and blue one after the other; planes: so many gray pictures. */
  readonly layout: { readonly kind: "channels" | "colors" | "planes"; readonly count: number };
  readonly values: readonly number[];
  /** 0 to 255 as they are; else the least is black and the greatest white. */
  readonly isBytes: boolean;
}

export type AnswerView = { readonly name: string; readonly note: string } & (
  | { readonly kind: "classes"; readonly rows: readonly ClassRow[] }
  | PictureView
  | { readonly kind: "curve"; readonly values: readonly number[] }
  | { readonly kind: "texts"; readonly texts: readonly string[] }
  | { readonly kind: "table"; readonly rows: readonly (readonly string[])[]; readonly isCut: boolean }
);

/** Fewer are read as numbers, more as a line. */
const minCurveLength = 17;
const minPictureSide = 8;
const maxPlanes = 16;
const maxRows = 64;
const maxColumns = 24;

export function planAnswer(
  form: Pick<ModelForm, "labels" | "outputs">,
  outputs: readonly AnswerOutput[],
): readonly AnswerView[] {
  const byName = new Map(outputs.map((output) => [output.name, output]));
  const keyTensors = new Set(form.outputs.flatMap(({ keys }) => keys ?? []));
  return outputs
    .filter(({ name }) => !keyTensors.has(name) || !byName.has(ownerOf(form, name)))
    .map((output) => {
      const spec = form.outputs.find(({ name }) => name === output.name);
      const { name, datatype, shape } = output;
      const keys = spec?.keys === undefined ? undefined : byName.get(spec.keys)?.data.map(String);
      return {
        name,
        note: `${datatype} [${shape.join(", ")}]`,
        ...viewOf(output, { spec, labels: keys ?? form.labels }),
      };
    });
}

function ownerOf({ outputs }: Pick<ModelForm, "outputs">, keysName: string): string {
  return outputs.find(({ keys }) => keys === keysName)?.name ?? keysName;
}

type Body<T> = T extends unknown ? Omit<T, "name" | "note"> : never;

function viewOf(
  { datatype, shape, data }: AnswerOutput,
  { spec, labels }: { readonly spec: TensorForm | undefined; readonly labels: readonly string[] | undefined },
): Body<AnswerView> {
  if (datatype === "BYTES") return { kind: "texts", texts: data.map(String) };
  if (data.length > 1 && labels?.length === data.length) {
    const values = numbersIn(data);
    return { kind: "classes", rows: sortRows(values.map((value, i) => ({ label: labels[i] ?? "", value }))) };
  }
  const isDeclared = spec?.kind === "image";
  // An array's batch of one, and channel of one, are no axes of a picture.
  const sizes = isDeclared ? shape : shape.filter((size, axis) => size !== 1 || axis >= shape.length - 2);
  const picture = pictureOf(sizes, isDeclared);
  if (picture !== undefined && data.length > 0) {
    return { ...picture, values: numbersIn(data), isBytes: datatype === "UINT8" };
  }
  const isLine = shape.filter((size) => size !== 1).length === 1;
  if (isLine && data.length >= minCurveLength) return { kind: "curve", values: numbersIn(data) };
  return tableOf(shape, data);
}

/** NaN and infinities are strings in JSON. */
export function numbersIn(data: readonly unknown[]): readonly number[] {
  return data.map(Number);
}

function sortRows(rows: readonly ClassRow[]): readonly ClassRow[] {
  const order = ({ value }: ClassRow) => (Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value);
  return rows.toSorted((a, b) => (order(a) === order(b) ? 0 : order(b) - order(a)));
}

/** Leading axes of size 1 are gone already, up to the last two. */
function pictureOf(
  sizes: readonly number[],
  isDeclared: boolean,
): Pick<PictureView, "kind" | "width" | "height" | "layout"> | undefined {
  const isWide = (...sides: readonly number[]) => isDeclared || sides.every((side) => side >= minPictureSide);
  const [a = 0, b = 0, c = 0] = sizes;
  const kind = "picture" as const;
  if (sizes.length === 2 && isWide(a, b))
    return { kind, width: b, height: a, layout: { kind: "channels", count: 1 } };
  if (sizes.length !== 3) return undefined;
  if ((c === 1 || c === 3 || c === 4) && isWide(a, b))
    return { kind, width: b, height: a, layout: { kind: "channels", count: c } };
  if (!isWide(b, c)) return undefined;
  if (a === 3) return { kind, width: c, height: b, layout: { kind: "colors", count: 3 } };
  return { kind, width: c, height: b, layout: { kind: "planes", count: Math.min(a, maxPlanes) } };
}

/** Rows of the last axis. */
function tableOf(shape: readonly number[], data: readonly unknown[]): Body<AnswerView> {
  const columns = shape.length < 2 ? Math.min(Math.max(data.length, 1), 8) : Math.max(shape.at(-1) ?? 1, 1);
  const rowCount = Math.ceil(data.length / columns);
  const rows = Array.from({ length: Math.min(rowCount, maxRows) }, (_, row) =>
    data.slice(row * columns, row * columns + Math.min(columns, maxColumns)).map(formatValue),
  ).map((row) => row.slice(0, columns));
  return { kind: "table", rows, isCut: rowCount > maxRows || columns > maxColumns };
}

export function formatValue(value: unknown): string {
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(6)));
}
