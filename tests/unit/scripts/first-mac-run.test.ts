import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import packageJson from "../../../package.json" with { type: "json" };
import { commands } from "../../../src/cli/program.ts";
import { tempFolder } from "../../support/temp.ts";

const root = resolve(import.meta.dir, "../../..");
const script = join(root, "scripts/first-mac-run.sh");

test("each claim's command is run, and the report says what held and what did not", () => {
  using folder = tempFolder();
  const claims = join(folder.path, "claims.md");
  const out = join(folder.path, "out");
  writeFileSync(
    claims,
    `# Claims

| what | how | command | prints |
|---|---|---|---|
| a sum | by expr | \`expr 2 + 2\` | \`4\` |
| an exit code | by false | \`false\` | passes |
| another word | by echo | \`echo one; echo "two words" >&2\` | \`three\` |
| both streams | by echo | \`echo one; echo "two words" >&2\` | \`two words\` |
| a reader of the list | by cat | \`cat\` | passes |
| no command | at all | nothing provokes it | passes |
`,
  );
  const done = Bun.spawnSync(["sh", script, "--claims", claims, "--out", out]);
  expect(done.exitCode).toBe(1);
  const lines = done.stdout
    .toString()
    .replaceAll(/ \(\d+ s\)/g, "")
    .trimEnd()
    .split("\n");
  expect(lines).toEqual([
    "a sum … holds",
    "an exit code … failed: exit code 1",
    'another word … failed: it does not print "three"',
    "both streams … holds",
    "a reader of the list … holds",
    `3 held, 2 failed: ${out}/report.md`,
  ]);
  const report = readFileSync(join(out, "report.md"), "utf8");
  expect(report).toContain("## 1. a sum: holds\n\n`expr 2 + 2`");
  expect(report).toContain("````\none\ntwo words\n````");
  expect(report).toEndWith("\n3 held, 2 failed\n");
});

test("a list without commands is refused, and so is what only a Mac can show elsewhere", () => {
  using folder = tempFolder();
  const claims = join(folder.path, "claims.md");
  writeFileSync(claims, "# Nothing\n");
  const run = (...args: string[]) => Bun.spawnSync(["sh", script, ...args]).exitCode;
  expect(run("--claims", claims, "--out", folder.path)).toBe(1);
  expect(run("--nonsense")).toBe(2);
  if (process.platform !== "darwin") expect(run()).toBe(5);
});

// What docs/not-yet-on-a-mac.md tells to run must be there to be run.
const page = readFileSync(join(root, "docs/not-yet-on-a-mac.md"), "utf8");
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| what "))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| /, "").replace(/ \|$/, "").trim()));
const swiftTests = [...new Glob("swift/Tests/**/*.swift").scanSync(root)]
  .map((path) => readFileSync(join(root, path), "utf8"))
  .join("\n");

test("the list of claims is there", () => {
  expect(rows.length).toBeGreaterThan(20);
});

test.each(rows.map((cells) => [cells[0] ?? "", cells] as const))("claim: %s", (_what, cells) => {
  const [, , cell = "", prints = ""] = cells;
  expect(cells).toHaveLength(4);
  expect(prints).toMatch(/^(`[^`]+`|passes)$/);
  const command = /^`([^`]+)`$/.exec(cell)?.[1] ?? "";
  const [program = "", verb = "", ...args] = command.split(" ");
  expect(["swift", "bun", "codesign", "coremlx", "sh"]).toContain(program);
  if (program === "bun" && verb === "run") expect(Object.keys(packageJson.scripts)).toContain(args[0] ?? "");
  if (program === "coremlx") expect(Object.keys(commands)).toContain(verb);
  if (args[0] === "--filter") expect(swiftTests.includes(`func ${args[1]}`)).toBe(true);
  const files = [verb, ...args].filter((word) => /^(tests|scripts|examples)\//.test(word));
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});
