// How often a model is run before it is ready.

import { expect, test } from "bun:test";
import type { FeatureValues } from "../../../../src/core/tensor.ts";
import { warmUp } from "../../../../src/server/repository/warm-up.ts";

/** A model whose runs take these times, the last one again and again; inline from some run on. */
async function countRuns(times: readonly number[], inlineAfter = Number.POSITIVE_INFINITY): Promise<number> {
  let runs = 0;
  await warmUp({
    inputs: [{ name: "x", description: "", type: { kind: "double" }, isOptional: false }],
    get isInline() {
      return runs >= inlineAfter;
    },
    async predictTimed(inputs: FeatureValues) {
      expect([...inputs.keys()]).toEqual(["x"]);
      const runMs = times[Math.min(runs++, times.length - 1)] ?? 0;
      return { outputs: new Map(), queueMs: 0, runMs };
    },
  });
  return runs;
}

test.each([
  ["once where one run is long", [400], 1],
  ["until it has taken a quarter of a second", [100], 3],
  ["a few times where runs are not short", [5], 8],
  ["until it is known to be small, where a first run is slow", [60, 0.05], 80],
  ["all the same when a run is held up", [1, 0.05, 3, 0.05], 80],
])("%s", async (_, times, runs) => {
  expect(await countRuns(times)).toBe(runs);
});

test("no longer than until it runs in the server's own thread", async () => {
  expect(await countRuns([0.05], 65)).toBe(65);
});
