import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OutputFolder, sweepOutputs } from "../../../../src/runtime/outputs/output-folder.ts";
import { errorOf } from "../../../support/codec-fixtures.ts";
import { tempFolder } from "../../../support/temp.ts";

function privateFolder() {
  const temp = tempFolder();
  const path = join(temp.path, "outputs");
  mkdirSync(path, { mode: 0o700 });
  return { path, [Symbol.dispose]: () => temp[Symbol.dispose]() };
}

/** A subfolder as a killed process leaves it. */
function leftover(folder: string, name: string, files: readonly string[]): string {
  const path = join(folder, name);
  mkdirSync(path, { mode: 0o700 });
  for (const file of files) writeFileSync(join(path, file), "x");
  return path;
}

describe("a claim", () => {
  test("is a subfolder with a lock, gone with all its files when it ends", () => {
    using folder = privateFolder();
    const claim = OutputFolder.claim(folder.path);
    expect(readdirSync(claim.path)).toEqual(["lock"]);
    writeFileSync(join(claim.path, "a.bin"), "x");
    symlinkSync("/nowhere", join(claim.path, "b.bin"));
    claim[Symbol.dispose]();
    claim[Symbol.dispose]();
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test("is safe from sweeps of its own process, beside others of it", () => {
    using folder = privateFolder();
    using first = OutputFolder.claim(folder.path);
    using second = OutputFolder.claim(folder.path);
    expect(sweepOutputs(folder.path)).toBe(0);
    expect([existsSync(first.path), existsSync(second.path)]).toEqual([true, true]);
  });

  test("listens for the end of the process only while it lives", () => {
    using folder = privateFolder();
    const before = process.listenerCount("exit");
    const claim = OutputFolder.claim(folder.path);
    expect(process.listenerCount("exit")).toBe(before + 1);
    claim[Symbol.dispose]();
    expect(process.listenerCount("exit")).toBe(before);
  });

  test("in a folder that cannot be made is an error", () => {
    expect(errorOf(() => OutputFolder.claim("/dev/null/outputs")).code).toBe("IO");
  });
});

describe("a sweep", () => {
  test("removes what dead processes left: with a lock, without one, or half removed", () => {
    using folder = privateFolder();
    leftover(folder.path, "123-0123456789abcdef", ["lock", "a.bin", ".b.bin"]);
    leftover(folder.path, "124-0123456789abcdef", []);
    leftover(folder.path, "125-0123456789abcdef", ["lock"]);
    symlinkSync("/proc/123/fd/4", join(folder.path, "123-0123456789abcdef", "c.bin"));
    expect(sweepOutputs(folder.path)).toBe(3);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test("follows no link out of the folder", () => {
    using folder = privateFolder();
    const victim = join(folder.path, "..", "victim");
    mkdirSync(victim);
    writeFileSync(join(victim, "lock"), "precious");
    writeFileSync(join(victim, "file"), "precious");
    symlinkSync(victim, join(folder.path, "123-0123456789abcdef"));
    const real = leftover(folder.path, "124-0123456789abcdef", ["lock"]);
    symlinkSync(join(victim, "file"), join(real, "a.bin"));
    expect(sweepOutputs(folder.path)).toBe(1);
    expect(readdirSync(victim).sort()).toEqual(["file", "lock"]);
  });

  test("leaves alone what does not look like ours", () => {
    using folder = privateFolder();
    leftover(folder.path, "notes", ["lock", "text"]);
    leftover(folder.path, "123-short", ["lock"]);
    writeFileSync(join(folder.path, "126-0123456789abcdef"), "a file");
    const odd = leftover(folder.path, "127-0123456789abcdef", ["lock"]);
    mkdirSync(join(odd, "subfolder"));
    const linked = leftover(folder.path, "128-0123456789abcdef", []);
    symlinkSync("/etc/passwd", join(linked, "lock"));
    expect(sweepOutputs(folder.path)).toBe(0);
    expect(readdirSync(folder.path).sort()).toEqual([
      "123-short",
      "126-0123456789abcdef",
      "127-0123456789abcdef",
      "128-0123456789abcdef",
      "notes",
    ]);
    expect(readdirSync(join(folder.path, "notes")).sort()).toEqual(["lock", "text"]);
  });

  test("of a folder that is not there finds nothing, and makes nothing", () => {
    using folder = privateFolder();
    rmSync(folder.path, { recursive: true });
    expect(sweepOutputs(folder.path)).toBe(0);
    expect(existsSync(folder.path)).toBe(false);
  });
});

test("processes that claim and sweep all at once lose nothing and leave nothing", async () => {
  using folder = privateFolder();
  const script = join(import.meta.dir, "../../../support/runtime/claim-and-sweep.ts");
  const losses = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const child = Bun.spawn([process.execPath, script, folder.path, "300"], { stdout: "pipe" });
      return (await new Response(child.stdout).text()) + (await child.exited);
    }),
  );
  expect(losses).toEqual(["00", "00", "00"]);
  expect(readdirSync(folder.path)).toEqual([]);
});
