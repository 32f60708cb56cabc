// coremlx serve as a process: what it says, that it answers, how it ends.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import { writeIntegerModel, writeSumModel } from "../support/program-models.ts";
import { expectFailure, run, runJson, start } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const work = join(folder.path, "work");
const empty = join(folder.path, "empty");
for (const path of [work, empty]) mkdirSync(path);
writeSumModel(join(work, "sum.mlpackage"));
const twice = writeIntegerModel(join(work, "twice.mlpackage"));

test("says where it listens, answers there, and ends by a signal with 0", async () => {
  const program = start(["serve", `mnist=${digitsPackage}`, "--port", "0", "--verbose"]);
  const [url = ""] = await program.finds(/listening url=(\S+)/);
  const answer = await fetch(`${url}v2/models/mnist/ready`);
  expect({ status: answer.status, json: await answer.json() }).toEqual({
    status: 200,
    json: { name: "mnist", ready: true },
  });
  const page = await fetch(url);
  expect([page.status, await page.text()]).toEqual([200, expect.stringContaining("<title>coremlx</title>")]);
  program.signal("SIGTERM");
  const { code, stdout } = await program.result;
  expect(code).toBe(0);
  expect(stdout).toStartWith(`Serving 1 model on ${url}\n\n  mnist  image UINT8 [28, 28] → `);
});

test("without arguments serves every model of the folder", async () => {
  const { models } = await runJson(["serve", "--check", "--port", "0"], { cwd: work });
  expect(models).toEqual([
    { name: "sum", version: "1" },
    { name: "twice", version: "1" },
  ]);
});

test("in a folder without models serves none, and says how to", async () => {
  const { code, stdout } = await run(["serve", "--check", "--port", "0"], { cwd: empty });
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^Serving 0 models on http:\/\/127\.0\.0\.1:\d+\/\n\nThere is none here yet: coremlx serve MODEL\n$/,
  );
});

test("two models of one name are refused", async () => {
  await expectFailure(["serve", twice, `twice=${digitsPackage}`], {
    exit: 2,
    code: "USAGE",
    message: 'Cannot serve two models as "twice"',
    hint: "Give one of them another name: NAME=MODEL",
  });
});

const key = "0123456789abcdef-a-key-for-tests";

test("an address that others can reach needs keys, or somebody who says that it does not", async () => {
  await expectFailure(["serve", twice, "--host", "0.0.0.0"], {
    exit: 2,
    code: "USAGE",
    message: 'Cannot listen on "0.0.0.0" without keys: other machines could reach it, and anybody may call',
    hint: "Give --api-key-file, or --insecure where something else keeps others out",
  });
  const insecure = ["serve", twice, "--host", "0.0.0.0", "--port", "0", "--insecure", "--check"];
  expect((await run(insecure)).code).toBe(0);
});

test("keys come from a file or the environment, and are not shown", async () => {
  const file = join(folder.path, "keys");
  writeFileSync(file, `${key} inference\n`);
  const start = ["serve", twice, "--host", "0.0.0.0", "--port", "0", "--check"];
  for (const place of [{ args: ["--api-key-file", file] }, { args: [], env: { COREMLX_API_KEY: key } }]) {
    const { code, stdout, stderr } = await run([...start, "--verbose", ...place.args], place);
    expect({ code, isSaid: stdout.includes("Try it, with a key: -H ") }).toEqual({ code: 0, isSaid: true });
    expect(stdout + stderr).not.toContain(key);
  }
  const shown = await run(["config", "serve", "--json"], { env: { COREMLX_API_KEY: key } });
  expect(shown.stdout).not.toContain(key);
  const { settings } = JSON.parse(shown.stdout);
  expect(settings.find((setting: { readonly key: string }) => setting.key === "api-key")).toEqual({
    key: "api-key",
    value: "(secret)",
    origin: "environment",
    variable: "COREMLX_API_KEY",
  });
});

test("groups without keys, and limits that are none, are refused", async () => {
  await expectFailure(["serve", twice, "--keyless-group", "metrics"], {
    exit: 2,
    code: "USAGE",
    message: "Option --keyless-group is for a server with keys: --api-key-file",
    hint: undefined,
  });
  await expectFailure(["serve", twice, "--limit", "maxBodyByte=1"], {
    exit: 2,
    code: "USAGE",
    message: 'Unknown limit "maxBodyByte"',
    hint: 'Did you mean "maxBodyBytes"?',
  });
  await expectFailure(["serve", twice, "--limit", "maxAxes=many"], {
    exit: 2,
    code: "USAGE",
    message: 'Cannot read --limit maxAxes "many": it must be a whole number of at least 1',
    hint: undefined,
  });
});

test.each([
  'api-key = "0123456789abcdef-a-key"',
  'api-key-file = "keys"',
  'keyless-group = "inference"',
  "insecure = true",
  'host = "0.0.0.0"',
  "port = 80",
  'unix = "x"',
  'allowed-host = "*"',
  'allowed-origin = "*"',
  'tls-key = "x"',
  'limit = "maxBodyBytes=1TiB"',
])("a project file, which may come with a model, cannot set %s", async (line) => {
  using place = tempFolder();
  for (const text of [line, `[serve]\n${line}`]) {
    writeFileSync(join(place.path, "coremlx.toml"), text);
    const { code, stderr } = await run(["serve", twice, "--port", "0", "--check"], { cwd: place.path });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining(`Cannot use "${line.split(" ")[0]}" from coremlx.toml`),
    });
  }
});
