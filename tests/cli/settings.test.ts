// Settings from the environment and from configuration files, and what `coremlx config` says about them.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import {
  binaryPath,
  expectFailure,
  type ProgramOptions,
  run,
  runCommand,
  runJson,
} from "../support/program.ts";
import { tempFolder, type TempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const digit = resolve(import.meta.dir, "../../examples/digits/digit_7.png");

/** A working folder with a project file, and a home with a user file. */
function settle(
  project: string,
  user = "",
): TempFolder & { readonly options: Required<Pick<ProgramOptions, "cwd" | "env">> } {
  const folder = tempFolder();
  const home = join(folder.path, "config");
  mkdirSync(join(home, "coremlx"), { recursive: true });
  writeFileSync(join(folder.path, "coremlx.toml"), project);
  writeFileSync(join(home, "coremlx/config.toml"), user);
  return { ...folder, options: { cwd: folder.path, env: { XDG_CONFIG_HOME: home } } };
}

describe("a setting", () => {
  test.concurrent("from the environment, a project file and a user file counts in this order", async () => {
    using place = settle("[infer]\ntop = 2\n", "top = 3\nquiet = true\n");
    const shown = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
      const options = { ...place.options, env: { ...place.options.env, ...env } };
      const { code, stdout, stderr } = await run(["infer", digitsPackage, ...args], options);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" }); // quiet, by the user file
      return Number(/… (\d+) more/.exec(stdout)?.[1]);
    };
    expect(await shown(["--top", "5"], { COREMLX_TOP: "4" })).toBe(5);
    expect(await shown([], { COREMLX_TOP: "4" })).toBe(6);
    expect(await shown([], { COREMLX_TOP: "" })).toBe(8);
  });

  test.concurrent("of the environment may be any flag", async () => {
    using place = settle("");
    const env = { COREMLX_OUTPUT_DIR: join(place.path, "out"), COREMLX_JSON: "1", COREMLX_FIT: "crop" };
    const { code, stdout } = await run(["infer", digitsPackage, digit], { env });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toHaveProperty("outputs.classLabel", "7");
    expect(await Bun.file(join(place.path, "out/outputs.json")).json()).toHaveProperty("classLabel", "7");
  });

  test.concurrent("that is wrong names its place", async () => {
    using place = settle("");
    await expectFailure(
      ["infer", digitsPackage],
      {
        exit: 2,
        code: "USAGE",
        message: 'Cannot use "device" from COREMLX_DEVICE: "tpu" is not one of auto, cpu, gpu, ane, all',
        hint: /^Did you mean|^The choices are/,
      },
      { ...place.options, env: { COREMLX_DEVICE: "tpu" } },
    );
  });
});

describe("a project file, which may come with somebody's model", () => {
  test.concurrent.each(["output-dir", "output", "cache-dir", "onnxruntime", "coreml"])(
    "cannot set %s",
    async (key) => {
      using place = settle(`${key} = "/tmp/x"\n`);
      await expectFailure(
        ["infer", digitsPackage],
        {
          exit: 2,
          code: "USAGE",
          message: `Cannot use "${key}" from coremlx.toml: a project file may not set it`,
          hint: `Use --${key}, COREMLX_${key.toUpperCase().replaceAll("-", "_")} or your own configuration file`,
        },
        place.options,
      );
    },
  );

  test.concurrent("with a setting that its command does not have is refused, with the one that was meant", async () => {
    using place = settle('[infer]\ntimeuot = "1s"\n');
    await expectFailure(
      ["infer", digitsPackage],
      {
        exit: 2,
        code: "USAGE",
        message: `Unknown setting "timeuot" in [infer] of ${join(place.path, "coremlx.toml")}`,
        hint: 'Did you mean "timeout"?',
      },
      place.options,
    );
  });

  test.concurrent("that is damaged is named, and --json still gives a document", async () => {
    using place = settle("top = = 3\n");
    await expectFailure(
      ["inspect", digitsPackage],
      {
        exit: 2,
        code: "USAGE",
        message: new RegExp(`^Cannot read ${join(place.path, "coremlx.toml")}: `),
        hint: undefined,
      },
      place.options,
    );
  });

  test.concurrent("that is a pipe does not hold anything up", async () => {
    using folder = tempFolder();
    await runCommand(["mkfifo", join(folder.path, "coremlx.toml")]);
    await expectFailure(
      ["inspect", digitsPackage],
      { exit: 2, code: "USAGE", message: /coremlx.toml: it is not a regular file$/, hint: undefined },
      { cwd: folder.path },
    );
  });
});

// From source, Bun itself reads these files before us: only the executable can keep the promise.
test.skipIf(binaryPath === undefined)("Bun's own files in the working folder are nothing to us", async () => {
  using folder = tempFolder();
  const trap = join(folder.path, "ran");
  writeFileSync(join(folder.path, "bunfig.toml"), 'preload = ["./trap.ts"]\n');
  writeFileSync(
    join(folder.path, "trap.ts"),
    `require("node:fs").writeFileSync(${JSON.stringify(trap)}, "");`,
  );
  writeFileSync(join(folder.path, ".env"), "COREMLX_TOP=nonsense\n");
  for (const name of ["package.json", "tsconfig.json"]) writeFileSync(join(folder.path, name), "{ broken");
  const { code, stderr } = await run(["infer", digitsPackage, digit], { cwd: folder.path });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(await Bun.file(trap).exists()).toBe(false);
});

describe("coremlx config", () => {
  test.concurrent("says what is in force and why", async () => {
    using place = settle("[infer]\nseed = 2\n[inspect]\nops = true\n", 'device = "cpu"\n');
    const options = { ...place.options, env: { ...place.options.env, COREMLX_TOP: "4" } };
    const document = await runJson(["config"], options);
    const settings = Object.values(Object(document["settings"]));
    expect(document).toMatchObject({
      schemaVersion: 1,
      command: "infer",
      files: {
        project: join(place.path, "coremlx.toml"),
        user: join(place.path, "config/coremlx/config.toml"),
      },
    });
    expect(settings).toContainEqual({
      key: "seed",
      value: "2",
      origin: "project file",
      variable: "COREMLX_SEED",
    });
    expect(settings).toContainEqual({
      key: "device",
      value: "cpu",
      origin: "user file",
      variable: "COREMLX_DEVICE",
    });
    expect(settings).toContainEqual({
      key: "top",
      value: "4",
      origin: "environment",
      variable: "COREMLX_TOP",
    });
    expect(settings).toContainEqual({
      key: "fit",
      value: "stretch",
      origin: "default",
      variable: "COREMLX_FIT",
    });
    const { stdout } = await run(["config", "inspect"], options);
    expect(stdout).toMatch(/^ops +true +project file +COREMLX_OPS$/m);
  });

  test.concurrent("names keys at the top of a file that no command knows", async () => {
    using place = settle('timeuot = "1s"\nops = true\n[infr]\ntop = 1\n');
    const { code, stderr } = await run(["config"], place.options);
    const file = join(place.path, "coremlx.toml");
    expect(code).toBe(0);
    expect(stderr).toBe(
      `warn: ${file}: no command has a setting "timeuot"; did you mean "timeout"?\n` +
        `warn: ${file}: there is no command "infr"; did you mean "infer"?\n`,
    );
  });
});
