// Debian's Chromium for tests of the pages, and what axe-core says about one of them.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const axePath = resolve(import.meta.dir, "../../../node_modules/axe-core/axe.min.js");

/** As root Chromium has no sandbox to run in; the pages are our own. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: Bun.which("chromium") ?? "chromium", args: ["--no-sandbox"] });
}

export interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly where: readonly string[];
}

/** Serious and critical ones. The policy of our pages refuses injected scripts, and does not bind those of a debugger. */
export async function findViolations(page: Page): Promise<readonly Violation[]> {
  await page.evaluate(readFileSync(axePath, "utf8"));
  const found: unknown = await page.evaluate(`axe.run(document).then(({ violations }) => violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map(({ html }) => html.slice(0, 200)) })))`);
  return found as readonly Violation[]; // as just written
}
