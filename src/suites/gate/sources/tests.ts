// Counts of a test run, from its JUnit XML: of the cases themselves, for the totals in its head are only claims.

import { CoremlxError } from "../../../core/errors.ts";
import type { Findings } from "../findings.ts";

export const testMetrics = { failed: "tests", passed: "tests", skipped: "tests" } as const;

export function readTests(xml: string, file: string): Findings {
  if (!/<testsuites?[\s>]/.test(xml) || !/<\/testsuites?>\s*$/.test(xml))
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read ${file} as JUnit XML: its beginning or its end is missing`,
    );
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const part of xml.split(/<testcase(?=[\s/>])/).slice(1)) counts[outcomeOf(part, file)]++;
  const { passed, failed, skipped } = counts;
  const detail = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  const read = (value: number) => (passed + failed === 0 ? "no test ran" : { value, detail });
  return {
    models: [],
    engines: [],
    measures: {
      failed: () => read(failed),
      passed: () => read(passed),
      skipped: () => read(skipped),
    },
  };
}

/** Of the text behind `<testcase`, up to the next one. */
function outcomeOf(part: string, file: string): "passed" | "failed" | "skipped" {
  const head = /^(?:"[^"]*"|'[^']*'|[^>"'/]|\/(?!>))*(\/?)>/.exec(part);
  const end = part.indexOf("</testcase>");
  if (head?.[1] === "/") return "passed";
  if (head === null || end === -1)
    throw new CoremlxError("BAD_INPUT", `Cannot read ${file} as JUnit XML: a test case has no end`);
  const body = part.slice(head[0].length, end);
  if (/<(?:failure|error)[\s/>]/.test(body)) return "failed";
  return /<skipped[\s/>]/.test(body) ? "skipped" : "passed";
}
