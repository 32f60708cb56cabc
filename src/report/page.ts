// A report as one HTML file that needs nothing else: light or dark as the reader's system is, fit for paper, and with a policy
// that lets nothing run or load but what is in it.

import type { Assets } from "./assets.ts";
import { type Block, type Cell, chartsOf, type LineChart, type Report, type Table } from "./document.ts";
import { embedJson, html, type Markup, trust } from "./html.ts";
import { drawChart } from "./svg.ts";

export function renderPage(report: Report, assets: Assets): string {
  const { title, subtitles, verdict, warnings, sections } = report;
  const lines = chartsOf(report).filter((chart) => chart.kind === "lines");
  const hasPlots = lines.length > 0;
  const policy = [
    "default-src 'none'",
    `style-src '${assets.styleHash}'`,
    `script-src ${hasPlots ? `'${assets.scriptHash}'` : "'none'"}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${trust(assets.style)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
${subtitles.map((line) => html`<p>${line}</p>\n`)}
${verdict && html`<p class="verdict ${verdict.tone}"><strong>${verdict.word}</strong><span>${verdict.reason}</span></p>`}
${warnings.length === 0 ? undefined : html`<ul class="warnings">${warnings.map((line) => html`<li>${line}</li>`)}</ul>`}
</header>
<main>
${sections.map(
  ({ title: name, blocks }) => html`<section>
<h2>${name}</h2>
${blocks.map(renderBlock)}
</section>
`,
)}
</main>
<footer>Made by coremlx report.</footer>
${hasPlots ? renderPlots(lines, assets) : undefined}
</body>
</html>
`;
  return page.toString();
}

function renderPlots(lines: readonly LineChart[], { script }: Assets): Markup {
  const byId = Object.fromEntries(lines.map((chart) => [chart.id, chart]));
  return html`<script type="application/json" id="plots">${embedJson(byId)}</script>
<script>${trust(script)}</script>`;
}

function renderBlock(block: Block): Markup {
  switch (block.kind) {
    case "text":
      return html`<p class="${block.tone ?? "plain"}">${block.text}</p>\n`;
    case "facts":
      return html`<dl class="facts">
${block.items.map(
  ({ name, value, note, tone }) =>
    html`<div><dt>${name}</dt><dd class="${tone ?? "plain"}">${value}${note === undefined ? undefined : html` <small>${note}</small>`}</dd></div>\n`,
)}</dl>\n`;
    case "table":
      return renderTable(block);
    case "lines":
      return html`<figure data-plot="${block.id}"><figcaption>${block.title}</figcaption><div class="narrow">${drawChart(block)}</div></figure>\n`;
    case "bars":
    case "histogram":
      return html`<figure><figcaption>${block.title}</figcaption><div class="narrow" tabindex="0">${drawChart(block)}</div></figure>\n`;
  }
}

/** A page with more rows is slow, and nobody reads them. */
const mostRows = 500;

function renderTable({ caption, columns, rows }: Table): Markup {
  const classOf = (index: number) => (columns[index]?.isNumber ? "number" : "text");
  const left = rows.length - mostRows;
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${caption ?? "Table"}"><table>
${caption === undefined ? undefined : html`<caption>${caption}</caption>\n`}<thead><tr>${columns.map(
    ({ title }, index) => html`<th scope="col" class="${classOf(index)}">${title}</th>`,
  )}</tr></thead>
<tbody>
${rows
  .slice(0, mostRows)
  .map(
    (row) =>
      html`<tr>${row.map((cell, index) => html`<td class="${`${classOf(index)} ${toneOf(cell)}`.trim()}">${textOf(cell)}</td>`)}</tr>\n`,
  )}</tbody>
</table></div>
${left > 0 ? html`<p class="doubt">${left} more rows are in the result file.</p>\n` : undefined}`;
}

export function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

function toneOf(cell: Cell): string {
  return typeof cell === "string" ? "" : (cell.tone ?? "");
}
