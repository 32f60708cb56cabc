import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { EmbeddedLibrary } from "../../../src/native/embedded.ts";
import { decompressLibrary, unpackLibrary } from "../../../src/native/library-cache.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { tempFolder } from "../../support/temp.ts";

// Never loaded here, so any bytes serve; a loaded file must not be spoiled under the process that uses it.
const source = Uint8Array.from({ length: 2_500_000 }, (_, i) => (i * i) % 251);
const sha256 = createHash("sha256").update(source).digest("hex");
const shelf = tempFolder();
afterAll(() => shelf[Symbol.dispose]());
const embedded: EmbeddedLibrary = {
  path: join(shelf.path, "library.zst"),
  name: "libsomething.so",
  sha256,
  byteLength: source.byteLength,
};
writeFileSync(embedded.path, zstdCompressSync(source));

const pathIn = (cacheDir: string) => join(cacheDir, "lib", sha256, embedded.name);
const modeOf = (path: string) => lstatSync(path).mode & 0o7777;
const digestOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

test("the library's own bytes come out", async () => {
  expect(
    createHash("sha256")
      .update(await decompressLibrary(embedded))
      .digest("hex"),
  ).toBe(sha256);
});

test("an intact file is left alone", async () => {
  using cache = tempFolder();
  const path = await unpackLibrary(embedded, cache.path);
  expect(path).toBe(pathIn(cache.path));
  const first = statSync(path).ino;
  expect(await unpackLibrary(embedded, cache.path)).toBe(path);
  expect(statSync(path).ino).toBe(first);
});

const spoiled: [string, (path: string, folder: string) => void][] = [
  ["has one byte changed", (path) => flipByte(path, 2_000_000)],
  ["is cut short", (path) => truncateSync(path, 1_000_000)],
  ["is longer", (path) => truncateSync(path, source.byteLength + 1)],
  ["is empty", (path) => truncateSync(path, 0)],
  ["can be written by others", (path) => chmodSync(path, 0o577)],
  ["has another name elsewhere", (path, folder) => linkSync(path, join(folder, "second-name"))],
  ["is a link to the right file", (path, folder) => moveAndLink(path, join(folder, "elsewhere.so"))],
  ["is a link to nothing", (path, folder) => moveAndLink(path, join(folder, "gone"), "missing")],
  ["is a FIFO", (path) => replaceByFifo(path)],
];
for (const [what, spoil] of spoiled) {
  test(`the library is unpacked again when the file ${what}`, async () => {
    using cache = tempFolder();
    const path = pathIn(cache.path);
    await unpackLibrary(embedded, cache.path);
    chmodSync(path, 0o700);
    spoil(path, cache.path);
    expect(await unpackLibrary(embedded, cache.path)).toBe(path);
    expect(lstatSync(path).isFile()).toBe(true);
    expect(lstatSync(path).nlink).toBe(1);
    expect(digestOf(path)).toBe(sha256);
    expect(modeOf(path)).toBe(0o500);
  });
}

test("nothing is written through a link in the file's place", async () => {
  using cache = tempFolder();
  const path = pathIn(cache.path);
  const victim = join(cache.path, "victim");
  writeFileSync(victim, "precious");
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  symlinkSync(victim, path);
  await unpackLibrary(embedded, cache.path);
  expect(readFileSync(victim, "utf8")).toBe("precious");
});

test("our own folders are tightened, and what a dead start left behind goes", async () => {
  using cache = tempFolder();
  const path = pathIn(cache.path);
  mkdirSync(dirname(path), { recursive: true });
  chmodSync(dirname(path), 0o775);
  chmodSync(dirname(dirname(path)), 0o755);
  for (const name of ["dead.tmp", "living.tmp"]) writeFileSync(join(dirname(path), name), "part");
  utimesSync(join(dirname(path), "dead.tmp"), 0, 0);
  await unpackLibrary(embedded, cache.path);
  expect([modeOf(dirname(path)), modeOf(dirname(dirname(path)))]).toEqual([0o700, 0o700]);
  expect(readdirSync(dirname(path)).sort()).toEqual(["libsomething.so", "living.tmp"]);
});

test("a damaged executable is an error", async () => {
  using cache = tempFolder();
  const damaged: [EmbeddedLibrary, RegExp][] = [
    [{ ...embedded, sha256: "0".repeat(64) }, /its digest is not the one it was built with$/],
    [{ ...embedded, byteLength: 1_000_000 }, /^Cannot unpack libsomething\.so: /], // more than it says
    [{ ...embedded, path: "/etc/passwd" }, /^Cannot unpack libsomething\.so: /], // no zstd at all
  ];
  for (const [library, message] of damaged) {
    expect(await rejectionOf(unpackLibrary(library, cache.path))).toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(message),
      hint: "Install coremlx again: the executable is damaged.",
    });
    expect(readdirSync(join(cache.path, "lib", library.sha256))).toEqual([]);
  }
});

test.if(process.geteuid?.() === 0)("a file of somebody else's is replaced", async () => {
  using cache = tempFolder();
  const path = await unpackLibrary(embedded, cache.path);
  chownSync(path, 12345, 12345);
  await unpackLibrary(embedded, cache.path);
  expect(statSync(path).uid).toBe(0);
});

function flipByte(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function moveAndLink(path: string, elsewhere: string, target = elsewhere): void {
  renameSync(path, elsewhere);
  symlinkSync(target, path);
}

function replaceByFifo(path: string): void {
  rmSync(path);
  const made = Bun.spawnSync(["mkfifo", path]);
  if (!made.success) throw new Error(`mkfifo ${basename(path)} failed`);
}
