// The program as a whole: help, usage, streams, colours, and what each failure does to them.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { commands } from "../../src/cli/program.ts";
import { binaryPath, coremlx, expectFailure, run, runCommand, runJson } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";
import { program, testWith } from "../support/tools.ts";

setDefaultTimeout(60_000);

const digits = "examples/digits/Digits.mlpackage";
const digit = "examples/digits/digit_7.png";
const names = Object.keys(commands);
const loaded = await Promise.all(Object.values(commands).map((entry) => entry.load()));

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

describe("help", () => {
  test.concurrent.each(["", "--help", "-h", "help"])("coremlx %s names every command", async (word) => {
    const { code, stdout, stderr } = await run(word === "" ? [] : [word]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const name of names) expect(stdout).toMatch(new RegExp(`^ +${name} {2,}\\S`, "m"));
    expect(stdout).toContain("EXAMPLES");
  });

  test.concurrent.each(loaded.map((command) => [command.meta.name, command] as const))(
    "of %s mentions every flag and argument, and its examples",
    async (name, { flags, positionals, examples }) => {
      const { code, stdout, stderr } = await run([name, "--help"]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      for (const flag of Object.keys(flags)) expect(stdout).toMatch(new RegExp(`--${flag}\\b`));
      for (const positional of positionals) expect(stdout).toContain(positional.name);
      for (const example of examples) expect(stdout).toContain(`  ${example}\n`);
      // Plain text: no colour codes, no blanks at the end of a line.
      expect(stdout).toBe(Bun.stripANSI(stdout));
      expect(stdout).not.toMatch(/[ \t]\n/);
      expect((await run(["help", name])).stdout).toBe(stdout);
      expect((await run([name, "-h", "--nonsense"])).stdout).toBe(stdout);
    },
  );
});

describe("usage", () => {
  const needy = loaded.filter(({ positionals }) => positionals.some(({ isRequired }) => isRequired));
  test.concurrent.each(needy.map((command) => [command.meta.name, command] as const))(
    "%s without arguments says what it needs, with exit code 2",
    async (name, { positionals }) => {
      const [first] = positionals;
      await expectFailure([name], {
        exit: 2,
        code: "USAGE",
        message: `coremlx ${name} needs ${first?.name}: ${first?.description}`,
        hint: `Run coremlx ${name} --help`,
      });
    },
  );

  test.concurrent.each([
    [["infr", digits], 'Unknown command "infr"', 'Did you mean "coremlx infer"?'],
    [["version"], 'Unknown command "version"', 'Did you mean "coremlx --version"?'],
    [["__proto__"], 'Unknown command "__proto__"', /^The commands are infer, inspect, /],
    [
      [digits],
      `Unknown command "${digits}"`,
      `Name a command first: coremlx infer ${digits}, or coremlx inspect ${digits}`,
    ],
    [["--quiet", "infer"], 'Unknown option "--quiet" before a command', /^Options come after the command/],
    [["infer", digits, "--sed", "1"], 'Unknown option "--sed" of coremlx infer', 'Did you mean "--seed"?'],
    [["infer", digits, "-x"], 'Unknown option "-x" of coremlx infer', /^Its options are|^Did you mean/],
    [
      ["infer", digits, "--seed"], // and then --json
      "Option --seed needs a value",
      'If "--json" is the value, write --seed=--json',
    ],
    [["infer", digits, "--seed="], "Option --seed needs a value", undefined],
    [["infer", digits, "--seed", "1", "--seed", "2"], "Option --seed is given twice", undefined],
    [["infer", digits, "--quiet=yes"], "Option --quiet takes no value", undefined],
    [
      ["infer", digits, "--top", "0"],
      'Cannot read --top "0": it must be a whole number of at least 1',
      undefined,
    ],
    [
      ["infer", digits, "--device", "gpus"],
      'Cannot use --device: "gpus" is not one of auto, cpu, gpu, ane, all',
      'Did you mean "gpu"?',
    ],
    [["infer", digits, "--engine", "portible"], 'Unknown engine "portible"', 'Did you mean "portable"?'],
    [
      ["infer", digit, digits],
      `Cannot run "${digit}": the model comes first, then the files for it`,
      `Write coremlx infer ${digits} ${digit}`,
    ],
    [
      ["infer", digits, "other model.mlpackage/"],
      'Cannot run "other model.mlpackage/" too: one model at a time',
      "Run coremlx infer 'other model.mlpackage/' on its own",
    ],
    [["inspect", digits, "surplus"], 'coremlx inspect does not take "surplus"', "Run coremlx inspect --help"],
    [
      ["export", digits],
      "coremlx export needs --output: where to write the ONNX file",
      `Write coremlx export ${digits} -o model.onnx, or -o - for stdout`,
    ],
    [
      ["export", digits, "-o", "-"],
      "Cannot print the ONNX file and JSON to the same standard output",
      "Leave --json out, or write to a file",
    ],
    [["config", "nothing"], 'Unknown command "nothing"', /^The commands are: "infer"/],
  ] as const)("%p", async (args, message, hint) => {
    await expectFailure(args, { exit: 2, code: "USAGE", message, hint });
  });

  test.concurrent("what follows -- is never a flag", async () => {
    const { code, stdout, stderr } = await run(["infer", "--json", "--", "--help"]);
    expect(code).toBe(4);
    expect(stderr).toStartWith('error: Cannot open "--help": there is no such file or folder\n');
    expect(JSON.parse(stdout)).toHaveProperty("error.code", "BAD_MODEL");
  });

  test.concurrent("a function that the model does not have, and a device that it cannot run on", async () => {
    await expectFailure(["infer", digits, "--function", "other"], {
      exit: 4,
      code: "NOT_FOUND",
      message: /^Cannot find function "other" in .*Digits.mlpackage: it has "main"$/,
      hint: undefined,
      details: { function: "other", functions: ["main"] },
    });
    await expectFailure(["infer", digits, "--device", "ane"], {
      exit: 5,
      code: "UNSUPPORTED",
      message: 'Cannot load on device "ane": the portable engine runs on the CPU',
      hint: "Leave --device out, or use --engine coreml on a Mac",
    });
  });
});

describe("version", () => {
  test.concurrent("names coremlx, Bun and the engines", async () => {
    const { code, stdout, stderr } = await run(["--version"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /^coremlx \d+\.\d+\.\d+( \([0-9a-f]{12}\))?\nBun \d+\.\d+\.\d+\nportable engine: ONNX Runtime \d+\.\d+\.\d+\n$/,
    );
    expect(await runJson(["--version"])).toMatchObject({ schemaVersion: 1, version: expect.any(String) });
  });
});

describe("streams", () => {
  const commandLines = [
    `infer ${digits} ${digit}`,
    `infer ${digits}`,
    `infer ${digits} ${digit} examples/digits/digit_1.png`,
    `inspect ${digits}`,
    `inspect ${digits} --ops`,
    "config",
    "licenses",
    "completions bash",
    "--version",
  ];
  test.concurrent.each(commandLines)("%s --json prints one JSON document", async (line) => {
    expect(await runJson(line.split(" "))).toHaveProperty("schemaVersion", 1);
  });

  test.concurrent("export prints one too, and bytes alone with -o -", async () => {
    const path = join(folder.path, "digits.onnx");
    const document = await runJson(["export", digits, "-o", path]);
    const { size } = Bun.file(path);
    expect(document).toMatchObject({ schemaVersion: 1, file: path, bytes: size });
    const script = '"$@" | wc -c';
    const { stdout } = await runCommand(["sh", "-c", script, "sh", ...coremlx, "export", digits, "-o", "-"]);
    expect(Number(stdout)).toBe(size);
  });

  test.concurrent("results go to stdout, everything else to stderr, --quiet silences that", async () => {
    const talking = await run(["infer", digits]);
    expect(talking.stdout).toMatch(/^classLabel: /);
    expect(talking.stderr).toMatch(/^no inputs given: "image" filled with seeded random values\n/);
    const quiet = await run(["infer", digits, "--quiet"]);
    expect(quiet.stderr).toBe("");
    expect(quiet.stdout.split("\n").slice(0, -2)).toEqual(talking.stdout.split("\n").slice(0, -2));
    const exported = await run(["export", digits, "-o", join(folder.path, "quiet.onnx"), "--quiet"]);
    expect(exported).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test.concurrent("errors are not silenced", async () => {
    const { code, stdout, stderr } = await run(["inspect", "nothing", "--quiet"]);
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toMatch(/^error: Cannot open "nothing"/);
  });

  test.concurrent("--log-format json makes every line of stderr JSON, the error too", async () => {
    const { code, stderr } = await run([
      "infer",
      digits,
      "--verbose",
      "--log-format",
      "json",
      "--input",
      "imag=1",
    ]);
    const lines = stderr.trimEnd().split("\n");
    const parsed = lines.map((line): Readonly<Record<string, unknown>> => JSON.parse(line));
    expect(code).toBe(4);
    expect(parsed.map(({ level }) => level)).toEqual([...parsed.slice(1).map(() => "debug"), "error"]);
    expect(parsed.at(-1)).toMatchObject({
      code: "BAD_INPUT",
      message: 'Unknown input "imag"',
      hint: 'Did you mean "image"?',
    });
  });

  test.concurrent("an error document is printed wherever --json comes from", async () => {
    const { code, stdout } = await run(["inspect", "nothing"], { env: { COREMLX_JSON: "1" } });
    expect(code).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: "BAD_MODEL" } });
    const not = await run(["inspect", "nothing", "--no-json"], { env: { COREMLX_JSON: "1" } });
    expect(not).toMatchObject({ code: 4, stdout: "" });
  });

  test.concurrent("a reader that leaves early is no failure", async () => {
    // More output than a pipe holds, to a reader that takes one line.
    const script = `set -o pipefail; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "$@"; done | head -1; echo "$?"`;
    const model = resolve(import.meta.dir, "../../examples/digits/Digits.mlpackage");
    const words = [...coremlx, "inspect", model, "--ops"];
    const { code, stdout, stderr } = await runCommand(["bash", "-c", script, "bash", ...words]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(`${model}\n0\n`);
    const closed = await runCommand(["bash", "-c", '"$@" | true; echo "${PIPESTATUS[0]}"', "bash", ...words]);
    expect(closed).toEqual({ code: 0, stdout: "0\n", stderr: "" });
  });

  test.concurrent("streams that are closed are no crash", async () => {
    const result = await runCommand([
      "sh",
      "-c",
      '"$@" >&- 2>&- <&-; echo $?',
      "sh",
      ...coremlx,
      "inspect",
      digits,
    ]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(["0\n", "1\n"]).toContain(result.stdout);
  });
});

describe("colours", () => {
  const colored = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const { stdout, stderr } = await run(args, { env });
    return `${stdout}${stderr}`.includes("\u001b[");
  };

  test.concurrent("are off in a pipe, on when asked, off again with NO_COLOR", async () => {
    expect(await colored(["inspect", digits])).toBe(false);
    expect(await colored(["inspect", digits, "--color", "always"])).toBe(true);
    expect(await colored(["inspect", digits], { FORCE_COLOR: "1" })).toBe(true);
    expect(await colored(["inspect", digits], { FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false);
    expect(await colored(["inspect", digits, "--color=never"], { FORCE_COLOR: "1" })).toBe(false);
    expect(await colored(["inspect", "nothing", "--color=always"])).toBe(true);
    expect(await colored(["inspect", "nothing"], { COREMLX_COLOR: "always" })).toBe(true);
  });

  testWith([program("script")], "and bars are on in a terminal", async () => {
    const line = [...coremlx, "infer", digits, digit].map((word) => `'${word}'`).join(" ");
    const { stdout } = await runCommand(["script", "-qec", line, "/dev/null"], { env: { TERM: "xterm" } });
    expect(stdout).toContain(`  7  96.7 %  \u001b[36m${"█".repeat(29)}\u001b[0m`);
  });
});

describe("places", () => {
  test.concurrent("a working folder that has been removed", async () => {
    const script = 'mkdir "$0" && cd "$0" && rmdir "$0" && "$@"';
    const gone = join(folder.path, "gone");
    const inside = (args: readonly string[]) => runCommand(["sh", "-c", script, gone, ...coremlx, ...args]);
    if (binaryPath !== undefined) {
      // A compiled program of Bun ends before its own first line.
      const { code, stderr } = await inside(["--version"]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^error: The current working directory was deleted.*\n$/);
      return;
    }
    expect(await inside(["--version"])).toMatchObject({ code: 0, stderr: "" });
    const { code, stderr } = await inside(["inspect", "model.mlpackage"]);
    expect({ code, stderr }).toEqual({
      code: 4,
      stderr: expect.stringMatching(/^error: Cannot open "model.mlpackage": there is no folder /),
    });
  });

  test.concurrent("names with blanks, quotes and control characters", async () => {
    const odd = join(folder.path, "a 'b' \u001b[31m");
    mkdirSync(odd);
    writeFileSync(join(odd, "x.mlmodel"), "text");
    const { code, stderr } = await run(["inspect", join(odd, "x.mlmodel")]);
    expect(code).toBe(4);
    expect(stderr).toMatch(/this is a text file, not a Core ML model\n$/);
    expect(stderr).not.toContain("\u001b");
  });
});
