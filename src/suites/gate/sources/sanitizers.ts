// The log of `bun run test:swift`. A sanitizer that finds nothing has shown something only where it finds what was put there on
// purpose: its control.

import type { Findings, Reading } from "../findings.ts";

export const sanitizerMetrics = { "memory-faults": "runs", "data-races": "runs" } as const;

interface Sanitizer {
  readonly test: string;
  readonly controls: readonly string[];
}

const address: Sanitizer = {
  test: "the tests pass under the address sanitizer",
  controls: ["useAfterFree", "leak"],
};
const thread: Sanitizer = { test: "the tests pass under the thread sanitizer", controls: ["race"] };

export function readSanitizers(log: string): Findings {
  const lines = log.split("\n").flatMap((line) => {
    const [, mark, name] = /^\((pass|fail)\) (.+?)(?: \[.*\])?\r?$/.exec(line) ?? [];
    return name === undefined ? [] : [{ name, isGood: mark === "pass" }];
  });
  const outcomeOf = (wanted: string): "pass" | "fail" | undefined => {
    const found = lines.filter(({ name }) => name === wanted);
    if (found.length === 0) return undefined;
    return found.every(({ isGood }) => isGood) ? "pass" : "fail";
  };
  const read = ({ test, controls }: Sanitizer): Reading | string => {
    const outcome = outcomeOf(test);
    if (outcome === undefined) return `the log does not say that ${test}`;
    if (outcome === "fail") return { value: 1, detail: "it reported something" };
    const blind = controls.find((name) => outcomeOf(`a deliberate fault (${name}) is reported`) !== "pass");
    if (blind !== undefined) return `its control (${blind}) was not reported: it may see nothing`;
    return { value: 0, detail: `nothing reported; controls seen: ${controls.join(", ")}` };
  };
  return {
    models: [],
    engines: [],
    measures: { "memory-faults": () => read(address), "data-races": () => read(thread) },
  };
}
