// Regenerates src/formats/gen and src/onnx/gen from the .proto files beside them. With --check it writes nothing
// and fails when the committed files differ. Needs no network: buf and the plugin come from node_modules.

import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const bin = join(root, "node_modules", ".bin");
const areas = ["src/formats", "src/onnx"];
const check = process.argv.includes("--check");

let stale = 0;
for (const area of areas) {
  const source = join(root, area, "proto");
  if (!(await listFiles(source)).some((name) => name.endsWith(".proto"))) continue;
  const fresh = await mkdtemp(join(tmpdir(), "coremlx-proto-"));
  try {
    await generate(source, fresh);
    const committed = join(root, area, "gen");
    if (check) {
      for (const name of await differing(fresh, committed)) {
        console.error(
          `${area}/gen/${name}: differs from what the .proto files give; run "bun run gen:proto"`,
        );
        stale++;
      }
    } else {
      await rm(committed, { recursive: true, force: true });
      await cp(fresh, committed, { recursive: true });
      console.log(`${area}/gen: ${(await listFiles(fresh)).length} files`);
    }
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}
process.exit(stale === 0 ? 0 : 1);

async function generate(source: string, target: string): Promise<void> {
  const template = {
    version: "v2",
    plugins: [
      {
        local: [process.execPath, join(bin, "protoc-gen-es")],
        out: target,
        opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
      },
    ],
  };
  const run = Bun.spawnSync(
    [process.execPath, join(bin, "buf"), "generate", source, "--template", JSON.stringify(template)],
    // buf wants a writable cache even when it has nothing to fetch; keep it out of the user's home.
    {
      cwd: source,
      env: { ...process.env, BUF_CACHE_DIR: join(target, ".cache") },
      stdout: "inherit",
      stderr: "inherit",
    },
  );
  await rm(join(target, ".cache"), { recursive: true, force: true });
  if (run.exitCode !== 0) throw new Error(`Cannot generate from ${source}: buf exited with ${run.exitCode}`);
}

/** Names that are missing, surplus or different in `committed`. */
async function differing(fresh: string, committed: string): Promise<string[]> {
  const names = new Set([...(await listFiles(fresh)), ...(await listFiles(committed))]);
  const verdicts = await Promise.all(
    [...names].toSorted().map(async (name) => {
      const [a, b] = await Promise.all([textOf(join(fresh, name)), textOf(join(committed, name))]);
      return a === b ? undefined : name;
    }),
  );
  return verdicts.filter((name) => name !== undefined);
}

async function textOf(path: string): Promise<string | undefined> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : undefined;
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile() && entry.name !== ".gitkeep").map((entry) => entry.name);
}
