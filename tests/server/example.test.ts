// The command lines that the server shows are copied into a shell, and work.

import { afterAll, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { describeCurl, describePictureCurl } from "../../src/server/example.ts";
import { digitsPackage } from "../support/digits.ts";
import { runCommand } from "../support/program.ts";
import { writeHalfModel, writeSumModel } from "../support/program-models.ts";
import { serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const served = await serveModels([
  { name: "digits", path: digitsPackage },
  { name: "sum", path: writeSumModel(join(folder.path, "sum.mlpackage")) },
  { name: "half", path: writeHalfModel(join(folder.path, "half.mlpackage")) },
]);
afterAll(() => served[Symbol.asyncDispose]());

test.each([
  ["digits", { outputs: [{ name: "classLabel", data: ["1"] }, {}, {}] }], // what the model takes zeros for
  ["sum", { outputs: [{ name: "sum", shape: [2, 3], data: [0, 0, 0, 0, 0, 0] }] }],
  ["half", { outputs: [{ name: "y", shape: [4], data: [0, 0, 0, 0] }] }],
])("the line for %s is answered", async (name, expected) => {
  const line = describeCurl(served.server.repository.find(name, undefined), served.url);
  const { code, stdout, stderr } = await runCommand(["sh", "-c", line]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({ model_name: name, ...expected });
});

test("the line for a picture file is answered", async () => {
  const line = describePictureCurl(served.server.repository.find("digits", undefined), served.url) ?? "";
  const picture = resolve(import.meta.dir, "../../examples/digits/digit_4.png");
  const { code, stdout } = await runCommand(["sh", "-c", line.replace("FILE.png", picture)]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ outputs: [{ name: "classLabel", data: ["4"] }, {}, {}] });
});

test("there is no such line for a model that takes no picture", () => {
  expect(describePictureCurl(served.server.repository.find("sum", undefined), served.url)).toBeUndefined();
});
