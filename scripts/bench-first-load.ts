// What filling the compile cache costs the load that starts it: cold loads with and without, each in a fresh process,
// interleaved. Usage: bun scripts/bench-first-load.ts [--runs N] [NAME…]; names of reference models.

import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { FirstLoad } from "./bench/first-load.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "11" } },
});
const runs = Number(values.runs);
const shared = process.env["COREMLX_SHARED"] ?? resolve(import.meta.dir, "../../shared");
const names = positionals.length > 0 ? positionals : ["fastvit_t8_fp16", "resnet50_fp16", "vit_tiny_fp16"];
const modes = ["without", "filling"] as const;
const fields = ["loadMs", "firstMs", "tenMs", "wholeMs"] as const;

console.log(
  `${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores; medians of ${runs} fresh processes; milliseconds: load, first prediction, ten more, the whole program`,
);
const folder = mkdtempSync(join(tmpdir(), "coremlx-bench-first-load-"));
try {
  for (const name of names) {
    const path = join(shared, "models/reference", name, "model.mlpackage");
    const samples = new Map<string, FirstLoad[]>(modes.map((mode) => [mode, []]));
    for (let run = 0; run < runs; run++) {
      // Every other round the other way round, so that none always follows the same.
      for (const mode of run % 2 === 0 ? modes : modes.toReversed()) {
        const sample = await measure(path, mode, join(folder, `${name}-${mode}-${run}`));
        samples.get(mode)?.push(sample);
      }
    }
    for (const [mode, list] of samples) {
      const figures = fields.map(
        (field) => `${field} ${median(list.map((sample) => sample[field])).toFixed(1)}`,
      );
      console.log([name.padEnd(18), mode.padEnd(8), ...figures].join("  "));
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measure(path: string, mode: string, cacheDir: string): Promise<FirstLoad> {
  const script = join(import.meta.dir, "bench/first-load.ts");
  const started = performance.now();
  const child = Bun.spawn([process.execPath, script, path, cacheDir, mode], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  const wholeMs = performance.now() - started;
  if (code !== 0) throw new Error(`Loading ${path} failed`);
  if (mode === "filling") await untilFilled(cacheDir);
  return { ...(JSON.parse(text) as Omit<FirstLoad, "wholeMs">), wholeMs };
}

/** So that the next sample runs alone. */
async function untilFilled(cacheDir: string): Promise<void> {
  const attempts = new Bun.Glob("models/attempts/*");
  const entries = new Bun.Glob("models/entries/*/manifest.json");
  const count = async (glob: Bun.Glob) => (await Array.fromAsync(glob.scan(cacheDir))).length;
  while ((await count(entries)) === 0 || (await count(attempts)) > 0) await Bun.sleep(20);
  await Bun.sleep(100);
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ?? 0;
}
