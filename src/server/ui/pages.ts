// The pages, each one file of HTML with its script and style in it. From source they are put together at the first request; the
// executable has them ready: scripts/build.ts replaces this module.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BunPlugin } from "bun";

export type PageName = "page" | "docs";

export interface Page {
  readonly html: string;
  /** As a Content-Security-Policy names them. */
  readonly scriptHash: string;
  readonly styleHash: string;
}

export type Pages = Readonly<Record<PageName, Page>>;

let pages: Promise<Pages> | undefined;

export function readPages(): Promise<Pages> {
  return (pages ??= buildPages());
}

async function buildPages(): Promise<Pages> {
  const [page, docs] = await Promise.all([buildPage("page"), buildPage("docs")]);
  return { page, docs };
}

async function buildPage(name: PageName): Promise<Page> {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, `browser/${name}.ts`)],
    target: "browser",
    format: "iife",
    minify: true,
    plugins: [withoutArchives],
  });
  const [output] = built.outputs;
  if (output === undefined) throw new Error(`Cannot build the page "${name}": the bundler gave nothing`);
  // The end of a script is the first of these, also inside a string.
  const script = (await output.text()).trim().replaceAll("</script", String.raw`<\/script`);
  const style = readFileSync(join(import.meta.dir, "style.css"), "utf8").trim();
  const html = readFileSync(join(import.meta.dir, `${name}.html`), "utf8")
    .replace("/* style */", () => style)
    .replace("/* script */", () => script);
  return { html, scriptHash: hashOf(script), styleHash: hashOf(style) };
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** npz is not for the page; the reader of npy, which is, lies beside it. */
const withoutArchives: BunPlugin = {
  name: "without-archives",
  setup(build) {
    build.onResolve({ filter: /^node:zlib$/ }, ({ path }) => ({ path, namespace: "absent" }));
    build.onLoad({ filter: /.*/, namespace: "absent" }, () => ({
      contents: "export const crc32 = 0, deflateRawSync = 0, inflateRawSync = 0;",
      loader: "js",
    }));
  },
};
