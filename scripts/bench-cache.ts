// What the compile cache saves: models loaded without it, cold and warm, each in a fresh process, interleaved.
// Usage: bun scripts/bench-cache.ts [--runs N] [--json] [NAME…]; names of reference models.

import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { CacheLoad } from "./bench/cache-load.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "11" }, json: { type: "boolean", default: false } },
});
const runs = Number(values.runs);
const shared = process.env["COREMLX_SHARED"] ?? resolve(import.meta.dir, "../../shared");
const names =
  positionals.length > 0
    ? positionals
    : ["fastvit_t8_fp16", "resnet50_fp16", "mobilenet_v2_fp16", "mobilenet_v2_int8", "vit_tiny_fp16"];
const fields = ["openMs", "loadMs", "privateMB", "fileMB", "peakMB"] as const;
const modes = ["none", "cold", "warm"] as const;

const folder = mkdtempSync(join(tmpdir(), "coremlx-bench-cache-"));
const results: Record<string, Record<string, Readonly<Record<string, number>>>> = {};
try {
  for (const name of names) results[name] = measure(name);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (values.json) {
  console.log(JSON.stringify({ schemaVersion: 1, machine: machine(), runs, results }));
} else {
  console.log(`${machine()}; medians of ${runs} fresh processes`);
  for (const [name, byMode] of Object.entries(results)) {
    for (const [mode, row] of Object.entries(byMode)) {
      const figures = fields.map((field) => `${field} ${(row[field] ?? 0).toFixed(1).padStart(6)}`);
      console.log([name.padEnd(18), mode.padEnd(4), ...figures].join("  "));
    }
  }
}

function measure(name: string) {
  const path = join(shared, "models/reference", name, "model.mlpackage");
  const warm = join(folder, name);
  load(path, warm);
  const samples = new Map<string, CacheLoad[]>(modes.map((mode) => [mode, []]));
  for (let run = 0; run < runs; run++) {
    // Every other round the other way round, so that none always follows the same.
    for (const mode of run % 2 === 0 ? modes : modes.toReversed()) {
      const cold = join(folder, `${name}-${run}`);
      const sample = load(path, { none: undefined, cold, warm }[mode]);
      if (sample.kind !== mode) throw new Error(`${name} was loaded ${sample.kind}, not ${mode}`);
      samples.get(mode)?.push(sample);
      rmSync(cold, { recursive: true, force: true });
    }
  }
  return Object.fromEntries(
    [...samples].map(([mode, list]) => [
      mode,
      Object.fromEntries(fields.map((field) => [field, median(list.map((sample) => sample[field]))])),
    ]),
  );
}

function load(path: string, cache: string | undefined): CacheLoad {
  const script = join(import.meta.dir, "bench/cache-load.ts");
  const words = [process.execPath, script, path, ...(cache === undefined ? [] : [cache])];
  const { stdout, success } = Bun.spawnSync(words, { stderr: "inherit" });
  if (!success) throw new Error(`Loading ${path} failed`);
  return JSON.parse(stdout.toString()) as CacheLoad;
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ?? 0;
}

function machine(): string {
  return `${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores`;
}
