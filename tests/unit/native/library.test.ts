import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import type { EmbeddedLibrary } from "../../../src/native/embedded.ts";
import type { LogFields } from "../../../src/core/telemetry.ts";
import { embeddedNotices, embeddedOnnxRuntime } from "../../../src/native/embedded.ts";
import { findOnnxRuntime, locateOnnxRuntime } from "../../../src/native/library.ts";
import { libraryPath, testFile } from "../../support/onnxruntime.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { tempFolder } from "../../support/temp.ts";

const linux = process.platform === "linux";
const isRoot = process.geteuid?.() === 0;
const source = readFileSync(await libraryPath());
const sha256 = createHash("sha256").update(source).digest("hex");

// What the executable carries, compressed lightly so that the tests start soon.
const shelf = tempFolder();
afterAll(() => shelf[Symbol.dispose]());
const embedded: EmbeddedLibrary = {
  path: join(shelf.path, "onnxruntime.zst"),
  name: "libonnxruntime.so",
  sha256,
  byteLength: source.byteLength,
};
writeFileSync(
  embedded.path,
  zstdCompressSync(source, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
);

async function find(cacheDir: string, library: EmbeddedLibrary = embedded) {
  const warnings: string[] = [];
  const telemetry = {
    log: (_level: string, _event: string, fields?: LogFields) =>
      void warnings.push(String(fields?.["reason"])),
  };
  return { ...(await findOnnxRuntime({ cacheDir, embedded: library, telemetry })), warnings };
}

const pathIn = (cacheDir: string) => join(cacheDir, "lib", sha256, "libonnxruntime.so");
const modeOf = (path: string) => lstatSync(path).mode & 0o7777;
const digestOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

describe("a library of the caller's", () => {
  test("is used from where it is", async () => {
    const path = await libraryPath();
    const found = await findOnnxRuntime({ path, cacheDir: "/nowhere", embedded });
    expect(found).toEqual({ path, source: "option" });
  });

  test("must be a file", async () => {
    for (const path of ["/no/such/lib.so", shelf.path, "libc.so.6"]) {
      expect(await rejectionOf(findOnnxRuntime({ path, cacheDir: "/nowhere" }))).toMatchObject({
        code: "BAD_INPUT",
        message: `Cannot use "${path}" as ONNX Runtime: no such file`,
      });
    }
  });

  test("must be a library", async () => {
    expect(await rejectionOf(findOnnxRuntime({ path: embedded.path, cacheDir: "/nowhere" }))).toMatchObject({
      code: "NATIVE",
      message: expect.stringMatching(/^Cannot load .*onnxruntime\.zst: /),
    });
  });
});

describe("in the source tree", () => {
  test("nothing is embedded, and the development package serves", async () => {
    expect(embeddedOnnxRuntime).toBeUndefined();
    expect(embeddedNotices).toEqual([]);
    const found = await findOnnxRuntime({ cacheDir: "/nowhere" });
    expect(found.source).toBe("package");
    expect(found.path).toContain(`/onnxruntime-node/bin/napi-v6/${process.platform}/${process.arch}/`);
    expect(await locateOnnxRuntime({ cacheDir: "/nowhere" })).toBe(found.path);
  });

  test("a missing package is named, with what to do", async () => {
    expect(await rejectionOf(findOnnxRuntime({ cacheDir: "/nowhere", from: shelf.path }))).toMatchObject({
      code: "UNSUPPORTED",
      hint: 'Run "bun install", or name a libonnxruntime of your own.',
    });
  });
});

describe("an embedded library", () => {
  test("is unpacked once, for us alone, and used again", async () => {
    using cache = tempFolder();
    const path = pathIn(cache.path);
    expect(await find(cache.path)).toEqual({ path, source: "cache", warnings: [] });
    expect(digestOf(path)).toBe(sha256);
    expect([dirname(dirname(path)), dirname(path), path].map(modeOf)).toEqual([0o700, 0o700, 0o500]);
    const first = statSync(path).ino;
    expect(await find(cache.path)).toEqual({ path, source: "cache", warnings: [] });
    expect(statSync(path).ino).toBe(first);
    expect(readdirSync(dirname(path))).toEqual(["libonnxruntime.so"]);
  });

  test("makes its cache folder", async () => {
    using cache = tempFolder();
    const deep = join(cache.path, "a/b");
    expect(await find(deep)).toEqual({ path: pathIn(deep), source: "cache", warnings: [] });
    expect(modeOf(deep)).toBe(0o700);
  });

  test("is found through a link that leads to the cache folder itself", async () => {
    using cache = tempFolder();
    mkdirSync(join(cache.path, "real"));
    symlinkSync("real", join(cache.path, "link"));
    expect((await find(join(cache.path, "link"))).path).toBe(pathIn(join(cache.path, "real")));
  });

  test("that is damaged is an error, not a reason to run something else", async () => {
    using cache = tempFolder();
    expect(await rejectionOf(find(cache.path, { ...embedded, sha256: "0".repeat(64) }))).toMatchObject({
      code: "INTERNAL",
      message: "Cannot unpack libonnxruntime.so: its digest is not the one it was built with",
    });
  });

  test("is whole for four processes that start together", async () => {
    using cache = tempFolder();
    const started = Array.from({ length: 4 }, () => findElsewhere([], cache.path));
    for (const found of await Promise.all(started)) {
      expect(found).toMatchObject({ path: pathIn(cache.path), source: "cache", warnings: [] });
    }
    expect(readdirSync(dirname(pathIn(cache.path)))).toEqual(["libonnxruntime.so"]);
    expect(digestOf(pathIn(cache.path))).toBe(sha256);
  });
});

describe.if(linux)("an embedded library that no way can load", () => {
  test("is UNSUPPORTED, with the reason of each way", async () => {
    using cache = tempFolder();
    const text = Buffer.from("no machine code");
    const path = join(cache.path, "text.zst");
    writeFileSync(path, zstdCompressSync(text));
    const useless: EmbeddedLibrary = {
      path,
      name: "libtext.so",
      sha256: createHash("sha256").update(text).digest("hex"),
      byteLength: text.byteLength,
    };
    await rejectionOf(find(cache.path, useless)); // what the process opens once and keeps
    const openFiles = readdirSync("/proc/self/fd").length;
    expect(await rejectionOf(find(cache.path, useless))).toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(
        /^Cannot load the ONNX Runtime inside coremlx: .*libtext\.so.*; .*proc\/self/,
      ),
      hint: expect.stringContaining("a libonnxruntime of your own"),
      details: { reasons: [expect.any(String), expect.any(String)] },
    });
    expect(readdirSync("/proc/self/fd").length).toBe(openFiles);
  });
});

describe.if(linux)("without a folder to trust, an embedded library is loaded from memory", () => {
  const untrusted: [string, RegExp, (cacheDir: string) => void][] = [
    [
      "the digest's folder is a link",
      /Cannot use the folder .*: it is a link$/,
      (dir) => {
        mkdirSync(join(dir, "lib"));
        mkdirSync(join(dir, "theirs"));
        symlinkSync(join(dir, "theirs"), join(dir, "lib", sha256));
      },
    ],
    [
      "the folder above is a link",
      /Cannot use the folder .*\/lib: it is a link$/,
      (dir) => {
        mkdirSync(join(dir, "theirs"));
        symlinkSync("theirs", join(dir, "lib"));
      },
    ],
    [
      "the folder is a file",
      /Cannot use the folder .*\/lib: it is no folder$/,
      (dir) => writeFileSync(join(dir, "lib"), ""),
    ],
    ["everybody may write to the cache folder", /everybody may write to .*$/, (dir) => chmodSync(dir, 0o777)],
  ];
  for (const [what, warning, prepare] of untrusted) {
    test(what, async () => {
      using cache = tempFolder();
      prepare(cache.path);
      const found = await find(cache.path);
      expect(found.source).toBe("memory");
      expect(found.warnings).toEqual([expect.stringMatching(warning)]);
      expect(digestOf(found.path)).toBe(sha256);
    });
  }

  test("the cache folder cannot be made", async () => {
    using cache = tempFolder();
    writeFileSync(join(cache.path, "file"), "");
    const found = await find(join(cache.path, "file/cache"));
    expect(found).toMatchObject({ source: "memory", warnings: [expect.stringMatching(/: ENOTDIR$/)] });
  });

  test.if(isRoot)("the folder belongs to somebody else", async () => {
    for (const inside of ["", "lib", join("lib", sha256)]) {
      using cache = tempFolder();
      mkdirSync(join(cache.path, "lib", sha256), { recursive: true });
      chownSync(join(cache.path, inside), 12345, 12345);
      const found = await find(cache.path);
      expect(found.source).toBe("memory");
      expect(found.warnings).toEqual([expect.stringMatching(/belongs to user 12345$/)]);
    }
  });
});

// Needs mounts of one's own: as root, or as a user where the system allows user namespaces.
const canMount = linux && Bun.spawnSync(mounting("ro", shelf.path, ["true"])).success;
if (!canMount)
  process.stderr.write("Not tested: read-only and noexec caches, for want of the right to mount\n");

describe.if(canMount)("on a file system of another kind, an embedded library is loaded from memory", () => {
  const cases: [string, string, RegExp][] = [
    ["read-only", "ro", /: EROFS$/],
    ["noexec", "noexec,mode=700", /^Cannot load .*: failed to map segment/],
    ["too small", "size=1m,mode=700", /: ENOSPC$/],
  ];
  for (const [what, options, warning] of cases) {
    test(what, async () => {
      using cache = tempFolder();
      const found = await findElsewhere(mounting(options, cache.path, []), cache.path);
      expect(found).toMatchObject({ source: "memory", version: expect.stringMatching(/^1\.\d+\.\d+/) });
      expect(found["warnings"]).toEqual([expect.stringMatching(warning)]);
    });
  }
});

/** A command that runs another one with a fresh file system mounted at `folder`, seen by it alone. */
function mounting(options: string, folder: string, command: readonly string[]): string[] {
  const namespaces = isRoot ? "-m" : "-rm";
  const script = `mount -t tmpfs -o ${options} none ${folder} && exec "$@"`;
  return ["unshare", namespaces, "sh", "-c", script, "sh", ...command];
}

async function findElsewhere(prefix: readonly string[], cacheDir: string): Promise<Record<string, unknown>> {
  const request = JSON.stringify({ cacheDir, embedded });
  const command = [...prefix, process.execPath, testFile("support/native/find-library.ts"), request];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  return (await new Response(child.stdout).json()) as Record<string, unknown>;
}
