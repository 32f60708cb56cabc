import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defaultLimits as codecLimits } from "../../../src/codecs/limits.ts";
import { defaultLimits as formatLimits } from "../../../src/formats/limits.ts";
import { defaultTapeLimits } from "../../../src/engines/tape/limits.ts";
import * as reportLimits from "../../../src/report/limits.ts";
import { defaultServerLimits } from "../../../src/server/limits.ts";

const page = readFileSync(resolve(import.meta.dir, "../../../docs/limits.md"), "utf8");

const limits = [formatLimits, codecLimits, defaultTapeLimits, reportLimits, defaultServerLimits].flatMap(
  (table) => Object.entries(table),
);

test.each(limits)("docs/limits.md states %s as it is", (name, value) => {
  const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
  expect(row?.split("|")[2]?.trim()).toBe(Number(value).toLocaleString("en"));
});
