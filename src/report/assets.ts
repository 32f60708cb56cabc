// The script and the style that every page has in it. From source they are put together when the first page is made; the
// executable has them ready: scripts/build.ts replaces this module.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chartStyle, pageColors } from "./chart-style.ts";

export interface Assets {
  readonly script: string;
  readonly style: string;
  /** As a Content-Security-Policy names them. */
  readonly scriptHash: string;
  readonly styleHash: string;
}

let assets: Promise<Assets> | undefined;

export function readAssets(): Promise<Assets> {
  return (assets ??= buildAssets());
}

async function buildAssets(): Promise<Assets> {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, "browser/plots.ts")],
    target: "browser",
    format: "iife",
    minify: true,
  });
  const [output] = built.outputs;
  if (output === undefined) throw new Error("Cannot build the script of reports: the bundler gave nothing");
  // The end of a script is the first of these, also inside a string.
  const script = (await output.text()).trim().replaceAll("</script", String.raw`<\/script`);
  const plotStyle = createRequire(import.meta.url).resolve("uplot/dist/uPlot.min.css");
  const [plots, own] = [plotStyle, join(import.meta.dir, "style.css")].map((path) =>
    readFileSync(path, "utf8").trim(),
  );
  const style = [plots, pageColors(), chartStyle, own].join("\n");
  return { script, style, scriptHash: hashOf(script), styleHash: hashOf(style) };
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
