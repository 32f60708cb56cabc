// The thread that runs models, bundled once for all tests of a run: from the source each thread reads and translates some
// 150 files again, which takes longer than most of what it is asked for. The executable has it bundled as well.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { BunPlugin } from "bun";

const entry = resolve(import.meta.dir, "../../src/runtime/worker/worker.ts");

/** Modules that look at where they lie must go on seeing their place in src/. */
const keepPlaces: BunPlugin = {
  name: "coremlx-places",
  setup(build) {
    build.onLoad({ filter: /\/src\/(engines\/cache\/key|native\/library)\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replaceAll("import.meta.dir", JSON.stringify(dirname(path))),
      loader: "ts",
    }));
  },
};

/** Makes the bundle in `folder`; from then on threads of this process run it. */
export async function bundleWorker(folder: string): Promise<void> {
  const { outputs } = await Bun.build({
    entrypoints: [entry],
    outdir: folder,
    target: "bun",
    splitting: true, // a thread reads only what it needs, as from the source
    plugins: [keepPlaces],
  });
  const bundle = outputs.find((output) => output.kind === "entry-point")?.path ?? entry;
  const Plain = globalThis.Worker;
  globalThis.Worker = class extends Plain {
    constructor(script: string | URL, options?: WorkerOptions) {
      super(String(script) === Bun.pathToFileURL(entry).href ? bundle : script, options);
    }
  };
}
