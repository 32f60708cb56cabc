import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command, engineFlags } from "../../../src/cli/command.ts";
import { parseCount, parseDuration, parseSize, readArguments } from "../../../src/cli/options.ts";
import { CoremlxError } from "../../../src/core/errors.ts";
import { testIo } from "../../support/io.ts";
import { tempFolder } from "../../support/temp.ts";

const signature = {
  name: "infer",
  positionals: [
    { name: "MODEL", description: "a model", isRequired: true },
    { name: "FILE", description: "inputs", multiple: true },
  ],
  flags: {
    input: { type: "string", multiple: true, alias: "i", description: "" },
    seed: { type: "string", default: "0", description: "" },
    device: { type: "enum", options: ["auto", "cpu"], default: "auto", description: "" },
    "output-dir": { type: "string", description: "", isTrusted: true },
    json: { type: "boolean", description: "" },
  },
} as const;

const read = (args: readonly string[], io = testIo()) => readArguments(args, signature, io);

function failure(work: () => unknown): CoremlxError {
  try {
    work();
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

describe("arguments", () => {
  test("flags, repeats, aliases and files come out typed", () => {
    expect(read(["m", "-i", "a=1", "a.png", "--input=b=-2", "--json", "--seed", "7"])).toEqual({
      values: { input: ["a=1", "b=-2"], seed: "7", device: "auto", "output-dir": undefined, json: true },
      origins: { input: "flag", seed: "flag", device: "default", "output-dir": "default", json: "flag" },
      positionals: ["m", "a.png"],
    });
  });

  test("a lone dash is a value, and what follows -- is never a flag", () => {
    expect(read(["m", "--input", "-", "--", "--json"]).positionals).toEqual(["m", "--json"]);
  });

  test.each([
    [["m", "--sed", "1"], 'Unknown option "--sed"', 'Did you mean "--seed"?'],
    [["m", "-x"], 'Unknown option "-x"', undefined],
    [["m", "--seed", "1", "--seed", "2"], "given twice", undefined],
    [["m", "--seed"], "needs a value", undefined],
    [["m", "--seed="], "needs a value", undefined],
    [["m", "--json=1"], "takes no value", undefined],
    [["m", "--device", "cpus"], '"cpus" is not one of auto, cpu', 'Did you mean "cpu"?'],
    [[], "needs MODEL", "Run coremlx infer --help"],
    [["m", "--__proto__", "1"], 'Unknown option "--__proto__"', undefined],
  ] as const)("%p is refused with a reason", (args, message, hint) => {
    const error = failure(() => read(args));
    expect(error.code).toBe("USAGE");
    expect(error.message).toContain(message);
    if (hint !== undefined) expect(error.hint).toBe(hint);
  });

  test("a surplus argument is refused", () => {
    const one = { ...signature, positionals: signature.positionals.slice(0, 1) };
    expect(failure(() => readArguments(["m", "n"], one, testIo())).message).toContain('does not take "n"');
  });

  test("--no-json switches off what the environment switched on", () => {
    const io = testIo({ env: { COREMLX_JSON: "1" } });
    expect(read(["m"], io).values["json"]).toBe(true);
    expect(read(["m", "--no-json"], io).values["json"]).toBe(false);
    expect(read(["m"], testIo({ env: { COREMLX_JSON: "off" } })).values["json"]).toBe(false);
    expect(failure(() => read(["m"], testIo({ env: { COREMLX_JSON: "maybe" } }))).message).toContain(
      "COREMLX_JSON",
    );
  });
});

describe("where a setting comes from", () => {
  test("flag, environment, project file, user file, default: in this order", () => {
    using folder = tempFolder();
    const home = join(folder.path, "home");
    mkdirSync(join(home, "coremlx"), { recursive: true });
    writeFileSync(join(home, "coremlx", "config.toml"), 'seed = "1"\noutput-dir = "mine"\n');
    const withUser = testIo({ cwd: folder.path, env: { XDG_CONFIG_HOME: home } });
    expect(read(["m"], withUser)).toMatchObject({
      values: { seed: "1", "output-dir": "mine" },
      origins: { seed: "user file", "output-dir": "user file" },
    });
    writeFileSync(join(folder.path, "coremlx.toml"), "seed = 3\n[infer]\nseed = 2\n[inspect]\nops = true\n");
    expect(read(["m"], withUser)).toMatchObject({ values: { seed: "2" }, origins: { seed: "project file" } });
    const withVariable = testIo({ cwd: folder.path, env: { XDG_CONFIG_HOME: home, COREMLX_SEED: "4" } });
    expect(read(["m"], withVariable)).toMatchObject({
      values: { seed: "4" },
      origins: { seed: "environment" },
    });
    expect(read(["m", "--seed", "5"], withVariable)).toMatchObject({ values: { seed: "5" } });
  });

  test("a project file may not set paths of ours", () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "coremlx.toml"), 'output-dir = "/tmp/x"\n');
    const error = failure(() => read(["m"], testIo({ cwd: folder.path })));
    expect(error.message).toContain('"output-dir" from coremlx.toml');
  });

  test("a project file may choose an engine, and no server that gets the inputs", () => {
    using folder = tempFolder();
    const choose = (engine: string) => {
      writeFileSync(join(folder.path, "coremlx.toml"), `engine = "${engine}"\n`);
      const withEngine = { ...signature, flags: engineFlags };
      return readArguments(["m"], withEngine, testIo({ cwd: folder.path }));
    };
    expect(choose("portable").values).toMatchObject({ engine: "portable" });
    expect(failure(() => choose("http://stranger:8000")).message).toContain('"engine" from coremlx.toml');
  });

  test("a damaged or oversized configuration names its file", () => {
    using folder = tempFolder();
    const path = join(folder.path, "coremlx.toml");
    writeFileSync(path, "seed = = 3");
    expect(failure(() => read(["m"], testIo({ cwd: folder.path }))).message).toContain(path);
    writeFileSync(path, `# ${"x".repeat(1_000_001)}`);
    expect(failure(() => read(["m"], testIo({ cwd: folder.path }))).message).toContain("more than 1000000");
  });

  test("a list where a string is due is refused", () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "coremlx.toml"), "seed = [1, 2]\n");
    expect(failure(() => read(["m"], testIo({ cwd: folder.path }))).message).toContain("must be a string");
    writeFileSync(join(folder.path, "coremlx.toml"), "input = [1, 2]\n");
    expect(failure(() => read(["m"], testIo({ cwd: folder.path }))).message).toContain("list of strings");
  });
});

describe("values of flags", () => {
  test("durations and sizes have units", () => {
    expect(["250ms", "5s", "1.5m", "1h"].map((text) => parseDuration(text, "timeout"))).toEqual([
      250, 5_000, 90_000, 3_600_000,
    ]);
    expect(["10MB", "1GiB", "4096", "1.5 kB"].map((text) => parseSize(text, "size"))).toEqual([
      10_000_000, 1_073_741_824, 4096, 1500,
    ]);
    for (const text of ["5", "s", "-1s", "5 days", "1e3s"]) {
      expect(failure(() => parseDuration(text, "timeout")).code).toBe("USAGE");
    }
    for (const text of ["", "MB", "-1", "5 XB"])
      expect(failure(() => parseSize(text, "size")).code).toBe("USAGE");
  });

  test("counts are whole numbers", () => {
    expect([parseCount("3", "top"), parseCount("0", "seed", 0)]).toEqual([3, 0]);
    for (const text of ["0", "-1", "1.5", "x", "99999999999999999999"]) {
      expect(failure(() => parseCount(text, "top")).message).toContain("--top");
    }
  });
});

test("a command hands its checked arguments on", async () => {
  const seen: unknown[] = [];
  const greet = command({
    meta: { name: "greet", description: "says hello" },
    positionals: [{ name: "NAME", description: "who", isRequired: true }],
    flags: { loud: { type: "boolean", description: "" } },
    examples: ["coremlx greet you"],
    async run({ flags, positionals }) {
      seen.push(flags.loud, flags.color, positionals);
    },
  });
  await greet.run(["you", "--loud"], testIo());
  expect(seen).toEqual([true, "auto", ["you"]]);
});
