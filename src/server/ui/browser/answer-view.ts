// An answer, drawn: each output as planAnswer says.

import { type AnswerView, type ClassRow, formatValue, type PictureView } from "../answer-plan.ts";
import { linePath, rangeOf, toPixels } from "../drawing.ts";
import { make, makeButton } from "./dom.ts";

/** More classes are shown on demand. */
const shownClasses = 10;
const shownTexts = 200;

export function drawView(view: AnswerView): HTMLElement {
  const head = make(
    "div",
    { className: "head" },
    make("h3", {}, view.name),
    make("span", { className: "quiet" }, view.note),
  );
  return make("section", { aria: { "aria-label": `Output ${view.name}` } }, head, drawBody(view));
}

function drawBody(view: AnswerView): HTMLElement {
  switch (view.kind) {
    case "classes":
      return drawClasses(view.rows);
    case "picture":
      return drawPicture(view);
    case "curve":
      return drawCurve(view.values);
    case "texts":
      return drawTexts(view.texts);
    case "table":
      return drawTable(view.rows, view.isCut);
  }
}

function drawClasses(rows: readonly ClassRow[]): HTMLElement {
  const values = rows.map(({ value }) => value);
  const { least, greatest } = rangeOf(values);
  const sum = values.reduce((total, value) => total + value, 0);
  const isShare = least >= 0 && Math.abs(sum - 1) < 0.01;
  const most = isShare ? 1 : Math.max(Math.abs(least), Math.abs(greatest)) || 1;
  const draw = ({ label, value }: ClassRow) => {
    const bar = make("i", { aria: { "aria-hidden": "true" } });
    bar.style.width = `${(Math.min(Math.abs(value) / most, 1) || 0) * 100}%`;
    const text = isShare ? `${(value * 100).toFixed(1)} %` : formatValue(value);
    return make("li", {}, bar, make("span", {}, label), make("span", {}, text));
  };
  const list = make("ol", { className: "classes" }, ...rows.slice(0, shownClasses).map(draw));
  const rest = rows.slice(shownClasses);
  if (rest.length === 0) return list;
  const more = makeButton(`Show all ${rows.length}`, () => {
    list.append(...rest.map(draw));
    more.remove();
  });
  return make("div", {}, list, more);
}

function drawPicture(view: PictureView): HTMLElement {
  const canvases = toPixels(view).map(({ width, height, rgba }, index, all) => {
    const canvas = make("canvas");
    canvas.width = width;
    canvas.height = height;
    // Small ones are easier to see when larger.
    canvas.style.width = `${width * Math.max(1, Math.floor(224 / Math.max(width, height)))}px`;
    canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
    canvas.setAttribute("role", "img");
    const which = all.length > 1 ? `, plane ${index}` : "";
    canvas.setAttribute("aria-label", `Picture of ${width} × ${height}${which}`);
    return canvas;
  });
  const tiles = make("div", { className: "tiles" }, ...canvases);
  if (view.isBytes) return tiles;
  return make(
    "div",
    {},
    tiles,
    make(
      "p",
      { className: "quiet" },
      `Black is ${rangeText(view.values, "least")}, white ${rangeText(view.values, "greatest")}`,
    ),
  );
}

function rangeText(values: readonly number[], end: "least" | "greatest"): string {
  return formatValue(rangeOf(values)[end]);
}

const svgNamespace = "http://www.w3.org/2000/svg";
const [curveWidth, curveHeight] = [600, 150];

function drawCurve(values: readonly number[]): HTMLElement {
  const svg = document.createElementNS(svgNamespace, "svg");
  svg.setAttribute("viewBox", `-2 -4 ${curveWidth + 4} ${curveHeight + 8}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const note = `${values.length} values from ${rangeText(values, "least")} to ${rangeText(values, "greatest")}`;
  svg.setAttribute("aria-label", `Line of ${note}`);
  const path = document.createElementNS(svgNamespace, "path");
  path.setAttribute("d", linePath(values, curveWidth, curveHeight));
  svg.append(path);
  return make("div", {}, svg, make("p", { className: "quiet" }, note));
}

function drawTexts(texts: readonly string[]): HTMLElement {
  const [only = ""] = texts;
  if (texts.length === 1) return make("p", { className: "big" }, only);
  const rows = texts.slice(0, shownTexts).map((text) => make("li", {}, text));
  const note = texts.length > shownTexts ? `The first ${shownTexts} of ${texts.length}` : undefined;
  return make("div", {}, make("ol", {}, ...rows), note && make("p", { className: "quiet" }, note));
}

function drawTable(rows: readonly (readonly string[])[], isCut: boolean): HTMLElement {
  const [only, ...others] = rows;
  if (only?.length === 1 && others.length === 0) return make("p", { className: "big" }, only[0]);
  const body = rows.map((row, index) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, String(index)),
      ...row.map((text) => make("td", { className: "number" }, text)),
    ),
  );
  const columns = (only ?? []).map((_, index) => make("th", { scope: "col" }, String(index)));
  const head = make("thead", {}, make("tr", {}, make("td"), ...columns));
  const table = make("table", {}, head, make("tbody", {}, ...body));
  const scroll = make(
    "div",
    { className: "scroll", tabIndex: 0, aria: { role: "region", "aria-label": "Values" } },
    table,
  );
  return make(
    "div",
    {},
    scroll,
    isCut ? make("p", { className: "quiet" }, "Not all of it: the JSON below has the rest") : undefined,
  );
}
