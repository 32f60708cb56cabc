// coremlx serve as a process: what it says, that it answers, how it ends.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
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
