import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
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
import { join } from "node:path";
import { type CoremlxError, messageOf } from "../../../../src/core/errors.ts";
import {
  type CompileCache,
  compileCacheFolder,
  type CompileCacheOptions,
  openCompileCache,
  tryOpenCompileCache,
} from "../../../../src/engines/cache.ts";
import { lockFile } from "../../../../src/native/kernel.ts";
import {
  bytesOf,
  folderOf,
  keyOf,
  origin,
  pretendUsed,
  put,
} from "../../../support/engines/cache-entries.ts";
import { tempFolder } from "../../../support/temp.ts";

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => join(temp.path, `cache-${folders++}`);
const open = (options: Partial<CompileCacheOptions> = {}) =>
  openCompileCache({ folder: newFolder(), ...options });

const isRoot = process.geteuid?.() === 0;
const nobody = 65_534;
/** Beyond what is hashed at every use. */
const large = 3 * 2 ** 20;

function read(cache: CompileCache, name: string, file: string): Uint8Array | undefined {
  using entry = cache.get(keyOf(name));
  return entry?.read(file);
}

function keysOf(cache: CompileCache): string[] {
  return cache
    .list()
    .entries.map(({ key }) => key)
    .toSorted();
}

describe("an entry", () => {
  test("gives back what was put under its key, and under no other", async () => {
    const cache = open();
    expect(cache.get(keyOf("a"))).toBeUndefined();
    expect(await put(cache, "a", { "plan.json": "{}", "0.bin": bytesOf(large, 3) })).toBe("entry");
    expect(read(cache, "a", "plan.json")).toEqual(new TextEncoder().encode("{}"));
    expect(read(cache, "a", "0.bin")).toEqual(bytesOf(large, 3));
    expect(cache.get(keyOf("b"))).toBeUndefined();
  });

  test("lists its files with sizes and digests, which another tool computes as well", async () => {
    const cache = open();
    await put(cache, "a", { "plan.json": "{}", "0.bin": bytesOf(1_000) });
    const manifest = JSON.parse(readFileSync(join(folderOf(cache, "a"), "manifest.json"), "utf8"));
    expect(manifest).toEqual({
      format: 1,
      key: keyOf("a"),
      createdEpochMs: 1_000,
      compileMs: 5,
      origin,
      files: [
        { name: "0.bin", bytes: 1_000, sha256: createHash("sha256").update(bytesOf(1_000)).digest("hex") },
        // echo -n '{}' | sha256sum
        {
          name: "plan.json",
          bytes: 2,
          sha256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        },
      ],
    });
  });

  test("is found by a cache that is opened later, and by another at the same time", async () => {
    const cache = open();
    const other = openCompileCache({ folder: cache.folder });
    await put(cache, "a", { "plan.json": "1" });
    expect(read(other, "a", "plan.json")).toBeDefined();
    expect(read(openCompileCache({ folder: cache.folder }), "a", "plan.json")).toBeDefined();
  });

  test("is private and read-only, and leaves no draft and no lock behind", async () => {
    const cache = open();
    await put(cache, "a", { "0.bin": bytesOf(10) });
    const mode = (path: string) => statSync(path).mode & 0o777;
    expect(mode(cache.folder)).toBe(0o700);
    expect(mode(folderOf(cache, "a"))).toBe(0o700);
    expect(mode(join(folderOf(cache, "a"), "0.bin"))).toBe(0o400);
    expect(readdirSync(folderOf(cache, "a")).toSorted()).toEqual(["0.bin", "manifest.json"]);
    expect(readdirSync(join(cache.folder, "drafts"))).toEqual([]);
    expect(readdirSync(join(cache.folder, "locks"))).toEqual(["publish"]);
  });

  test("may be let go twice", async () => {
    const cache = open();
    await put(cache, "a", { "0.bin": bytesOf(1) });
    const entry = cache.get(keyOf("a"));
    entry?.[Symbol.dispose]();
    entry?.[Symbol.dispose]();
    expect(cache.list().entries[0]?.isInUse).toBe(false);
  });

  test("that loses a file while it is held says so, and does not crash", async () => {
    const cache = open();
    await put(cache, "a", { "0.bin": bytesOf(large) });
    using entry = cache.get(keyOf("a"));
    truncateSync(join(folderOf(cache, "a"), "0.bin"), 100);
    expect(() => entry?.read("0.bin")).toThrow("the cache entry is damaged");
    rmSync(join(folderOf(cache, "a"), "0.bin"));
    expect(() => entry?.read("0.bin")).toThrow("the cache entry is damaged");
    expect(() => entry?.read("1.bin")).toThrow("the cache entry is damaged");
  });
});

/** Each ruins an entry in its own way. */
const damages: Readonly<Record<string, { ruin: (folder: string) => void; reason: string | RegExp }>> = {
  "weights cut short": {
    ruin: (folder) => truncateSync(join(folder, "0.bin"), 10),
    reason: `0.bin has 10 bytes, not ${large}`,
  },
  "weights that grew": {
    ruin: (folder) => truncateSync(join(folder, "0.bin"), large + 1),
    reason: `0.bin has ${large + 1} bytes, not ${large}`,
  },
  "empty weights": {
    ruin: (folder) => truncateSync(join(folder, "0.bin"), 0),
    reason: `0.bin has 0 bytes, not ${large}`,
  },
  "missing weights": { ruin: (folder) => rmSync(join(folder, "0.bin")), reason: "0.bin is missing" },
  "a changed byte in a small file": {
    ruin: (folder) => overwrite(join(folder, "plan.json"), "{ "),
    reason: "plan.json has other bytes than were written",
  },
  "no manifest": {
    ruin: (folder) => rmSync(join(folder, "manifest.json")),
    reason: "manifest.json is missing",
  },
  "an empty manifest": {
    ruin: (folder) => truncateSync(join(folder, "manifest.json"), 0),
    reason: "manifest.json makes no sense",
  },
  "a manifest of garbage": {
    ruin: (folder) => overwrite(join(folder, "manifest.json"), "\u0000\u00ff{"),
    reason: "manifest.json makes no sense",
  },
  "an endless manifest": {
    ruin: (folder) => truncateSync(join(folder, "manifest.json"), 2 ** 40),
    reason: "manifest.json makes no sense",
  },
  "the manifest of another key": {
    ruin: (folder) => edit(folder, (manifest) => ({ ...manifest, key: keyOf("b") })),
    reason: "it is the entry of another key",
  },
  "a manifest of a later format": {
    ruin: (folder) => edit(folder, (manifest) => ({ ...manifest, format: 2 })),
    reason: "manifest.json makes no sense",
  },
  "a manifest that names files elsewhere": {
    ruin: (folder) => edit(folder, (manifest) => ({ ...manifest, files: [{ ...file, name: "../0.bin" }] })),
    reason: "manifest.json makes no sense",
  },
  "a manifest that names a file twice": {
    ruin: (folder) => edit(folder, (manifest) => ({ ...manifest, files: [file, file] })),
    reason: "manifest.json makes no sense",
  },
  "a manifest with a size that is none": {
    ruin: (folder) => edit(folder, (manifest) => ({ ...manifest, files: [{ ...file, bytes: -1 }] })),
    reason: "manifest.json makes no sense",
  },
  "a manifest without an origin": {
    ruin: (folder) => edit(folder, (manifest) => ({ ...manifest, origin: { ...origin, digest: 3 } })),
    reason: "manifest.json makes no sense",
  },
  "a manifest that is a list": {
    ruin: (folder) => overwrite(join(folder, "manifest.json"), "[]"),
    reason: "manifest.json makes no sense",
  },
  "a manifest of many files": {
    ruin: (folder) =>
      edit(folder, (manifest) => ({
        ...manifest,
        files: Array.from({ length: 1_001 }, (_, i) => ({ ...file, name: `${i}.bin` })),
      })),
    reason: "manifest.json makes no sense",
  },
  "a link in place of a file": {
    ruin: (folder) => replace(join(folder, "0.bin"), (path) => symlinkSync("/etc/passwd", path)),
    reason: "0.bin is a link",
  },
  "a second name of a file": {
    ruin: (folder) => linkSync(join(folder, "0.bin"), join(folder, "other")),
    reason: "0.bin has 2 names",
  },
  "a folder in place of a file": {
    ruin: (folder) => replace(join(folder, "0.bin"), (path) => mkdirSync(path)),
    reason: "0.bin is no file",
  },
  "a FIFO in place of the manifest": {
    ruin: (folder) =>
      replace(join(folder, "manifest.json"), (path) =>
        expect(Bun.spawnSync(["mkfifo", path]).success).toBe(true),
      ),
    reason: "manifest.json is no file",
  },
  "weights that others may write": {
    ruin: (folder) => chmodSync(join(folder, "0.bin"), 0o666),
    reason: "0.bin can be written by others",
  },
  "a folder that others may write to": {
    ruin: (folder) => chmodSync(folder, 0o777),
    reason: "others may write to it",
  },
  "a link to somewhere else": {
    ruin: (folder) => {
      const elsewhere = join(folder, "../../elsewhere");
      renameSync(folder, elsewhere);
      symlinkSync(elsewhere, folder);
    },
    reason: "it is a link",
  },
  "a file in place of the folder": {
    ruin: (folder) => replace(folder, (path) => writeFileSync(path, "")),
    reason: "it is no folder",
  },
  ...(isRoot
    ? {
        "weights of another user": {
          ruin: (folder) => chownSync(join(folder, "0.bin"), nobody, nobody),
          reason: `0.bin belongs to user ${nobody}`,
        },
        "a folder of another user": {
          ruin: (folder) => chownSync(folder, nobody, nobody),
          reason: `it belongs to user ${nobody}`,
        },
      }
    : {}),
};

const file = { name: "0.bin", bytes: 1, sha256: "0".repeat(64) };

function overwrite(path: string, text: string): void {
  chmodSync(path, 0o600);
  writeFileSync(path, text);
}

function replace(path: string, make: (path: string) => void): void {
  rmSync(path, { recursive: true });
  make(path);
}

function edit(folder: string, change: (manifest: Record<string, unknown>) => unknown): void {
  const path = join(folder, "manifest.json");
  overwrite(path, JSON.stringify(change(JSON.parse(readFileSync(path, "utf8")))));
}

describe("damage", () => {
  const files = { "plan.json": "{}", "0.bin": bytesOf(large) };

  test.each(Object.entries(damages))(
    "%s: the entry counts as missing and is made anew",
    async (_, { ruin, reason }) => {
      const warnings: unknown[] = [];
      const telemetry = {
        log: (level: string, message: string, fields: unknown) => warnings.push([level, message, fields]),
      };
      const cache = open({ telemetry });
      await put(cache, "a", files);
      await put(cache, "b", files);
      ruin(folderOf(cache, "a"));
      expect(cache.list().damaged).toEqual([{ name: keyOf("a"), reason }] as never);
      expect(cache.get(keyOf("a"))).toBeUndefined();
      expect(warnings).toEqual([["warn", "compile cache entry damaged", { key: keyOf("a"), reason }]]);
      expect(existsSync(folderOf(cache, "a"))).toBe(false);
      expect(await put(cache, "a", files)).toBe("entry");
      expect(read(cache, "a", "0.bin")).toEqual(bytesOf(large));
      expect(read(cache, "b", "0.bin")).toEqual(bytesOf(large));
      expect(existsSync("/etc/passwd")).toBe(true);
    },
  );

  test.each(Object.entries(damages))("%s: verify tells it and removes it", async (_, { ruin, reason }) => {
    const cache = open();
    await put(cache, "a", files);
    await put(cache, "b", files);
    ruin(folderOf(cache, "a"));
    const bytes = large + 2;
    expect(cache.verify()).toEqual({ intact: 1, bytes, damaged: [{ name: keyOf("a"), reason }] } as never);
    expect(cache.verify()).toEqual({ intact: 1, bytes, damaged: [] });
    expect(keysOf(cache)).toEqual([keyOf("b")]);
  });

  test("a changed byte in the weights is found by verifying, not by using", async () => {
    const cache = open();
    await put(cache, "a", files);
    const path = join(folderOf(cache, "a"), "0.bin");
    const bytes = readFileSync(path);
    bytes[large / 2] = 8;
    chmodSync(path, 0o600);
    writeFileSync(path, bytes);
    cache.get(keyOf("a"))?.[Symbol.dispose]();
    expect(existsSync(folderOf(cache, "a"))).toBe(true);
    expect(cache.get(keyOf("a"), { verify: true })).toBeUndefined();
    expect(existsSync(folderOf(cache, "a"))).toBe(false);
  });

  test("what a link in the cache points to is not touched", async () => {
    const cache = open();
    const elsewhere = newFolder();
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, "precious"), "!");
    symlinkSync(elsewhere, folderOf(cache, "a"));
    symlinkSync(elsewhere, join(cache.folder, "entries", "link"));
    symlinkSync(elsewhere, join(cache.folder, "drafts", "link"));
    expect(cache.get(keyOf("a"))).toBeUndefined();
    cache.verify();
    cache.prune({ maxBytes: 0 });
    openCompileCache({ folder: cache.folder });
    expect(readdirSync(elsewhere)).toEqual(["precious"]);
    expect(readdirSync(join(cache.folder, "entries"))).toEqual([]);
  });

  test("what has no business among the entries is named and pruned", async () => {
    const cache = open();
    await put(cache, "a", { "0.bin": bytesOf(5) });
    mkdirSync(join(cache.folder, "entries", "holiday"));
    writeFileSync(join(cache.folder, "entries", "notes.txt"), "");
    const reason = "its name is not a key";
    const damaged = [
      { name: "holiday", reason },
      { name: "notes.txt", reason },
    ];
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
    expect(cache.list().damaged.toSorted(byName)).toEqual(damaged);
    expect(cache.prune().damaged.toSorted(byName)).toEqual(damaged);
    expect(readdirSync(join(cache.folder, "entries"))).toEqual([keyOf("a")]);
  });
});

describe("the folder", () => {
  const failure = (folder: string): CoremlxError => {
    try {
      openCompileCache({ folder });
    } catch (error) {
      return error as CoremlxError;
    }
    throw new Error("It opened");
  };

  test("that others may enter is refused", () => {
    const folder = newFolder();
    mkdirSync(folder, { mode: 0o755 });
    expect(failure(folder)).toMatchObject({
      code: "IO",
      message: expect.stringContaining("others may enter it"),
    });
  });

  test("that is refused is a warning to whoever can do without", () => {
    const folder = newFolder();
    mkdirSync(folder, { mode: 0o755 });
    const events: unknown[] = [];
    const telemetry = { log: (...event: readonly unknown[]) => void events.push(event) };
    expect(tryOpenCompileCache({ folder, telemetry })).toBeUndefined();
    expect(tryOpenCompileCache({ folder })).toBeUndefined();
    const reason = expect.stringContaining("others may enter it");
    expect(events).toEqual([["warn", "compile cache cannot be used", { reason }]]);
    expect(tryOpenCompileCache({ folder: newFolder() })?.list().entries).toEqual([]);
  });

  test("that is a link is refused", () => {
    const [folder, target] = [newFolder(), newFolder()];
    mkdirSync(target, { mode: 0o700 });
    symlinkSync(target, folder);
    expect(failure(folder)).toMatchObject({ code: "IO", message: expect.stringContaining("it is a link") });
  });

  test("inside the cache that is a link is refused, and nothing is written through it", () => {
    const [folder, target] = [newFolder(), newFolder()];
    for (const path of [folder, target]) mkdirSync(path, { mode: 0o700 });
    symlinkSync(target, join(folder, "entries"));
    expect(failure(folder)).toMatchObject({ code: "IO", message: expect.stringContaining("it is a link") });
    expect(readdirSync(target)).toEqual([]);
  });

  test.if(isRoot)("of another user is refused", () => {
    const folder = newFolder();
    mkdirSync(folder, { mode: 0o700 });
    chownSync(folder, nobody, nobody);
    expect(failure(folder)).toMatchObject({ code: "IO", message: expect.stringContaining(`user ${nobody}`) });
  });
});

describe("the bound", () => {
  test("removes the entries used longest ago first", async () => {
    const cache = open({ maxBytes: 3_000 });
    for (const [name, used] of [
      ["a", 300],
      ["b", 100],
      ["c", 200],
    ] as const) {
      await put(cache, name, { "0.bin": bytesOf(1_000) });
      pretendUsed(cache, name, used);
    }
    expect(cache.list().entries.map(({ key }) => key)).toEqual(["a", "c", "b"].map(keyOf));
    expect(await put(cache, "d", { "0.bin": bytesOf(1_000) })).toBe("entry");
    expect(keysOf(cache)).toEqual(["a", "c", "d"].map(keyOf).toSorted());
    expect(await put(cache, "e", { "0.bin": bytesOf(1_500) })).toBe("entry");
    expect(keysOf(cache)).toEqual(["d", "e"].map(keyOf).toSorted());
    expect(cache.list()).toMatchObject({ bytes: 2_500, maxBytes: 3_000 });
  });

  test("counts a use, not a glance, as a use", async () => {
    const cache = open({ maxBytes: 2_000 });
    for (const name of ["a", "b"]) {
      await put(cache, name, { "0.bin": bytesOf(1_000) });
      pretendUsed(cache, name, name === "a" ? 100 : 200);
    }
    read(cache, "a", "0.bin");
    cache.list();
    cache.verify();
    await put(cache, "c", { "0.bin": bytesOf(1_000) });
    expect(keysOf(cache)).toEqual(["a", "c"].map(keyOf).toSorted());
  });

  test("never removes an entry that is held; what finds no room is not kept", async () => {
    const cache = open({ maxBytes: 2_000 });
    await put(cache, "a", { "0.bin": bytesOf(1_500) });
    pretendUsed(cache, "a", 1);
    {
      using _held = cache.get(keyOf("a"));
      pretendUsed(cache, "a", 1);
      expect(cache.list().entries[0]?.isInUse).toBe(true);
      expect(await put(cache, "b", { "0.bin": bytesOf(1_000) })).toBe("refused");
      expect(await put(cache, "c", { "0.bin": bytesOf(500) })).toBe("entry");
      expect(cache.prune({ maxBytes: 0 })).toMatchObject({
        removed: [{ key: keyOf("c") }],
        freedBytes: 500,
        inUse: [{ key: keyOf("a") }],
        bytes: 1_500,
      });
    }
    expect(await put(cache, "b", { "0.bin": bytesOf(1_000) })).toBe("entry");
    expect(keysOf(cache)).toEqual([keyOf("b")]);
  });

  test("says beforehand what is too large for it, or for the disk", () => {
    const cache = open({ maxBytes: 1_000 });
    expect(cache.refusal(1_000)).toBeUndefined();
    expect(cache.refusal(1_001)).toBe("it takes 1001 bytes, and the cache may take 1000");
    expect(open({ maxBytes: 2 ** 60 }).refusal(2 ** 55)).toMatch(
      /^it takes \d+ bytes, and the disk has \d+ free$/,
    );
  });

  test("is 2 GB unless something else is asked for", () => {
    expect(open().maxBytes).toBe(2e9);
  });

  test("prune without a size keeps to the bound, with one goes below it", async () => {
    const cache = open({ maxBytes: 10_000 });
    for (const [at, name] of ["a", "b", "c"].entries()) {
      await put(cache, name, { "0.bin": bytesOf(1_000) });
      pretendUsed(cache, name, at + 1);
    }
    expect(cache.prune()).toMatchObject({ removed: [], freedBytes: 0, bytes: 3_000 });
    expect(cache.prune({ maxBytes: 1_999 })).toMatchObject({ freedBytes: 2_000, bytes: 1_000 });
    expect(keysOf(cache)).toEqual([keyOf("c")]);
    expect(readdirSync(join(cache.folder, "locks"))).toEqual([]);
  });
});

describe("what processes leave behind", () => {
  const longAgo = Date.now() / 1_000 - 3_600;

  test("a draft without a lock goes when it is old, and stays while it may be in the making", () => {
    const cache = open();
    const drafts = join(cache.folder, "drafts");
    for (const name of ["old", "new"]) mkdirSync(join(drafts, name));
    writeFileSync(join(drafts, "old-file"), "");
    writeFileSync(join(drafts, "new-file"), "");
    for (const name of ["old", "old-file"]) utimesSync(join(drafts, name), longAgo, longAgo);
    openCompileCache({ folder: cache.folder });
    expect(readdirSync(drafts).toSorted()).toEqual(["new", "new-file"]);
  });

  test("a draft whose lock is no lock goes", () => {
    const cache = open();
    const drafts = join(cache.folder, "drafts");
    mkdirSync(join(drafts, "odd"));
    symlinkSync("/etc/passwd", join(drafts, "odd/.lock"));
    openCompileCache({ folder: cache.folder });
    expect(readdirSync(drafts)).toEqual([]);
    expect(existsSync("/etc/passwd")).toBe(true);
  });

  test("a draft that has been locked for more than a day goes: some file systems keep dead locks", async () => {
    const cache = open();
    using draft = await cache.begin(keyOf("a")).then((begun) => (begun.kind === "draft" ? begun : undefined));
    if (draft === undefined) throw new Error("no draft");
    openCompileCache({ folder: cache.folder });
    expect(existsSync(draft.folder)).toBe(true);
    utimesSync(draft.folder, longAgo - 86_400, longAgo - 86_400);
    openCompileCache({ folder: cache.folder });
    expect(existsSync(draft.folder)).toBe(false);
  });

  test("an entry that somebody is just removing is waited for a moment, then counts as missing", async () => {
    const cache = open();
    await put(cache, "a", { "0.bin": bytesOf(1) });
    const fd = openSync(join(folderOf(cache, "a"), "manifest.json"), "r");
    expect(lockFile(fd, "exclusive")).toBe(true);
    expect(cache.get(keyOf("a"))).toBeUndefined();
    expect(cache.list().entries).toEqual([]);
    closeSync(fd);
    cache.get(keyOf("a"))?.[Symbol.dispose]();
    expect(cache.list().entries.length).toBe(1);
  });

  test("the lock of a name that was removed meanwhile is taken again", async () => {
    const cache = open();
    writeFileSync(join(cache.folder, "locks", keyOf("a")), "");
    expect(await put(cache, "a", { "0.bin": bytesOf(1) })).toBe("entry");
    expect(readdirSync(join(cache.folder, "locks"))).toEqual(["publish"]);
  });
});

test("a draft that can be made nowhere is the system's error, and lets go of its key", async () => {
  const cache = open();
  rmSync(join(cache.folder, "drafts"), { recursive: true });
  writeFileSync(join(cache.folder, "drafts"), "in the way");
  for (let i = 0; i < 2; i++) {
    const reason = await cache.begin(keyOf("a")).then(() => "made", messageOf);
    expect(reason).toContain("ENOTDIR");
  }
  expect(readdirSync(join(cache.folder, "locks"))).toEqual([]);
});

test("an entry that has no place to go is the system's error, and leaves nothing", async () => {
  const cache = open();
  const draft = await cache.begin(keyOf("a"));
  if (draft.kind !== "draft") throw new Error("no draft");
  writeFileSync(join(draft.folder, "0.bin"), "1");
  rmSync(join(cache.folder, "entries"), { recursive: true });
  expect(() => draft.publish({ createdEpochMs: 0, compileMs: 0, origin })).toThrow("ENOENT");
  draft[Symbol.dispose]();
  expect(readdirSync(join(cache.folder, "drafts"))).toEqual([]);
});

test("the cache lies beside the other caches of the program", () => {
  expect(compileCacheFolder("/caches/coremlx")).toBe("/caches/coremlx/models");
});

describe("making an entry", () => {
  test("is one's own affair: the second waits, and gets what the first made", async () => {
    const cache = open();
    const other = openCompileCache({ folder: cache.folder });
    const first = await cache.begin(keyOf("a"));
    if (first.kind !== "draft") throw new Error("no draft");
    const second = other.begin(keyOf("a"));
    writeFileSync(join(first.folder, "0.bin"), "made once");
    const published = first.publish({ createdEpochMs: 0, compileMs: 0, origin });
    first[Symbol.dispose]();
    const begun = await second;
    if (begun.kind !== "entry" || published.kind !== "entry") throw new Error("no entry");
    expect(new TextDecoder().decode(begun.entry.read("0.bin"))).toBe("made once");
    for (const entry of [begun.entry, published.entry]) entry[Symbol.dispose]();
  });

  test("goes to the next when the first gives up", async () => {
    const cache = open();
    const first = await cache.begin(keyOf("a"));
    const second = cache.begin(keyOf("a"));
    if (first.kind === "draft") first[Symbol.dispose]();
    using begun = await second.then((result) => (result.kind === "draft" ? result : undefined));
    expect(begun?.kind).toBe("draft");
    expect(cache.get(keyOf("a"))).toBeUndefined();
  });

  test("does not wait for ever: then both make it, and the first to publish wins", async () => {
    const cache = open();
    const impatient = openCompileCache({ folder: cache.folder, waitMs: 0 });
    using first = await cache
      .begin(keyOf("a"))
      .then((result) => (result.kind === "draft" ? result : undefined));
    using second = await impatient
      .begin(keyOf("a"))
      .then((result) => (result.kind === "draft" ? result : undefined));
    if (first === undefined || second === undefined) throw new Error("no draft");
    for (const { folder } of [first, second]) writeFileSync(join(folder, "0.bin"), "the same");
    for (const draft of [second, first]) {
      const published = draft.publish({ createdEpochMs: 0, compileMs: 0, origin });
      expect(published.kind).toBe("entry");
      if (published.kind === "entry") published.entry[Symbol.dispose]();
    }
    expect(keysOf(cache)).toEqual([keyOf("a")]);
    expect(readdirSync(folderOf(cache, "a")).toSorted()).toEqual(["0.bin", "manifest.json"]);
  });

  test("of different keys goes on side by side", async () => {
    const cache = open();
    const drafts = await Promise.all(["a", "b", "c"].map((name) => cache.begin(keyOf(name))));
    expect(drafts.map(({ kind }) => kind)).toEqual(["draft", "draft", "draft"]);
    for (const draft of drafts) if (draft.kind === "draft") draft[Symbol.dispose]();
    expect(readdirSync(join(cache.folder, "drafts"))).toEqual([]);
    expect(readdirSync(join(cache.folder, "locks"))).toEqual([]);
  });

  test("replaces a damaged entry that nobody had looked at", async () => {
    const cache = open();
    await put(cache, "a", { "0.bin": bytesOf(5) });
    const impatient = openCompileCache({ folder: cache.folder, waitMs: 0 });
    truncateSync(join(folderOf(cache, "a"), "0.bin"), 1);
    expect(await put(impatient, "a", { "0.bin": bytesOf(6) })).toBe("entry");
    expect(read(cache, "a", "0.bin")).toEqual(bytesOf(6));
  });

  test("refuses to keep what is not a plain file", async () => {
    const cache = open();
    const draft = await cache.begin(keyOf("a"));
    if (draft.kind !== "draft") throw new Error("no draft");
    const outside = join(temp.path, "outside");
    writeFileSync(outside, "");
    symlinkSync(outside, join(draft.folder, "0.bin"));
    expect(() => draft.publish({ createdEpochMs: 0, compileMs: 0, origin })).toThrow(
      "0.bin of a compiled model: it is a link",
    );
    draft[Symbol.dispose]();
    expect(keysOf(cache)).toEqual([]);
    expect(lstatSync(outside).isFile()).toBe(true);
  });
});

test("hits and misses are counted", async () => {
  const counted = new Map<string, number>();
  const meter = (name: string) => ({
    add: (amount = 1) => void counted.set(name, (counted.get(name) ?? 0) + amount),
    raiseTo() {},
  });
  const meters = { counter: meter, gauge: () => ({ set() {} }), histogram: () => ({ observe() {} }) };
  const cache = open({ telemetry: { log() {}, meters } });
  cache.get(keyOf("a"));
  await put(cache, "a", { "0.bin": bytesOf(1) });
  for (let i = 0; i < 3; i++) read(cache, "a", "0.bin");
  expect(Object.fromEntries(counted)).toEqual({
    coremlx_compile_cache_misses_total: 1,
    coremlx_compile_cache_hits_total: 3,
  });
});
