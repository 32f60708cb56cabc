// coremlx gate from outside: evidence that it measures and takes again, refusals, waivers, and what it leaves for CI.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseGateResult } from "../../src/suites/schemas.ts";
import type { GateResult } from "../../src/suites/gate/result-schema.ts";
import { digitsPackage } from "../support/digits.ts";
import { bytesOf, junitXml, lcovText, soakRaw } from "../support/gate-evidence.ts";
import { expectFailure, run, runJson } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const place = (name: string) => join(folder.path, name);
const at = { cwd: folder.path };
const quick = resolve(import.meta.dir, "../../examples/gate/quick.toml");
const measuring = ["--run", "--model", digitsPackage, "--bench-duration", "100ms"];

async function judge(args: readonly string[], exit: number, env = {}): Promise<GateResult> {
  const { code, stdout, stderr } = await run(["gate", ...args, "--json"], { ...at, env });
  if (code !== exit) throw new Error(`gate ends with ${code}, not ${exit}: ${stderr}`);
  return parseGateResult(JSON.parse(stdout), "stdout");
}
const statuses = ({ lines }: GateResult) => Object.fromEntries(lines.map(({ id, status }) => [id, status]));

describe("gate", () => {
  test("without evidence is incomplete, ends with 3, and says what is missing", async () => {
    const result = await judge([], 3);
    expect(result.verdict).toMatchObject({ outcome: "incomplete", failed: [], passed: 0, lines: 43 });
    expect(result.verdict.incomplete).toHaveLength(43);
    const { code, stdout } = await run(["gate"], at);
    expect(code).toBe(3);
    expect(stdout).toStartWith(
      "Gate D: ready to deploy?  INCOMPLETE\n0 of 43 lines pass · 43 lines not measured",
    );
  });

  test("measures what is missing, keeps it, and takes it again without measuring", async () => {
    const args = ["--profile", quick, "--output-dir", "kept"];
    const first = await judge([...args, ...measuring], 0);
    expect(statuses(first)).toEqual({ "pool@any": "pass", "outputs@any": "pass" });
    expect(readdirSync(place("kept")).toSorted()).toEqual([
      "bench.evidence.json",
      "bench.json",
      "outputs.evidence.json",
      "outputs.json",
    ]);
    const before = readFileSync(join(place("kept"), "bench.json"), "utf8");
    const again = await judge(["kept", ...args, ...measuring], 0);
    expect(readFileSync(join(place("kept"), "bench.json"), "utf8")).toBe(before);
    expect(again.evidence).toEqual(first.evidence);
    expect(
      again.evidence.map(({ origin, isSynthetic, exitCode }) => ({ origin, isSynthetic, exitCode })),
    ).toEqual([
      { origin: "run", isSynthetic: false, exitCode: 0 },
      { origin: "run", isSynthetic: false, exitCode: 0 },
    ]);
  });

  test("refuses evidence whose raw data was changed, and measures it anew when asked to", async () => {
    const args = ["changed", "--profile", quick, "--output-dir", "changed"];
    await judge([...args.slice(1), ...measuring], 0);
    const path = join(place("changed"), "outputs.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"isMapped":false', '"isMapped":true'));
    const result = await judge(args, 3);
    expect(statuses(result)).toEqual({ "pool@any": "pass", "outputs@any": "not measured" });
    expect(result.refused).toEqual([
      {
        file: "changed/outputs.evidence.json",
        reason: 'its raw data "outputs.json" is not what was recorded: another digest',
        isSynthetic: false,
      },
    ]);
    await judge([...args, ...measuring], 0);
  });

  test("refuses evidence of another binary, or that is too old", async () => {
    writeFileSync(place("other"), "another executable");
    const binary = await judge(["kept", "--profile", quick, "--binary", "other"], 3);
    expect(binary.refused.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^of another binary: [0-9a-f]{12}, version /),
      expect.stringMatching(/^of another binary: /),
    ]);
    const old = await judge(["kept", "--profile", quick, "--max-age", "1ms"], 3);
    expect(old.refused[0]?.reason).toStartWith("too old: it ended at ");
    expect((await judge(["kept", "--profile", quick, "--max-age", "0.5d"], 0)).maxAgeMs).toBe(43_200_000);
  });

  test("never passes on evidence that was made up for tests", async () => {
    mkdirSync(place("synthetic"));
    const { envelope, raw } = bytesOf({ name: "soak", source: "soak", machine: "m2", raw: soakRaw("m2") });
    writeFileSync(join(place("synthetic"), "soak.evidence.json"), JSON.stringify(envelope));
    writeFileSync(join(place("synthetic"), "soak.json"), raw ?? "");
    const result = await judge(["synthetic", "kept", "--profile", quick], 3);
    expect(statuses(result)).toEqual({ "pool@any": "pass", "outputs@any": "pass" });
    expect(result.verdict.outcome).toBe("incomplete");
    expect(result.refused).toEqual([
      {
        file: "synthetic/soak.evidence.json",
        reason: "synthetic: it was made up for a test",
        isSynthetic: true,
      },
    ]);
  });

  test("adds logs and results as evidence, for Linux alone if asked to", async () => {
    writeFileSync(place("junit.xml"), junitXml);
    writeFileSync(place("lcov.info"), lcovText);
    const add = [
      "--add",
      "tests=junit.xml",
      "--add",
      "coverage-typescript=lcov.info",
      "--output-dir",
      "added",
    ];
    const result = await judge([...add, "--required", "linux"], 3);
    expect(result.required).toBe("linux");
    const found = statuses(result);
    expect(found).toMatchObject({
      "tests@linux": "pass",
      "coverage-typescript@linux": "pass",
      "tests@mac": "not measured",
    });
    expect(result.verdict.incomplete.every((id) => id.endsWith("@linux"))).toBe(true);
    expect(result.evidence.map(({ name, origin, exitCode }) => ({ name, origin, exitCode }))).toEqual([
      { name: "coverage-typescript", origin: "added", exitCode: -1 },
      { name: "tests", origin: "added", exitCode: -1 },
    ]);
  });

  test("takes a result only of the build that is judged", async () => {
    writeFileSync(place("soak.json"), JSON.stringify(soakRaw("linux")));
    await expectFailure(
      ["gate", "--add", "soak=soak.json", "--output-dir", "foreign"],
      {
        exit: 4,
        code: "BAD_INPUT",
        message:
          'Cannot add "soak.json": it was made by coremlx 0.1.0 of commit 0123456789abcdef0123456789abcdef01234567, which is not judged here',
        hint: "Name the executable that made it with --binary",
      },
      at,
    );
    writeFileSync(place("executable"), `\u007fELF 0123456789abcdef0123456789abcdef01234567 …`);
    const result = await judge(
      ["--add", "soak=soak.json", "--binary", "executable", "--output-dir", "own"],
      3,
    );
    expect(statuses(result)).toMatchObject({ "soak-failures@linux": "pass", "memory-growth@linux": "pass" });
  });

  test("passes with a waiver, which stands on top, and is signed off", async () => {
    const [today] = new Date().toISOString().split("T");
    const waiver = `[[waiver]]\ncriterion = "outputs"\nname = "Ann"\nreason = "not yet"\nexpires = "${today}"\n`;
    writeFileSync(place("waivers.toml"), waiver);
    writeFileSync(place("lone.evidence.json"), readFileSync(join(place("kept"), "bench.evidence.json")));
    writeFileSync(place("bench.json"), readFileSync(join(place("kept"), "bench.json")));
    const args = ["lone.evidence.json", "--profile", quick];
    await judge(args, 3);
    const signed = ["--waivers", "waivers.toml", "--sign-off", "R. Manager"];
    const result = await judge([...args, ...signed], 0);
    expect(result.verdict).toMatchObject({
      outcome: "pass",
      waived: ["outputs@any"],
      reasons: ["1 line waived"],
    });
    expect(result.signedOffBy).toBe("R. Manager");
    const { stdout } = await run(["gate", ...args, ...signed], at);
    expect(stdout.split("\n")[2]).toBe(`waived outputs by Ann until ${today} (in force): not yet`);
  });

  test("leaves JUnit XML, a page, and a summary where GitHub asks for one", async () => {
    const files = ["--junit", "gate.xml", "--html", "gate.html"];
    const env = { GITHUB_STEP_SUMMARY: place("summary.md") };
    writeFileSync(place("summary.md"), "before\n");
    await judge(["kept", "--profile", quick, ...files], 0, env);
    expect(readFileSync(place("gate.xml"), "utf8")).toContain('tests="2" failures="0"');
    expect(readFileSync(place("gate.html"), "utf8")).toContain(
      '<p class="verdict good"><strong>PASS</strong>',
    );
    expect(readFileSync(place("summary.md"), "utf8")).toStartWith("before\n## ✅ Quick check PASS\n");
  });

  test("names models by digest", async () => {
    const digest = "f0".repeat(32);
    const bound = await judge(["--bind", `fastvit-t8-f16=${digest}`], 3);
    expect(bound.lines.find(({ id }) => id === "speed-up@mac")).toMatchObject({
      model: { title: "FastViT T8 F16", digest },
      detail: "no evidence of matrix at mac",
    });
  });

  const folders = "coremlx gate --run measures what this machine can measure, and keeps it there";
  test.each([
    [["--profile", "gate-e"], 2, 'Unknown profile "gate-e"', 'Did you mean "gate-d"?'],
    [
      ["--profile", "none.toml"],
      4,
      'Cannot read "none.toml": there is no such file, or it is too large',
      undefined,
    ],
    [["nowhere"], 4, 'Cannot read evidence from "nowhere": there is no such file or folder', folders],
    [["--bind", "x"], 2, 'Cannot read --bind "x": it must be MODEL=DIGEST', undefined],
    [["--add", "x"], 2, 'Cannot read --add "x": it must be NAME=FILE', /^NAME is bench, outputs, /],
    [["--add", "tests=missing.xml"], 4, /^Cannot add "missing.xml": /, undefined],
    [["--max-age", "soon"], 2, 'Cannot read --max-age "soon": not a duration', /^Write it like /],
    [["--binary", "missing"], 4, /^Cannot read the executable /, undefined],
  ])("refuses %p", async (args, exit, message, hint) => {
    const code = exit === 2 ? "USAGE" : "BAD_INPUT";
    await expectFailure(["gate", ...args], { exit, code, message, hint }, at);
  });

  test("has schemas of its result, its evidence and its profiles", async () => {
    for (const name of ["gate", "evidence", "gate-profile"]) {
      expect(await runJson(["schema", name])).toMatchObject({ $id: `urn:coremlx:schema:${name}:1` });
    }
  });
});
