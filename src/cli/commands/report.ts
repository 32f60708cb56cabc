// coremlx report: a result file as a page for people, as Markdown, or as charts.

import { readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { CoremlxError, messageOf } from "../../core/errors.ts";
import { formatBytes } from "../../core/quantity.ts";
import { makeFolder, writeFileWhole } from "../../native/write-file.ts";
import { chartsOf, type Report } from "../../report/document.ts";
import { maxResultBytes } from "../../report/limits.ts";
import { type MarkdownOptions, renderMarkdown } from "../../report/markdown.ts";
import { readReport, renderReport } from "../../report/report.ts";
import { drawFile } from "../../report/svg.ts";
import { command } from "../command.ts";
import { type Io, plainLine } from "../output.ts";
import { isMissing, missingHint, whyMissing } from "../paths.ts";

const forms = ["html", "md"] as const;
type Form = (typeof forms)[number];

export const report = command({
  meta: { name: "report", description: "Make a page, Markdown or charts from a result file" },
  positionals: [
    {
      name: "FILE",
      description: "what a command printed with --json, the folder of a soak, or -",
      isRequired: true,
    },
  ],
  flags: {
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "where it goes: .html or .md; - for stdout (default: beside FILE, as .html)",
      isTrusted: true,
    },
    format: {
      type: "enum",
      options: forms,
      description: "form of the report (default: by the ending of --output, else html)",
    },
    svg: {
      type: "string",
      valueHint: "DIR",
      description: "write each chart as an SVG file too, which Markdown then shows",
      isTrusted: true,
    },
  },
  examples: [
    "coremlx report examples/digits/bench.json -o bench.html",
    "coremlx report examples/digits/bench.json -o bench.md --svg charts",
    "coremlx report examples/digits/bench.json --format md -o -",
  ],
  async run({ flags, positionals: [path = ""], io }) {
    const source = await readSource(path, io);
    const { kind, report: content } = readReport(source.bytes, path);
    const target = targetOf(flags.output, source.path, { cwd: io.cwd, form: flags.format });
    if (target === undefined && flags.json) {
      throw new CoremlxError("USAGE", "Cannot print both the report and --json on the standard output", {
        hint: "Name a file with -o FILE, or leave --json away",
      });
    }
    const form = flags.format ?? formOf(target);
    const svgFolder = flags.svg === undefined ? undefined : resolve(io.cwd, flags.svg);
    const charts = svgFolder === undefined ? [] : writeCharts(content, svgFolder);
    const chartPath = chartPathOf(svgFolder, target === undefined ? io.cwd : dirname(target));
    const text = form === "html" ? await renderReport(content) : renderMarkdown(content, { chartPath });
    if (target === undefined) return io.stdout(text);
    const bytes = new TextEncoder().encode(text);
    writeFileWhole(target, bytes);
    if (flags.json) {
      const written = { file: target, format: form, bytes: bytes.length, charts };
      return io.stdout(`${JSON.stringify({ schemaVersion: 1, kind: "report", of: kind, ...written })}\n`);
    }
    io.stdout(`${plainLine(shown(target, io.cwd))}  ${formatBytes(bytes.length)}\n`);
    for (const chart of charts) io.stdout(`${plainLine(shown(chart, io.cwd))}\n`);
  },
});

interface Source {
  /** undefined: the standard input. */
  readonly path: string | undefined;
  readonly bytes: Uint8Array;
}

async function readSource(given: string, io: Io): Promise<Source> {
  if (given === "-") return { path: undefined, bytes: await io.readStdin() };
  const path = findResult(given, io.cwd);
  try {
    const { size } = statSync(path);
    if (size > maxResultBytes) throw new Error(`it has ${size} bytes, more than ${maxResultBytes}`);
    return { path, bytes: readFileSync(path) };
  } catch (error) {
    throw new CoremlxError("BAD_INPUT", `Cannot read "${given}": ${messageOf(error)}`, { cause: error });
  }
}

/** The file itself, or in the folder of a soak that has ended its result. */
function findResult(given: string, cwd: string): string {
  const path = resolve(cwd, given);
  if (isMissing(path)) {
    throw new CoremlxError("BAD_INPUT", `Cannot read "${given}": ${whyMissing(path, cwd)}`, {
      hint: missingHint(path, cwd),
    });
  }
  if (!statSync(path).isDirectory()) return path;
  const result = join(path, "result.json");
  if (!isMissing(result)) return result;
  throw new CoremlxError("BAD_INPUT", `Cannot make a report of "${given}": the folder has no result.json`, {
    hint: "Name a result file, or the folder of a soak that has come to its end",
  });
}

/** undefined: the standard output. */
function targetOf(
  given: string | undefined,
  source: string | undefined,
  { cwd, form = "html" }: { readonly cwd: string; readonly form: Form | undefined },
): string | undefined {
  if (given === "-" || (given === undefined && source === undefined)) return undefined;
  if (given !== undefined) return resolve(cwd, given);
  const path = source ?? "";
  return join(dirname(path), `${basename(path, extname(path))}.${form}`);
}

function formOf(target: string | undefined): Form {
  if (target === undefined) return "html";
  const ending = extname(target).slice(1).toLowerCase();
  if (ending === "html" || ending === "htm") return "html";
  if (ending === "md") return "md";
  throw new CoremlxError("USAGE", `Cannot tell the form of "${basename(target)}" by its ending`, {
    hint: "Let it end in .html or .md, or give --format",
  });
}

function writeCharts(content: Report, folder: string): readonly string[] {
  makeFolder(folder);
  return chartsOf(content).map((chart) => {
    const path = join(folder, `${chart.id}.svg`);
    writeFileWhole(path, new TextEncoder().encode(drawFile(chart)));
    return path;
  });
}

function chartPathOf(svgFolder: string | undefined, folder: string): MarkdownOptions["chartPath"] {
  if (svgFolder === undefined) return undefined;
  return (id) => encodeURI(relative(folder, join(svgFolder, `${id}.svg`)));
}

function shown(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short.startsWith("..") ? path : short;
}
