// Evidence for `coremlx gate` that only the source can show: tests with their coverage, sanitizers, the coverage of Swift, live
// handles. Builds the executable they are evidence of, or takes --binary. `bun scripts/gate-evidence.ts --out DIR [STEP…]`.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { digestFile } from "../src/cli/gate-binary.ts";
import { saveEvidence, type SavedFacts } from "../src/cli/gate-files.ts";
import { findToolchain, isMac, root } from "./swift/toolchain.ts";

const { values, positionals } = parseArgs({
  options: {
    out: { type: "string", default: "gate-evidence" },
    binary: { type: "string" },
    /** For a first look: these test folders only. */
    tests: { type: "string", multiple: true },
  },
  allowPositionals: true,
});

interface Binary {
  readonly sha256: string;
  readonly version: string;
  readonly commit: string | null;
}

interface Ran {
  readonly startedAt: string;
  readonly endedAt: string;
  readonly exitCode: number;
  readonly command: readonly string[];
  readonly output: string;
}

const folder = resolve(values.out);
const scratch = mkdtempSync(join(tmpdir(), "coremlx-evidence-"));
const steps: Readonly<Record<string, (binary: Binary) => Promise<void>>> = {
  tests: collectTests,
  swift: collectSwift,
  handles: collectHandles,
};

try {
  const wanted = positionals.length === 0 ? Object.keys(steps) : positionals;
  const unknown = wanted.find((name) => !Object.hasOwn(steps, name));
  if (unknown !== undefined)
    throw new Error(`There is no step "${unknown}": there are ${Object.keys(steps).join(", ")}`);
  const binary = await prepareBinary();
  for (const name of wanted) await steps[name]?.(binary);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function prepareBinary(): Promise<Binary> {
  const file = values.binary ?? join(root, "dist/coremlx");
  if (values.binary === undefined) {
    const built = await run(["bun", "run", "build"]);
    if (built.exitCode !== 0) throw new Error("The executable was not built");
  }
  const { version, commit } = JSON.parse(await Bun.$`${file} --version --json`.text());
  return { sha256: digestFile(file), version, commit: commit ?? null };
}

/** Coverage is of the same run, and of the files that the tests load. */
async function collectTests(binary: Binary): Promise<void> {
  const junit = join(scratch, "junit.xml");
  const report = ["--reporter=junit", `--reporter-outfile=${junit}`];
  const coverage = ["--coverage", "--coverage-reporter=lcov", `--coverage-dir=${scratch}`];
  const chosen = values.tests ?? [];
  const ran = await run(["bun", "test", "--timeout", "60000", ...coverage, ...report, ...chosen]);
  save(binary, ran, { name: "tests", source: "tests", raw: readFileSync(junit) });
  const lcov = readFileSync(join(scratch, "lcov.info"));
  save(binary, ran, { name: "coverage-typescript", source: "coverage", raw: lcov });
}

async function collectSwift(binary: Binary): Promise<void> {
  const ran = await run(["bun", join(root, "scripts/test-swift.ts")]);
  save(binary, ran, { name: "sanitizers", source: "sanitizers", raw: Buffer.from(ran.output) });
  const exported = findCoverage(join(root, ".build/tests"));
  if (exported === undefined) return console.log("skipped: coverage-swift: no coverage was written");
  save(binary, ran, { name: "coverage-swift", source: "coverage", raw: readFileSync(exported) });
}

function findCoverage(build: string): string | undefined {
  const names = existsSync(build) ? readdirSync(build) : [];
  return names
    .map((name) => join(build, name, "debug/codecov/coremlx.json"))
    .find((path) => existsSync(path));
}

async function collectHandles(binary: Binary): Promise<void> {
  const missing = await findToolchain();
  if (missing !== undefined) return console.log(`skipped: handles: no Swift toolchain: ${missing}`);
  // The Swift root shows the project's folder, and little else.
  const inside = join(root, ".build/gate");
  mkdirSync(inside, { recursive: true });
  const result = join(inside, "handles.json");
  rmSync(result, { force: true });
  const enter = isMac ? [] : [join(root, "scripts/in-swift-root.sh")];
  const built = await run([...enter, "swift", "build", "-c", "release", "--product", "coremlx"]);
  if (built.exitCode !== 0) throw new Error("libcoremlx was not built");
  const ran = await run([...enter, "bun", join(root, "scripts/gate/count-handles.ts"), result], {
    COREMLX_COREML: join(root, ".build/release", isMac ? "libcoremlx.dylib" : "libcoremlx.so"),
    COREMLX_STANDIN_MODELS: join(root, "tests/fixtures/standin"),
  });
  if (!existsSync(result)) throw new Error("The handles were not counted");
  save(binary, ran, { name: "handles", source: "handles", raw: readFileSync(result) });
}

function save(
  binary: Binary,
  ran: Ran,
  { name, source, raw }: Pick<SavedFacts, "name" | "source" | "raw">,
): void {
  const { startedAt, endedAt, exitCode, command } = ran;
  const facts = { startedAt, endedAt, exitCode, command, binary, profile: "gate-d", origin: "run" as const };
  console.log(`kept ${saveEvidence(folder, { name, source, raw: new Uint8Array(raw), ...facts })}`);
}

async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const startedAt = new Date().toISOString();
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let output = "";
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    const text = decoder.decode(part, { stream: true });
    process.stdout.write(text);
    output += text;
  }
  const exitCode = await child.exited;
  const endedAt = new Date().toISOString();
  // Machine paths are nobody's business: commands are kept as they are typed in the project.
  const words = command.map((word) => word.replace(`${root}/`, "").replace(`${scratch}/`, ""));
  return { startedAt, endedAt, exitCode, command: words, output };
}
