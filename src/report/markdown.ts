// A report as Markdown, for where pages are not shown: a repository's folder, the summary of a CI job. Charts are links to the
// SVG files beside it.

import type { Block, Cell, Report, Table } from "./document.ts";
import { showControls } from "./html.ts";
import { textOf } from "./page.ts";

export interface MarkdownOptions {
  /** The path of a chart's file as seen from the Markdown; undefined: charts are left out. */
  readonly chartPath?: ((id: string) => string) | undefined;
}

export function renderMarkdown(report: Report, options: MarkdownOptions = {}): string {
  const { title, subtitles, verdict, warnings, sections } = report;
  const parts = [
    `# ${escapeMarkdown(title)}`,
    subtitles.map(escapeMarkdown).join("  \n"),
    ...(verdict ? [`**${escapeMarkdown(verdict.word)}** · ${escapeMarkdown(verdict.reason)}`] : []),
    ...(warnings.length > 0 ? [warnings.map((line) => `> ${escapeMarkdown(line)}`).join("\n>\n")] : []),
    ...sections.flatMap(({ title: name, blocks }) => [
      `## ${escapeMarkdown(name)}`,
      ...blocks.map((block) => renderBlock(block, options)),
    ]),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function renderBlock(block: Block, { chartPath }: MarkdownOptions): string {
  switch (block.kind) {
    case "text":
      return escapeMarkdown(block.text);
    case "facts":
      return block.items
        .map(({ name, value, note }) => {
          const more = note === undefined ? "" : ` (${escapeMarkdown(note)})`;
          return `- ${escapeMarkdown(name)}: **${escapeMarkdown(value)}**${more}`;
        })
        .join("\n");
    case "table":
      return renderTable(block);
    default:
      return chartPath === undefined ? "" : `![${escapeMarkdown(block.title)}](${chartPath(block.id)})`;
  }
}

const mostRows = 500;

function renderTable({ caption, columns, rows }: Table): string {
  const row = (cells: readonly Cell[]) =>
    `| ${cells.map((cell) => escapeMarkdown(textOf(cell)).replaceAll("\n", " ")).join(" | ")} |`;
  const more = rows.length > mostRows ? [`${rows.length - mostRows} more rows are in the result file.`] : [];
  return [
    ...(caption === undefined ? [] : [escapeMarkdown(caption), ""]),
    row(columns.map(({ title }) => title)),
    `|${columns.map(({ isNumber }) => (isNumber ? "---:" : "---")).join("|")}|`,
    ...rows.slice(0, mostRows).map(row),
    ...more.flatMap((line) => ["", line]),
  ].join("\n");
}

/** Markdown lets HTML through and makes links of addresses: both are taken from the text. */
function escapeMarkdown(text: string): string {
  return showControls(text)
    .replaceAll(/\s+/g, " ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll(/[\\`*_[\]|#~]/g, String.raw`\$&`)
    .replaceAll("://", ":&#8203;//");
}
