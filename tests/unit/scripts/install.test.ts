import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { tempFolder } from "../../support/temp.ts";

const script = resolve(import.meta.dir, "../../../scripts/install.sh");
const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let places = 0;
const newFolder = () => {
  const path = join(temp.path, String(places++));
  mkdirSync(path);
  return path;
};

/** A program that starts, in an archive as a release has it. */
function release(text = "#!/bin/sh\necho coremlx 9.9.9\n") {
  const folder = newFolder();
  const archive = join(folder, "coremlx.tar.gz");
  writeFileSync(join(folder, "coremlx"), text);
  chmodSync(join(folder, "coremlx"), 0o755);
  writeFileSync(join(folder, "other"), "not asked for");
  Bun.spawnSync(["tar", "-czf", archive, "-C", folder, "coremlx", "other"]);
  const digest = createHash("sha256").update(readFileSync(archive)).digest("hex");
  return { folder, archive, digest };
}

function install(...args: readonly string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", script, ...args]);
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe("an archive", () => {
  test("is installed where it is asked for, with nothing else of what it holds", () => {
    const { archive, digest } = release();
    writeFileSync(`${archive}.sha256`, `${digest}  coremlx.tar.gz\n`);
    const to = join(newFolder(), "new/bin");
    expect(install(archive, to)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`installed ${to}/coremlx`),
    });
    expect(readdirSync(to)).toEqual(["coremlx"]);
    expect(statSync(join(to, "coremlx")).mode & 0o777).toBe(0o755);
  });

  test("takes the place of a program that runs, which goes on with its own file", () => {
    const to = newFolder();
    const path = join(to, "coremlx");
    writeFileSync(path, "#!/bin/sh\necho old\n", { mode: 0o755 });
    const before = statSync(path).ino;
    expect(install(release().archive, to).code).toBe(0);
    expect(statSync(path).ino).not.toBe(before);
    expect(readFileSync(path, "utf8")).toContain("9.9.9");
  });

  test("that is not what its digest says is refused, and nothing is installed", () => {
    const { archive } = release();
    writeFileSync(`${archive}.sha256`, `${"0".repeat(64)}  coremlx.tar.gz\n`);
    const to = newFolder();
    expect(install(archive, to)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("its SHA-256 is"),
    });
    expect(readdirSync(to)).toEqual([]);
  });

  test("whose program is a link is refused", () => {
    const folder = newFolder();
    symlinkSync("/bin/sh", join(folder, "coremlx"));
    const archive = join(folder, "coremlx.tar.gz");
    Bun.spawnSync(["tar", "-czf", archive, "-C", folder, "coremlx"]);
    const to = newFolder();
    expect(install(archive, to)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("no executable in it"),
    });
    expect(readdirSync(to)).toEqual([]);
  });
});

test("a program that does not start here leaves the old one where it was", () => {
  const to = newFolder();
  writeFileSync(join(to, "coremlx"), "old");
  expect(install(release("#!/bin/sh\nexit 1\n").archive, to)).toMatchObject({ code: 5 });
  expect(readFileSync(join(to, "coremlx"), "utf8")).toBe("old");
  expect(readdirSync(to)).toEqual(["coremlx"]);
});

test.each([
  [[], 2],
  [["a", "b", "c"], 2],
  [["http://example.org/coremlx.tar.gz"], 2],
  [["/nonexistent/coremlx.tar.gz"], 4],
])("%p ends with %i", (args, code) => {
  const to = join(temp.path, "untouched");
  expect(install(...args, ...(args.length === 1 ? [to] : [])).code).toBe(code);
  expect(existsSync(to)).toBe(false);
});
