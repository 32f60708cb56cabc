// Loads one model once, in a process of its own, and says what it cost. For scripts/bench-cache.ts.

import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCompileCache } from "../../src/engines/cache.ts";
import { identifyLibrary } from "../../src/engines/cache/key.ts";
import { loadFile } from "../../src/engines/load-file.ts";
import { PortableEngine } from "../../src/engines/portable.ts";
import { locateOnnxRuntime } from "../../src/native/library.ts";
import { OnnxRuntime } from "../../src/native/onnxruntime.ts";

export interface CacheLoad {
  readonly openMs: number;
  readonly loadMs: number;
  readonly kind: string;
  /** Memory of our own, and pages of files, that loading added; megabytes. */
  readonly privateMB: number;
  readonly fileMB: number;
  readonly peakMB: number;
}

const [path = "", folder] = process.argv.slice(2);
const library = await locateOnnxRuntime({ cacheDir: join(tmpdir(), "coremlx-bench-library") });
const runtime = OnnxRuntime.open(library);
const engine = new PortableEngine({ runtime });
const cache = folder === undefined ? undefined : openCompileCache({ folder });
Bun.gc(true);
const before = memory();
const {
  openMs,
  loadMs,
  cache: outcome,
} = await loadFile(path, {
  cache,
  runtime,
  library: identifyLibrary(library),
  load: (model) => engine.load(model),
});
const after = memory();
const result: CacheLoad = {
  openMs,
  loadMs,
  kind: outcome.kind,
  privateMB: after.anonymous - before.anonymous,
  fileMB: after.file - before.file,
  peakMB: after.peak,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);

/** Linux only; megabytes. */
function memory() {
  const status = readFileSync("/proc/self/status", "utf8");
  const of = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1_000;
  return { anonymous: of("RssAnon"), file: of("RssFile"), peak: of("VmHWM") };
}
