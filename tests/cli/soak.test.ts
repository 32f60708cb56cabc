// coremlx soak from outside: its result, its files, interruption and resumption, refusals.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseSoakResult } from "../../src/suites/schemas.ts";
import { digitsPackage } from "../support/digits.ts";
import { writeSumModel } from "../support/program-models.ts";
import { expectFailure, run, runJson, start } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const place = (name: string) => join(folder.path, name);
/** Other tests run on this machine too. */
const brief = ["--duration", "600ms", "--warmup", "50", "--max-p99", "5s"];

describe("soak", () => {
  test("prints a result that its schema describes, and leaves the same in its folder with series and checkpoint", async () => {
    const sum = writeSumModel(place("sum.mlpackage"));
    const args = ["soak", digitsPackage, sum, ...brief, "--concurrency", "2", "--output-dir", place("a")];
    const printed = await runJson([...args, "--summary-every", "200ms", "--seed", "3"]);
    const result = parseSoakResult(printed, "stdout");
    expect(result.verdict.outcome).toBe("pass");
    expect(result.models.map(({ name, failed, wrong }) => ({ name, failed, wrong }))).toEqual([
      { name: "Digits", failed: 0, wrong: 0 },
      { name: "sum", failed: 0, wrong: 0 },
    ]);
    expect(result.configuration).toMatchObject({
      load: { mode: "closed", concurrency: 2 },
      durationMs: 600,
      summaryEveryMs: 200,
      seed: 3,
      limits: { maxFailures: 0, maxGrowthBytes: 50e6, maxP99Ms: 5_000 },
    });
    expect(readdirSync(place("a")).toSorted()).toEqual(["checkpoint.json", "result.json", "series.ndjson"]);
    expect(JSON.parse(readFileSync(join(place("a"), "result.json"), "utf8"))).toEqual(printed);
    const lines = readFileSync(join(place("a"), "series.ndjson"), "utf8")
      .trimEnd()
      .split("\n");
    const types = lines.map((line) => JSON.parse(line).type);
    expect([types[0], types.at(-1)]).toEqual(["start", "end"]);
    expect(types.filter((type) => type === "window")).toHaveLength(result.windows.length);
    await expectFailure(args, {
      exit: 2,
      code: "USAGE",
      message: `Cannot begin a soak in "${place("a")}": there is one already`,
      hint: /^Continue it with --resume /,
    });
    await expectFailure(["soak", "--resume", place("a")], {
      exit: 4,
      code: "BAD_INPUT",
      message: "Cannot continue the soak: it had come to its end",
      hint: "Begin a new soak",
    });
  });

  test("tells models of one name apart by their folders, and one model twice by a number", async () => {
    for (const name of ["one", "two"]) {
      mkdirSync(place(name));
      writeSumModel(join(place(name), "model.mlpackage"));
    }
    const paths = ["one", "two", "two"].map((name) => join(place(name), "model.mlpackage"));
    const args = ["soak", ...paths, digitsPackage, "--duration", "100ms", "--warmup", "1", "--max-p99", "5s"];
    const result = parseSoakResult(await runJson([...args, "--output-dir", place("d")]), "stdout");
    expect(result.models.map(({ name }) => name)).toEqual([
      "one/model",
      "two/model",
      "two/model-2",
      "Digits",
    ]);
  });

  test("ends with 3 and says why when a limit is not kept", async () => {
    const args = ["soak", digitsPackage, "--duration", "600ms", "--warmup", "50", "--max-p99", "0.0001ms"];
    const { code, stdout } = await run([...args, "--output-dir", place("b")]);
    expect(code).toBe(3);
    expect(stdout).toMatch(/\nfail +p99 of the worst window of Digits +.+ limit 0\.1 µs /);
    expect(stdout).toMatch(
      /\nFAILED · for p99 of the worst window of Digits · \d+ of \d+ criteria not measured\n$/,
    );
  });

  test("interrupted ends with 130, and goes on with --resume to its whole length", async () => {
    const args = ["soak", digitsPackage, "--duration", "2s", "--warmup", "50", "--max-p99", "5s"];
    const program = start([...args, "--output-dir", place("c"), "--json", "--verbose"]);
    await program.says("debug: measuring");
    program.signal("SIGINT");
    const { code, stdout, stderr } = await program.result;
    expect(code).toBe(130);
    const first = parseSoakResult(JSON.parse(stdout), "stdout");
    expect(first.verdict.outcome).toBe("interrupted");
    expect(stderr).toContain(`Go on with: coremlx soak --resume ${place("c")}`);
    const whole = parseSoakResult(await runJson(["soak", "--resume", place("c")]), "stdout");
    expect(whole.verdict.outcome).toBe("pass");
    expect(whole.processes.map(({ end }) => end)).toEqual(["interrupted", "finished"]);
    expect(whole.elapsedMs).toBeGreaterThanOrEqual(2_000);
    expect(whole.models[0]?.completed ?? 0).toBeGreaterThan(first.models[0]?.completed ?? 0);
  });

  test("goes on with nothing but the folder", async () => {
    writeFileSync(place("none"), "");
    const noChange = {
      exit: 2,
      code: "USAGE",
      hint: "Give --resume alone, or begin a new soak",
    };
    await expectFailure(["soak", "--resume", place("c"), "--duration", "3s"], {
      ...noChange,
      message: "Cannot use --duration with --resume: the soak goes on as it began",
    });
    await expectFailure(["soak", digitsPackage, "--resume", place("c")], {
      ...noChange,
      message: `Cannot use "${digitsPackage}" with --resume: the soak goes on as it began`,
    });
    await expectFailure(["soak", "--resume", place("none")], {
      exit: 4,
      code: "BAD_INPUT",
      message: /^Cannot continue the soak of ".+none": /,
      hint: /^Name the folder of a soak/,
    });
  });

  test.each([
    [[], /^coremlx soak needs MODEL/, /--resume DIR$/],
    [[digitsPackage, "--faults", "fire"], 'Unknown fault "fire" in --faults', /^The faults are cancel, /],
    [[digitsPackage, "--max-drift", "120%"], /^Cannot read --max-drift "120%"/, /5% or 0\.05$/],
    [
      [digitsPackage, "--duration", "24h", "--summary-every", "1s"],
      /more than 10000 windows in 24h$/,
      undefined,
    ],
    [[digitsPackage, "--inputs", "2000"], "Cannot use --inputs 2000: the most is 1000", undefined],
    [[digitsPackage, "--min-success", "most"], /^Cannot read --min-success "most"/, /./],
  ])("refuses %p", async (args, message, hint) => {
    await expectFailure(["soak", ...args], { exit: 2, code: "USAGE", message, hint });
  });
});
