// Triton's perf_analyzer. The packages that hold only it need a newer C library than Debian 12 has; this release of the client
// still carries it, and needs two libraries beside: one from PyPI, one from Debian.

import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must, orSkip, suiteCache } from "../support/venv.ts";

const wheels = ["tritonclient==2.41.0", "nvidia-cuda-runtime-cu12==12.9.79"];
const place = join(suiteCache, "perf-analyzer-2.41.0");

/** A command line that starts it. Undefined, and said, where there is none; in CI that is an error. */
export async function findPerfAnalyzer(python: string): Promise<readonly string[] | undefined> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    console.warn("skipped: perf_analyzer is a program for Linux on x64");
    return undefined;
  }
  return orSkip("perf_analyzer cannot be had", async () => {
    if (!existsSync(place)) await fetchTo(place, python);
    const library = (folder: string) => join(place, folder);
    const paths = [library("nvidia/cuda_runtime/lib"), library("usr/lib/x86_64-linux-gnu")];
    const program = join(place, "tritonclient-2.41.0.data/data/bin/perf_analyzer");
    return ["env", `LD_LIBRARY_PATH=${paths.join(":")}`, program];
  });
}

/** Whole or not at all. */
async function fetchTo(target: string, python: string): Promise<void> {
  const work = `${target}.part`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  await must([python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, ...wheels]);
  for (const name of readdirSync(work).filter((file) => file.endsWith(".whl"))) {
    await must([python, "-m", "zipfile", "-e", join(work, name), work]);
  }
  await must(["apt-get", "download", "libb64-0d"], work).catch(async () => {
    await must(["apt-get", "update"]);
    return must(["apt-get", "download", "libb64-0d"], work);
  });
  for (const name of readdirSync(work).filter((file) => file.endsWith(".deb"))) {
    await must(["dpkg", "-x", join(work, name), work]);
  }
  chmodSync(join(work, "tritonclient-2.41.0.data/data/bin/perf_analyzer"), 0o755);
  renameSync(work, target);
}
