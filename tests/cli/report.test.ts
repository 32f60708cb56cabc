// coremlx report, from outside.

import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type ExpectedFailure, expectFailure, run } from "../support/program.ts";
import { soakResult } from "../support/soak-result.ts";
import { tempFolder } from "../support/temp.ts";

const example = resolve(import.meta.dir, "../../examples/digits/bench.json");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

describe("report", () => {
  test("writes a page beside the file, and says so", async () => {
    copyFileSync(example, join(folder.path, "mine.json"));
    const { code, stdout } = await run(["report", "mine.json"], { cwd: folder.path });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^mine\.html {2}\d+\.\d kB\n$/);
    const page = readFileSync(join(folder.path, "mine.html"), "utf8");
    expect(page).toContain("<title>Bench of Digits.mlpackage</title>");
  });

  test("writes Markdown that shows the charts written with it, and says what it wrote", async () => {
    const cwd = join(folder.path, "md");
    mkdirSync(cwd);
    const args = ["report", example, "-o", "out.md", "--svg", "charts", "--json"];
    const { stdout } = await run(args, { cwd });
    const written = JSON.parse(stdout);
    const text = readFileSync(join(cwd, "out.md"), "utf8");
    const shown = [...text.matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)].map(([, path = ""]) => join(cwd, path));
    expect(written).toEqual({
      schemaVersion: 1,
      kind: "report",
      of: "bench",
      file: join(cwd, "out.md"),
      format: "md",
      bytes: Buffer.byteLength(text),
      charts: shown,
    });
    expect(
      readdirSync(join(cwd, "charts"))
        .map((name) => join(cwd, "charts", name))
        .toSorted(),
    ).toEqual(shown.toSorted());
  });

  test("reads the standard input, and then writes to the standard output", async () => {
    const { code, stdout } = await run(["report", "-", "--format", "md"], {
      stdin: readFileSync(example, "utf8"),
    });
    expect({ code, head: stdout.slice(0, 27) }).toEqual({ code: 0, head: "# Bench of Digits.mlpackage" });
  });

  test("takes the folder of a soak for its result", async () => {
    const soak = join(folder.path, "soak");
    mkdirSync(soak);
    await expectFailure(["report", soak], {
      exit: 4,
      code: "BAD_INPUT",
      message: /the folder has no result\.json$/,
      hint: "Name a result file, or the folder of a soak that has come to its end",
    });
    writeFileSync(join(soak, "result.json"), JSON.stringify(soakResult));
    expect((await run(["report", soak])).code).toBe(0);
    expect(existsSync(join(soak, "result.html"))).toBe(true);
  });

  test.each<[readonly string[], ExpectedFailure]>([
    [
      ["nowhere.json"],
      {
        exit: 4,
        code: "BAD_INPUT",
        message: 'Cannot read "nowhere.json": there is no such file or folder',
        hint: undefined,
      },
    ],
    [
      ["examples/digits/expected.json"],
      {
        exit: 4,
        code: "BAD_INPUT",
        message: 'Cannot make a report of "examples/digits/expected.json": it has no "kind"',
        hint: /^A report is made from what .* print with --json$/,
      },
    ],
    [
      [example, "-o", "out.pdf"],
      {
        exit: 2,
        code: "USAGE",
        message: 'Cannot tell the form of "out.pdf" by its ending',
        hint: "Let it end in .html or .md, or give --format",
      },
    ],
    [
      [example, "-o", "-"],
      {
        exit: 2,
        code: "USAGE",
        message: "Cannot print both the report and --json on the standard output",
        hint: "Name a file with -o FILE, or leave --json away",
      },
    ],
  ])("%p fails, and says how to do better", async (args, expected) => {
    await expectFailure(["report", ...args], expected);
  });
});
