// One input of the form: a picture to drop or choose, values as JSON, a file, a sample.

import { readArrayFile } from "../array-file.ts";
import type { TensorForm } from "../page-data.ts";
import type { Fit, InputValue } from "../request-plan.ts";
import { type SampleKind, sampleValues } from "../sample-values.ts";
import { make, makeButton, newId } from "./dom.ts";

/** Longer values are kept aside: a text area of a megabyte is slow. */
const maxShownLength = 20_000;

export interface InputField {
  readonly root: HTMLElement;
  readonly read: () => InputValue;
  /** Undefined: nothing is wrong. */
  readonly showProblem: (message: string | undefined) => void;
}

export function makeInputField(input: TensorForm, onPicture: () => void): InputField {
  const problem = make("p", { className: "problem", id: newId(), hidden: true, aria: { role: "alert" } });
  const { parts, read, control } =
    input.kind === "number" || input.kind === "text" ? makeLine(input) : makeValues(input, onPicture);
  control.setAttribute("aria-describedby", problem.id);
  const note = `${input.datatype} [${input.shape.map((size) => (size === -1 ? "any" : size)).join(", ")}]${input.isOptional ? ", optional" : ""}`;
  const root = make(
    "fieldset",
    {},
    make("legend", {}, input.name, " ", make("span", { className: "quiet" }, note)),
    input.description === "" ? undefined : make("p", { className: "quiet" }, input.description),
    ...parts,
    problem,
  );
  return {
    root,
    read,
    showProblem(message) {
      problem.hidden = message === undefined;
      problem.textContent = message ?? "";
      control.setAttribute("aria-invalid", String(message !== undefined));
      if (message !== undefined) control.focus();
    },
  };
}

interface Control {
  readonly parts: readonly HTMLElement[];
  readonly read: () => InputValue;
  /** Where the focus goes. */
  readonly control: HTMLElement;
}

/** A number or a text. */
function makeLine({ name, kind, isOptional }: TensorForm): Control {
  const field = make("input", {
    type: "text",
    id: newId(),
    inputMode: kind === "number" ? "decimal" : "text",
  });
  const label = make("label", { htmlFor: field.id, className: "unseen" }, `Value of ${name}`);
  return {
    parts: [label, field],
    control: field,
    read: () => {
      const { value } = field;
      if (kind === "number") return value.trim() === "" ? { kind: "none" } : { kind: "json", text: value };
      return value === "" && isOptional ? { kind: "none" } : { kind: "text", text: value };
    },
  };
}

function makeValues(input: TensorForm, onPicture: () => void): Control {
  /** What is not in the text area. */
  let kept: InputValue | undefined;
  const area = make("textarea", { id: newId(), rows: 3, spellcheck: false, placeholder: exampleOf(input) });
  const label = make(
    "label",
    { htmlFor: area.id, className: "quiet" },
    `Values of ${input.name}, as a JSON list`,
  );
  const keptNote = make("span");
  const keptRow = make("p", { className: "row", hidden: true, aria: { role: "status" } });
  const clear = makeButton("Clear", () => keep(undefined, ""));
  keptRow.append(keptNote, clear);
  const picture = input.takesPicture ? makePictureDrop(input, (file) => void takeFile(file)) : undefined;

  const keep = (value: InputValue | undefined, note: string): void => {
    kept = value;
    keptNote.textContent = note;
    keptRow.hidden = value === undefined;
    area.hidden = value !== undefined && value.kind !== "picture";
    label.hidden = area.hidden;
    if (value?.kind !== "picture") picture?.show(undefined);
  };
  const setJson = (text: string, note: string): void => {
    const isLong = text.length > maxShownLength;
    area.value = isLong ? "" : text;
    keep(isLong ? { kind: "json", text } : undefined, note);
  };
  const takeFile = async (file: File): Promise<void> => {
    const bytes = new Uint8Array(await file.arrayBuffer());
    try {
      if (picture !== undefined && file.type.startsWith("image/")) {
        area.value = "";
        keep({ kind: "picture", fileName: file.name, mediaType: file.type, bytes, fit: "" }, file.name);
        picture.show(file);
        onPicture();
        return;
      }
      const value = readArrayFile(file.name, bytes);
      if (value.kind === "json") setJson(value.text, file.name);
      else keep(value, file.name);
    } catch (error) {
      keep(undefined, "");
      keptRow.hidden = false;
      keptNote.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  area.addEventListener("input", () => keep(undefined, ""));

  const shape = input.defaultShape.map((size) => (size === -1 ? 1 : size));
  const samples = (["zeros", "ramp", "random"] as const satisfies readonly SampleKind[]).map((kind) => {
    const button = makeButton(kind, () =>
      setJson(sampleValues(kind, { datatype: input.datatype, shape }), `${kind}, [${shape.join(", ")}]`),
    );
    button.setAttribute("aria-label", `Fill ${input.name} with ${kind}`);
    return button;
  });
  const values = [
    label,
    area,
    make(
      "div",
      { className: "row" },
      make("span", { className: "quiet" }, "Fill in:"),
      ...samples.slice(0, input.datatype === "BYTES" ? 1 : 3),
      makeFileButton(input, (file) => void takeFile(file)),
    ),
  ];
  const folded =
    picture && make("details", {}, make("summary", {}, "Values in place of a picture"), ...values);
  return {
    parts: [...(picture ? [picture.root, picture.fitRow] : []), keptRow, ...(folded ? [folded] : values)],
    control: picture?.control ?? area,
    read: () => {
      if (kept?.kind === "picture") return { ...kept, fit: picture?.fit() ?? "" };
      if (kept !== undefined) return kept;
      return area.value.trim() === "" ? { kind: "none" } : { kind: "json", text: area.value };
    },
  };
}

function exampleOf({ datatype }: TensorForm): string {
  return datatype === "BYTES" ? '["one", "two"]' : "[1, 2, 3]";
}

function makeFileButton(input: TensorForm, take: (file: File) => void): HTMLElement {
  const file = make("input", { type: "file", className: "unseen", accept: ".json,.npy,application/json" });
  file.setAttribute("aria-label", `File for ${input.name}, JSON or npy`);
  file.addEventListener("change", () => takeFirst(file, take));
  return make("label", { className: "button" }, "File (JSON, npy) …", file);
}

interface PictureDrop {
  readonly root: HTMLElement;
  readonly fitRow: HTMLElement;
  readonly control: HTMLInputElement;
  readonly fit: () => Fit;
  readonly show: (file: File | undefined) => void;
}

const fits: readonly (readonly [Fit, string])[] = [
  ["", "as the server does (stretch)"],
  ["stretch", "stretch"],
  ["contain", "contain: all of it, black around it"],
  ["crop", "crop: the middle"],
];

function makePictureDrop(input: TensorForm, take: (file: File) => void): PictureDrop {
  const control = make("input", { type: "file", className: "unseen", accept: "image/*" });
  control.setAttribute("aria-label", `Picture for ${input.name}`);
  control.addEventListener("change", () => takeFirst(control, take));
  const preview = make("img", { hidden: true, alt: "" });
  const root = make(
    "label",
    { className: "drop" },
    preview,
    make("span", {}, "Drop a picture here, or choose one"),
    control,
  );
  for (const type of ["dragenter", "dragover"]) root.addEventListener(type, () => root.classList.add("over"));
  for (const type of ["dragleave", "drop"]) root.addEventListener(type, () => root.classList.remove("over"));
  root.addEventListener("drop", ({ dataTransfer }) => {
    const file = dataTransfer?.files[0];
    if (file) take(file);
  });
  const select = make(
    "select",
    { id: newId() },
    ...fits.map(([value, text]) => make("option", { value }, text)),
  );
  const fitRow = make(
    "div",
    { className: "row" },
    make("label", { htmlFor: select.id, className: "quiet" }, "A picture of another size:"),
    select,
  );
  let url: string | undefined;
  return {
    root,
    fitRow,
    control,
    fit: () => fits.find(([value]) => value === select.value)?.[0] ?? "",
    show(file) {
      if (url !== undefined) URL.revokeObjectURL(url);
      url = file && URL.createObjectURL(file);
      preview.hidden = url === undefined;
      preview.alt = file ? `Chosen: ${file.name}` : "";
      if (url !== undefined) preview.src = url;
    },
  };
}

/** And lets the same file be chosen again. */
function takeFirst(field: HTMLInputElement, take: (file: File) => void): void {
  const file = field.files?.[0];
  if (file) take(file);
  field.value = "";
}
