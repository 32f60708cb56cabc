// Turns the line charts of a report into ones that can be pointed at and zoomed into. Without it, and on paper, the drawings
// that are in the page already stay.

import uPlot from "uplot";
import type { LineChart } from "../document.ts";
import { makeScale } from "../scale.ts";

const plotHeight = 300;
const seriesKinds = 6;

const charts = JSON.parse(document.getElementById("plots")?.textContent ?? "{}") as Readonly<
  Record<string, LineChart>
>;
const plots: uPlot[] = [];

for (const figure of document.querySelectorAll<HTMLElement>("figure[data-plot]")) {
  const chart = charts[figure.dataset["plot"] ?? ""];
  if (chart === undefined) continue;
  const place = document.createElement("div");
  place.className = "plot";
  place.setAttribute("aria-hidden", "true"); // the drawing beside it has the name
  figure.append(place);
  const plot = new uPlot(describePlot(chart, place.clientWidth), dataOf(chart), place);
  figure.classList.add("is-plotted");
  plots.push(plot);
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: plotHeight })).observe(place);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of plots) plot.redraw(false);
});

/** The limit is a series of its own, so that the legend says what it is. */
function dataOf({ x, series, limit }: LineChart): uPlot.AlignedData {
  const level = limit === undefined ? [] : [x.values.map(() => limit.at)];
  return [[...x.values], ...series.map(({ values }) => [...values]), ...level];
}

function describePlot({ x, y, series, limit, isFromZero }: LineChart, width: number): uPlot.Options {
  const text = () => color("--text");
  const axis = {
    stroke: text,
    grid: { stroke: () => color("--line"), width: 1 },
    ticks: { stroke: () => color("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: 20,
  };
  return {
    width,
    height: plotHeight,
    scales: { x: { time: false }, y: { range: (_, least, most) => rangeOf(least, most, isFromZero) } },
    axes: [
      { ...axis, label: `${x.label} (${x.unit})` },
      { ...axis, label: `${y.label} (${y.unit})`, size: 64 },
    ],
    series: [
      { label: x.label, value: (_, value) => withUnit(value, x.unit) },
      ...series.map(({ name }, index) => ({
        label: name,
        stroke: () => color(`--s${index % seriesKinds}`),
        width: 1.5,
        points: { show: x.values.length < 40 },
        value: (_: uPlot, value: number | null) => withUnit(value, y.unit),
      })),
      ...(limit === undefined
        ? []
        : [
            {
              label: limit.label,
              stroke: () => color("--bad"),
              width: 1.5,
              dash: [6, 4],
              points: { show: false },
              value: () => "",
            },
          ]),
    ],
  };
}

/** Round numbers at both ends. Where nothing is shown uPlot asks with null, whatever its types say. */
function rangeOf(least: number | null, most: number | null, isFromZero = false): [number, number] {
  const { low, high } = makeScale(
    [least, most].filter((value) => value !== null),
    { isFromZero },
  );
  return [low, high];
}

function withUnit(value: number | null, unit: string): string {
  if (value === null || value === undefined) return "–";
  return `${value.toLocaleString("en-US", { maximumSignificantDigits: 5 })} ${unit}`;
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}
