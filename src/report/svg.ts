// Charts as SVG: in pages, where nothing runs and on paper; and as files of their own, for where no page is opened.

import type { Axis, BarChart, Chart, HistogramChart, LineChart, Mark, Tone } from "./document.ts";
import { html, type Markup, trust } from "./html.ts";
import { makeScale, type Scale } from "./scale.ts";
import { chartStyle, seriesColors, variables } from "./chart-style.ts";

const width = 760;
const lineHeight = 280;
const [left, right, top, bottom] = [76, 24, 30, 46];
const tickLength = 5;

/** Without a head: the colours are the page's. */
export function drawChart(chart: Chart): Markup {
  const { height, body } = draw(chart);
  return html`<svg class="chart" role="img" viewBox="0 0 ${width} ${height}" aria-label="${chart.title}">${body}</svg>`;
}

/** A file of its own, with its own colours, light and dark. */
export function drawFile(chart: Chart): string {
  const { height, body } = draw(chart);
  const svg = html`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${chart.title}">
<style>${trust(fileStyle)}</style>
<rect class="back" width="100%" height="100%"/>
<text class="title" x="${left}" y="16">${chart.title}</text>
${body}
</svg>
`;
  return svg.toString();
}

const fileStyle = `
:root{color-scheme:light dark;${variables("light")}}
@media (prefers-color-scheme:dark){:root{${variables("dark")}}}
.back{fill:var(--card)}
${chartStyle}
.title{font-weight:600;font-size:14px}
`;

interface Drawing {
  readonly height: number;
  readonly body: Markup;
}

function draw(chart: Chart): Drawing {
  switch (chart.kind) {
    case "lines":
      return drawLines(chart);
    case "bars":
      return drawBars(chart);
    case "histogram":
      return drawHistogram(chart);
  }
}

const at = (scale: Scale, value: number) => left + scale.place(value) * (width - left - right);
const round = (value: number) => Math.round(value * 10) / 10;

function drawLines({ x, y, series, limit, isFromZero }: LineChart): Drawing {
  const legendRows = series.length > 1 || limit !== undefined ? Math.ceil((series.length + 1) / 3) : 0;
  const height = lineHeight + legendRows * 18;
  const xScale = makeScale(x.values, { isTight: true, steps: 6 });
  const levels = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const yScale = makeScale(limit === undefined ? levels : [...levels, limit.at], {
    isFromZero: isFromZero ?? false,
  });
  const floor = lineHeight - bottom;
  const yAt = (value: number) => floor - yScale.place(value) * (floor - top);
  const paths = series.map(({ values }, index) => {
    const points = thin(x.values, values).map(([px, py]) =>
      py === null ? null : ([round(at(xScale, px)), round(yAt(py))] as const),
    );
    return html`<path class="line s${index % seriesColors.length}" d="${pathOf(points)}"/>${points.length === 1 && points[0] ? html`<circle class="f${index % seriesColors.length}" cx="${points[0][0]}" cy="${points[0][1]}" r="3"/>` : undefined}`;
  });
  const body = html`
${drawYAxis(yScale, y, yAt)}
${drawXAxis(xScale, x, floor)}
${limit === undefined ? undefined : html`<line class="limit" x1="${left}" x2="${width - right}" y1="${round(yAt(limit.at))}" y2="${round(yAt(limit.at))}"/>`}
${paths}
${legendRows === 0 ? undefined : drawLegend(series, limit)}`;
  return { height, body };
}

function drawLegend(series: LineChart["series"], limit: Mark | undefined): Markup {
  const spots = series.map(({ name }, index) => ({ name, swatch: `s${index % seriesColors.length}` }));
  const all = limit === undefined ? spots : [...spots, { name: limit.label, swatch: "limit" }];
  return html`${all.map(({ name, swatch }, index) => {
    const [x, y] = [left + (index % 3) * 222, lineHeight + 4 + Math.floor(index / 3) * 18];
    return html`<line class="line ${swatch}" x1="${x}" x2="${x + 18}" y1="${y - 4}" y2="${y - 4}"/><text x="${x + 24}" y="${y}">${shorten(name, 30)}</text>`;
  })}`;
}

function drawYAxis(scale: Scale, axis: Axis, yAt: (value: number) => number): Markup {
  return html`<text class="quiet" x="${left - 8}" y="${top - 12}" text-anchor="end">${axis.unit}</text>
${scale.ticks.map((tick) => {
  const y = round(yAt(tick));
  return html`<line class="grid" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/><text x="${left - 8}" y="${y + 4}" text-anchor="end">${scale.format(tick)}</text>`;
})}`;
}

function drawXAxis(scale: Scale, axis: Axis, floor: number): Markup {
  return html`<line class="axis" x1="${left}" x2="${width - right}" y1="${floor}" y2="${floor}"/>
${scale.ticks.map((tick) => {
  const x = round(at(scale, tick));
  return html`<line class="axis" x1="${x}" x2="${x}" y1="${floor}" y2="${floor + tickLength}"/><text x="${x}" y="${floor + 18}" text-anchor="middle">${scale.format(tick)}</text>`;
})}
<text class="quiet" x="${(left + width - right) / 2}" y="${floor + 36}" text-anchor="middle">${axis.label} (${axis.unit})</text>`;
}

const barHeight = 26;
const nameWidth = 230;
const noteWidth = 150;

/** Lying bars: their names can be long. */
function drawBars({ bars, value, marks = [] }: BarChart): Drawing {
  const levels = bars.flatMap(({ value: level, high, low }) =>
    [level, high, low].filter((number) => typeof number === "number"),
  );
  const scale = makeScale([...levels, ...marks.map((mark) => mark.at)], { isFromZero: true, steps: 4 });
  const room = width - nameWidth - noteWidth;
  const place = (level: number) => round(nameWidth + scale.place(level) * room);
  const floor = top + bars.length * barHeight;
  const rows = bars.map(({ name, value: level, low, high, tone, text }, index) => {
    const y = top + index * barHeight;
    const middle = y + barHeight / 2;
    const label = text ?? (level === null ? "not measured" : `${scale.format(level)} ${value.unit}`);
    const [from, to] = [place(Math.min(0, level ?? 0)), place(Math.max(0, level ?? 0))];
    const end = Math.max(to, high === undefined ? 0 : place(high));
    return html`<text x="${nameWidth - 8}" y="${middle + 4}" text-anchor="end">${shorten(name, 34)}</text>
<rect class="${fillOf(tone)}" x="${from}" y="${y + 5}" width="${round(to - from)}" height="${barHeight - 10}" rx="2"/>
${low === undefined || high === undefined ? undefined : html`<path class="whisker" d="M${place(low)} ${middle}H${place(high)}M${place(low)} ${middle - 4}v8M${place(high)} ${middle - 4}v8"/>`}
<text class="${level === null ? "quiet" : "note"}" x="${end + 8}" y="${middle + 4}">${shorten(label, 26)}</text>`;
  });
  const body = html`${scale.ticks.map(
    (tick) =>
      html`<line class="grid" x1="${place(tick)}" x2="${place(tick)}" y1="${top}" y2="${floor}"/><text x="${place(tick)}" y="${floor + 18}" text-anchor="middle">${scale.format(tick)}</text>`,
  )}
${rows}
${marks.map(
  (mark) =>
    html`<line class="limit" x1="${place(mark.at)}" x2="${place(mark.at)}" y1="${top}" y2="${floor}"/><text class="limit-label" x="${place(mark.at)}" y="${top - 4}" text-anchor="middle">${mark.label}</text>`,
)}
<text class="quiet" x="${nameWidth + room / 2}" y="${floor + 36}" text-anchor="middle">${value.label} (${value.unit})</text>`;
  return { height: floor + 46, body };
}

function fillOf(tone: Tone | undefined): string {
  return `${tone ?? "plain"}-fill`;
}

/** The bars have the area of their counts where their widths differ: that is what a histogram is. */
function drawHistogram({ buckets, marks, value }: HistogramChart): Drawing {
  const edges = buckets.flatMap(([from, to]) => [from, to]);
  const xScale = makeScale(edges, { isTight: true, steps: 6 });
  const density = buckets.map(([from, to, count]) => (to > from ? count / (to - from) : 0));
  const most = density.reduce((a, b) => Math.max(a, b), 1e-300);
  const total = buckets.reduce((sum, [, , count]) => sum + count, 0);
  const floor = lineHeight - bottom;
  const bars = buckets.map(([from, to], index) => {
    const [x1, x2] = [at(xScale, from), at(xScale, to)];
    const height = ((density[index] ?? 0) / most) * (floor - top);
    return html`<rect class="bar" x="${round(x1)}" y="${round(floor - height)}" width="${round(Math.max(0.5, x2 - x1 - 0.5))}" height="${round(height)}"/>`;
  });
  const body = html`<text class="quiet" x="${left}" y="${top - 12}">${total.toLocaleString("en-US")} values; area is number</text>
${bars}
${drawXAxis(xScale, value, floor)}
${marks
  .filter((mark) => mark.at >= xScale.low && mark.at <= xScale.high)
  .map((mark, index) => {
    const x = round(at(xScale, mark.at));
    const isFarRight = x > width - 150;
    return html`<line class="mark" x1="${x}" x2="${x}" y1="${top - 6}" y2="${floor}"/><text x="${isFarRight ? x - 6 : x + 6}" y="${top + 6 + index * 16}" text-anchor="${isFarRight ? "end" : "start"}">${mark.label}</text>`;
  })}`;
  return { height: lineHeight, body };
}

/** More points than this cannot be told apart on paper. */
const mostPoints = 1_200;

/** Keeps the least and the greatest of each piece, so that no peak is lost. */
function thin(
  xs: readonly number[],
  ys: readonly (number | null)[],
): readonly (readonly [number, number | null])[] {
  const points = xs.map((x, index) => [x, ys[index] ?? null] as const);
  if (points.length <= mostPoints) return points;
  const pieces = mostPoints / 2;
  return Array.from({ length: pieces }, (_, piece) => {
    const part = points.slice(
      Math.floor((piece * points.length) / pieces),
      Math.floor(((piece + 1) * points.length) / pieces),
    );
    const known = part.filter(([, y]) => y !== null).toSorted((a, b) => (a[1] ?? 0) - (b[1] ?? 0));
    const ends = [known[0], known.at(-1)].filter((point) => point !== undefined);
    return ends.length === 0 ? part.slice(0, 1) : ends.toSorted((a, b) => a[0] - b[0]);
  }).flat();
}

function pathOf(points: readonly (readonly [number, number] | null)[]): string {
  let isDown = false;
  let path = "";
  for (const point of points) {
    if (point !== null) path += `${isDown ? "L" : "M"}${point[0]} ${point[1]}`;
    isDown = point !== null;
  }
  return path;
}

function shorten(text: string, most: number): string {
  const letters = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("")}…`;
}
