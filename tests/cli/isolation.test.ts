// The executable alone: copied into an empty folder, without a network, without a place to write, and what it asks of the
// system meanwhile. Only the built executable can show this: COREMLX_BINARY names it (bun run test:binary).

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import { binaryPath, type ProgramResult, runCommand } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";
import { ability, mounts, program, testWith, type Tool } from "../support/tools.ts";

setDefaultTimeout(120_000);

const digits = resolve(import.meta.dir, "../../examples/digits");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const place = (name: string) => join(folder.path, name);
const alone = place("alone/coremlx");

/** No network at all: not even loopback is up. */
const noNetwork: Tool = ability("cut its network", ["unshare", "-n", "true"]);
const built: Tool = {
  missing: binaryPath === undefined ? "COREMLX_BINARY names no executable (bun run test:binary)" : undefined,
};

beforeAll(() => {
  if (binaryPath === undefined) return;
  for (const name of ["alone", "elsewhere", "home"]) mkdirSync(place(name));
  copyFileSync(binaryPath, alone);
  chmodSync(alone, 0o755);
  cpSync(digitsPackage, place("elsewhere/Digits.mlpackage"), { recursive: true });
  copyFileSync(join(digits, "digit_7.png"), place("elsewhere/digit.png"));
});

/** Runs words with nothing in the environment but PATH and HOME, in another folder than the executable's. */
function runBare(
  words: readonly string[],
  extra: Readonly<Record<string, string>> = {},
): Promise<ProgramResult> {
  const env = { PATH: "/usr/bin:/bin", HOME: place("home"), ...extra };
  const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return runCommand(["env", "-i", ...assignments, ...words], { cwd: place("elsewhere"), timeoutMs: 60_000 });
}

const answer = [alone, "infer", "Digits.mlpackage", "digit.png", "--json", "--output-dir"];

function expectSeven({ code, stdout, stderr }: ProgramResult): void {
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(stdout)).toHaveProperty("outputs.classLabel", "7");
}

// From source there is nothing to isolate: every test of the command line runs again with the executable in CI.
const testBuilt = (tools: readonly Tool[], name: string, body: () => Promise<void>) => {
  if (built.missing === undefined) return testWith(tools, name, body);
  test.skip(`${name} (${built.missing})`, body);
};

describe("the executable alone", () => {
  testBuilt([noNetwork], "answers without a network, with a cache of its own making", async () => {
    expectSeven(await runBare(["unshare", "-n", ...answer, place("out1")]));
    // A second start finds its library there.
    const files = readdirSync(place("home/.cache/coremlx"), { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.isFile()).map(({ name }) => name)).toEqual(["libonnxruntime.so"]);
    expectSeven(await runBare(["unshare", "-n", ...answer, place("out2")]));
    expect(readdirSync(place("alone"))).toEqual(["coremlx"]);
  });

  testBuilt([noNetwork, mounts], "answers with a read-only home and a /tmp that runs nothing", async () => {
    // The home is another, empty one: no library lies ready in its cache.
    const script = `
      mount -t tmpfs -o ro none "$HOME" &&
      mount -t tmpfs -o noexec,size=1m none "$SCRATCH" &&
      TMPDIR="$SCRATCH" exec "$@"`;
    mkdirSync(place("scratch"));
    mkdirSync(place("home2"));
    const words = ["unshare", "-m", "-n", "sh", "-c", script, "sh", ...answer, place("out3")];
    expectSeven(await runBare(words, { HOME: place("home2"), SCRATCH: place("scratch") }));
    expect(readdirSync(place("scratch"))).toEqual([]);
  });

  testBuilt([noNetwork, mounts], "answers with a home on a full disk", async () => {
    const script = 'mount -t tmpfs -o size=64k none "$HOME" && exec "$@"';
    mkdirSync(place("home3"));
    const words = ["unshare", "-m", "-n", "sh", "-c", script, "sh", ...answer, place("out4")];
    expectSeven(await runBare(words, { HOME: place("home3") }));
  });

  testBuilt([], "gives the licence of everything inside", async () => {
    const { code, stdout } = await runBare([alone, "licenses"]);
    expect(code).toBe(0);
    for (const name of ["coremlx", "onnxruntime", "@bufbuild/protobuf", "citty", "bun"]) {
      expect(stdout).toMatch(new RegExp(`^=== ${name}\\b.* ===$`, "m"));
    }
  });
});

describe("what the executable asks of the system", () => {
  testBuilt([program("strace")], "no internet socket and no name look-up in 15 seconds of work", async () => {
    const trace = place("trace");
    // As many predictions as fit: the deadline of `timeout` ends the run with Ctrl-C, as a user would.
    const work = [alone, "infer", "Digits.mlpackage", "digit.png", "--repeat", "1000000", "--quiet"];
    const traced = ["strace", "-f", "-qq", "-e", "trace=network,openat,connect", "-o", trace, ...work];
    const started = performance.now();
    const { code, stderr } = await runBare(["timeout", "-s", "INT", "15", ...traced]);
    expect(performance.now() - started).toBeGreaterThan(14_000);
    expect({ code, stderr }).toEqual({ code: 124, stderr: "error: Interrupted\n" });
    const lines = readFileSync(trace, "latin1").split("\n");
    expect(lines.length).toBeGreaterThan(20); // it did trace
    expect(lines.filter((line) => /AF_INET|AF_PACKET|connect\(/.test(line))).toEqual([]);
    // What a look-up of a name would read.
    expect(
      lines.filter((line) => /\/etc\/(resolv\.conf|hosts|nsswitch\.conf|gai\.conf|services)/.test(line)),
    ).toEqual([]);
  });
});
