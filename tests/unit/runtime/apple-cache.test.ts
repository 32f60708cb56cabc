import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findAppleCache, pruneAppleCache } from "../../../src/runtime/apple-cache.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { tempFolder } from "../../support/temp.ts";

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let homes = 0;

/** The home of a Mac's user, with a cache of Core ML's for two programs. */
function newMac() {
  const home = join(temp.path, String(homes++));
  const folder = (program: string) => join(home, "Library/Caches", program, "com.apple.e5rt.e5bundlecache");
  for (const program of ["coremlx", "other"]) {
    mkdirSync(join(folder(program), "25A123/abc"), { recursive: true });
    writeFileSync(join(folder(program), "25A123/abc/model.hwx"), new Uint8Array(3_000));
    writeFileSync(join(folder(program), "25A123/list"), new Uint8Array(500));
  }
  return { owner: { platform: "darwin", home, program: "coremlx" }, folder };
}

test("Core ML's cache for this program is found and measured; links count nothing of what they point to", () => {
  const { owner, folder } = newMac();
  expect(findAppleCache(owner)).toEqual({ folder: folder("coremlx"), bytes: 3_500 });
  symlinkSync("/usr", join(folder("coremlx"), "25A123/usr"));
  expect(findAppleCache(owner)?.bytes).toBe(3_500 + "/usr".length);
});

test("it is removed whole, and no other program's is", () => {
  const { owner, folder } = newMac();
  expect(pruneAppleCache(owner)).toEqual({ folder: folder("coremlx"), bytes: 3_500 });
  expect([existsSync(folder("coremlx")), existsSync(folder("other"))]).toEqual([false, true]);
  expect(existsSync(join(folder("coremlx"), ".."))).toBe(true);
  expect(pruneAppleCache(owner).bytes).toBe(0);
});

test("there is none but on a Mac, and none can be pruned", async () => {
  const { owner, folder } = newMac();
  const linux = { ...owner, platform: "linux" };
  expect(findAppleCache(linux)).toBeUndefined();
  expect(await rejectionOf(Promise.try(() => pruneAppleCache(linux)))).toMatchObject({
    code: "UNSUPPORTED",
    message: "Cannot prune Core ML's own cache: there is none, this is no Mac",
    hint: "Leave --apple out to prune the cache of coremlx",
  });
  expect(existsSync(folder("coremlx"))).toBe(true);
});
