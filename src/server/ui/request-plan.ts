// From what a person gave for each input to the one request that is sent and shown.

import { countValues, flattenJson, shapeOfNested } from "./json-text.ts";
import type { ModelForm, TensorForm } from "./page-data.ts";

export type Fit = "" | "stretch" | "contain" | "crop";

export interface PictureValue {
  readonly kind: "picture";
  readonly fileName: string;
  readonly mediaType: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** "": as the server does without being told. */
  readonly fit: Fit;
}

export type InputValue =
  | { readonly kind: "none" }
  /** As typed, pasted, sampled or read from a file: JSON. */
  | { readonly kind: "json"; readonly text: string }
  /** One string, as it is. */
  | { readonly kind: "text"; readonly text: string }
  /** An array with a shape and type of its own. */
  | {
      readonly kind: "tensor";
      readonly datatype: string;
      readonly shape: readonly number[];
      /** A flat JSON list. */
      readonly data: string;
    }
  | PictureValue;

export interface Sequence {
  readonly id: string;
  readonly isStart: boolean;
  readonly isEnd: boolean;
}

export type RequestPlan =
  | { readonly kind: "json"; readonly path: string; readonly text: string }
  /** The picture file is the body. */
  | { readonly kind: "picture"; readonly path: string; readonly picture: PictureValue };

/** Something is wrong with what was given for one input. */
export class InputProblem extends Error {
  readonly input: string;

  constructor(input: string, message: string) {
    super(message);
    this.input = input;
  }
}

/** Throws InputProblem. Optional inputs without a value are left out. */
export function planRequest(
  form: ModelForm,
  values: ReadonlyMap<string, InputValue>,
  sequence?: Sequence,
): RequestPlan {
  const path = inferPath(form);
  const given = form.inputs.flatMap((input) => {
    const value = values.get(input.name) ?? { kind: "none" };
    if (value.kind !== "none") return [{ input, value }];
    if (input.isOptional) return [];
    throw new InputProblem(input.name, `"${input.name}" needs a value`);
  });
  const hasSequence = sequence !== undefined && sequence.id !== "";
  const [only] = given;
  if (
    only?.value.kind === "picture" &&
    only.value.fit === "" &&
    !hasSequence &&
    isOnlyPicture(form, only.input)
  ) {
    if (given.length === 1) return { kind: "picture", path, picture: only.value };
  }
  const inputs = given.map(({ input, value }) => describeInput(input, value));
  const parameters = hasSequence
    ? `"parameters":${JSON.stringify({ sequence_id: sequence.id, sequence_start: sequence.isStart, sequence_end: sequence.isEnd })},`
    : "";
  return { kind: "json", path, text: `{${parameters}"inputs":[${inputs.join(",")}]}` };
}

/** Without a slash in front, so that it stays below where the page is. */
export function inferPath({ name, version, isOnlyVersion }: ModelForm): string {
  const versionPart = isOnlyVersion ? "" : `/versions/${encodeURIComponent(version)}`;
  return `v2/models/${encodeURIComponent(name)}${versionPart}/infer`;
}

/** The server gives a picture body to the only image input, else to the only array. */
function isOnlyPicture({ inputs }: ModelForm, input: TensorForm): boolean {
  const images = inputs.filter(({ kind }) => kind === "image");
  const candidates = images.length === 1 ? images : inputs.filter(({ kind }) => kind === "array");
  return candidates.length === 1 && candidates[0] === input;
}

function describeInput(input: TensorForm, value: Exclude<InputValue, { kind: "none" }>): string {
  const { name } = input;
  switch (value.kind) {
    case "picture": {
      const parameters = value.fit === "" ? {} : { parameters: { fit: value.fit } };
      const data = [value.bytes.toBase64()];
      return JSON.stringify({ name, datatype: "BYTES", shape: [1], ...parameters, data });
    }
    case "text":
      return JSON.stringify({ name, datatype: "BYTES", shape: [1], data: [value.text] });
    case "tensor":
      return tensorText({ name, datatype: value.datatype, shape: value.shape }, value.data);
    case "json":
      return describeJson(input, value.text);
  }
}

function describeJson(input: TensorForm, text: string): string {
  const { name } = input;
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new InputProblem(name, `The value of "${name}" is not JSON`);
  }
  if (typeof data === "object" && !Array.isArray(data)) {
    throw new InputProblem(name, `"${name}" takes a list of values, such as [1, 2, 3]`);
  }
  // FP16 has no JSON form: as FP32 it is converted.
  const datatype = input.datatype === "FP16" ? "FP32" : input.datatype;
  return tensorText({ name, datatype, shape: findShape(input, data) }, flattenJson(text));
}

interface TensorHead {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

function tensorText(head: TensorHead, data: string): string {
  return `${JSON.stringify(head).slice(0, -1)},"data":${data}}`;
}

/** The declared shape, with what may vary taken from the values. */
function findShape({ name, shape, defaultShape }: TensorForm, data: unknown): readonly number[] {
  const count = countValues(data);
  const nested = shapeOfNested(data);
  if (nested === undefined) throw new InputProblem(name, `The lists in "${name}" differ in length`);
  const open = shape.filter((size) => size === -1).length;
  if (open === 0 && product(shape) === count) return shape;
  if (nested.length === shape.length && nested.length > 0 && open > 0) return nested;
  if (open > 0 && product(defaultShape) === count) return defaultShape;
  if (open === 1) {
    const size = count / product(shape.filter((one) => one !== -1));
    if (Number.isSafeInteger(size)) return shape.map((one) => (one === -1 ? size : one));
  }
  if (nested.length > 1) return nested;
  const sizes = shape.map((size) => (size === -1 ? "any" : size)).join(" × ");
  const hint = open > 1 ? ": give nested lists, so that the shape is known" : "";
  throw new InputProblem(name, `"${name}" takes ${sizes} values, got ${count}${hint}`);
}

function product(shape: readonly number[]): number {
  return shape.reduce((result, size) => result * size, 1);
}
