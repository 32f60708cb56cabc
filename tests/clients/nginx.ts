// Debian's nginx, unpacked into a folder: it needs no installation, and no rights.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must, orSkip, suiteCache } from "../support/venv.ts";

/** One that is installed, else the package. Undefined, and said, where there is none; in CI that is an error. */
export async function findNginx(): Promise<string | undefined> {
  const installed = Bun.which("nginx");
  if (installed !== null) return installed;
  return orSkip("nginx cannot be had", async () => {
    const place = join(suiteCache, "nginx");
    if (!existsSync(place)) await unpackTo(place);
    const program = join(place, "usr/sbin/nginx");
    await must([program, "-v"]); // what it needs is there
    return program;
  });
}

/** Whole or not at all. */
async function unpackTo(target: string): Promise<void> {
  const work = `${target}.part`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  await must(["apt-get", "download", "nginx"], work).catch(async () => {
    await must(["apt-get", "update"]);
    return must(["apt-get", "download", "nginx"], work);
  });
  for (const name of readdirSync(work).filter((file) => file.endsWith(".deb"))) {
    await must(["dpkg", "-x", join(work, name), work]);
  }
  renameSync(work, target);
}
