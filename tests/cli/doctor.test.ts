import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, runJson } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

interface Row {
  readonly name: string;
  readonly status: string;
  readonly detail: string;
  readonly remedy?: string;
}

const rowsOf = (document: unknown): readonly Row[] => JSON.parse(JSON.stringify(document)).checks;

describe("doctor", () => {
  test("tries the engine, and says for a person what works", async () => {
    const { code, stdout } = await run(["doctor"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/ok +portable engine +ONNX Runtime 1\.27\.0, .*; a graph was run/);
    expect(stdout).toMatch(/missing +Core ML engine +it needs macOS/);
    expect(stdout).toMatch(/→ Use the portable engine/);
  });

  test("says the same for machines", async () => {
    const document = await runJson(["doctor", "--json"]);
    expect(document).toMatchObject({
      schemaVersion: 1,
      isUsable: true,
      host: { platform: "linux", arch: "x64" },
    });
    expect(rowsOf(document).map(({ name, status }) => [name, status])).toEqual([
      ["portable engine", "ok"],
      ["Core ML engine", "missing"],
      ["worker threads", "ok"],
      ["cache folder", expect.stringMatching(/ok|note/)],
      ["processor", "ok"],
    ]);
  });

  test("without a library that works ends with 5, with the reason and a remedy", async () => {
    using folder = tempFolder();
    const library = join(folder.path, "libonnxruntime.so");
    writeFileSync(library, "no library");
    const { code, stdout } = await run(["doctor", "--onnxruntime", library, "--json"]);
    expect(code).toBe(5);
    const [portable] = rowsOf(JSON.parse(stdout));
    expect(portable).toMatchObject({ name: "portable engine", status: "missing" });
  });

  test("a cache folder that cannot be used is a note, not a failure", async () => {
    using folder = tempFolder();
    const file = join(folder.path, "file");
    writeFileSync(file, "");
    const { code } = await run(["doctor", "--cache-dir", join(file, "cache"), "--json"]);
    expect(code).toBe(0);
  });
});
