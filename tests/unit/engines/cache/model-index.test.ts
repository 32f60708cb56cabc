import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  isSameSnapshot,
  isSettled,
  ModelIndex,
  settlesInMs,
  type Snapshot,
  takeSnapshot,
} from "../../../../src/engines/cache/model-index.ts";
import { tempFolder } from "../../../support/temp.ts";

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => {
  const path = join(temp.path, `folder-${folders++}`);
  mkdirSync(path, { mode: 0o700 });
  return path;
};
const known = { digest: "d".repeat(64), defaultFunction: "main", functions: ["main", "other"] };

/** A package of three files in two folders. */
function writeModel(): string {
  const path = join(newFolder(), "Some.mlpackage");
  mkdirSync(join(path, "Data/weights"), { recursive: true });
  for (const name of ["Manifest.json", "Data/model.mlmodel", "Data/weights/weight.bin"]) {
    writeFileSync(join(path, name), "12345678");
  }
  return path;
}

function snapshotOf(path: string, files: readonly string[] = []): Snapshot {
  const snapshot = takeSnapshot(path, files);
  if (snapshot === undefined) throw new Error(`no snapshot of ${path}`);
  return snapshot;
}

function remembered(path = writeModel(), files: readonly string[] = []) {
  const folder = newFolder();
  const index = new ModelIndex(folder);
  index.remember(snapshotOf(path, files), known);
  return { index, folder, path };
}

describe("the digest of a model", () => {
  test("is known as long as nothing has changed, also to who opens the index later", () => {
    const { index, folder, path } = remembered();
    expect(index.lookup(path)).toEqual({ ...known, root: path });
    expect(new ModelIndex(folder).lookup(path)).toEqual({ ...known, root: path });
  });

  test("is unknown of a model nobody remembered, and of none", () => {
    const { index } = remembered();
    expect(index.lookup(writeModel())).toBeUndefined();
    expect(index.lookup(join(temp.path, "nothing"))).toBeUndefined();
  });

  test("is known by every path that leads to the model", () => {
    const { index, path } = remembered();
    const link = join(temp.path, "link.mlpackage");
    symlinkSync(path, link);
    expect(index.lookup(link)).toEqual({ ...known, root: path });
    const other = writeModel();
    unlinkSync(link);
    symlinkSync(other, link);
    expect(index.lookup(link)).toBeUndefined();
  });

  const weights = (path: string) => join(path, "Data/weights/weight.bin");
  const changes: Readonly<Record<string, (path: string) => void>> = {
    "one byte changes, and the old time of change is restored": (path) => {
      const { atime, mtime } = lstatSync(weights(path));
      writeFileSync(weights(path), "12345679");
      utimesSync(weights(path), atime, mtime);
      expect(lstatSync(weights(path)).mtimeMs).toBe(mtime.getTime());
    },
    "a file grows": (path) => writeFileSync(weights(path), "123456789"),
    "a file is replaced by one like it": (path) => {
      const { atime, mtime } = lstatSync(weights(path));
      writeFileSync(`${path}-new`, "87654321");
      utimesSync(`${path}-new`, atime, mtime);
      renameSync(`${path}-new`, weights(path));
    },
    "a file is only touched": (path) => utimesSync(weights(path), new Date(), new Date()),
    "a file goes": (path) => rmSync(weights(path)),
    "a file comes": (path) => writeFileSync(join(path, "Data/weight.bin"), ""),
    "a file comes into an empty folder that was there": (path) =>
      writeFileSync(join(path, "Data/weights/more.bin"), ""),
    "a file takes another name": (path) => renameSync(weights(path), join(path, "Data/weights/w.bin")),
    "a link takes the place of a file": (path) => {
      renameSync(weights(path), `${path}-moved`);
      symlinkSync(`${path}-moved`, weights(path));
    },
    "another folder takes the place of the model": (path) => {
      renameSync(path, `${path}-old`);
      renameSync(writeModel(), path);
    },
    "the model goes": (path) => rmSync(path, { recursive: true }),
  };

  test.each(Object.entries(changes))("is unknown once %s", (_, change) => {
    const { index, path } = remembered();
    expect(index.lookup(path)).toBeDefined();
    change(path);
    expect(index.lookup(path)).toBeUndefined();
  });

  test("is unknown once a file outside of the model changes that belongs to it", () => {
    const folder = newFolder();
    const [path, outside] = [join(folder, "a.mlmodel"), join(folder, "weights.bin")];
    for (const file of [path, outside]) writeFileSync(file, "1");
    const { index } = remembered(path, [path, outside]);
    writeFileSync(join(folder, "unrelated"), "");
    expect(index.lookup(path)).toEqual({ ...known, root: path });
    writeFileSync(outside, "2");
    expect(index.lookup(path)).toBeUndefined();
  });

  test("is unknown once what a link in the model points to changes", () => {
    const path = writeModel();
    const target = join(newFolder(), "target");
    writeFileSync(target, "1");
    symlinkSync(target, join(path, "Data/link"));
    const { index } = remembered(path);
    expect(index.lookup(path)).toBeDefined();
    writeFileSync(target, "2");
    expect(index.lookup(path)).toBeUndefined();
  });
});

describe("a record", () => {
  const recordIn = (folder: string) => join(folder, readdirSync(folder)[0] ?? "");

  test("with a changed bit is none, whichever it is", () => {
    const { index, folder, path } = remembered();
    const file = recordIn(folder);
    const good = readFileSync(file);
    for (let at = 0; at < good.length; at += 7) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      writeFileSync(file, bad);
      expect(index.lookup(path)).toBeUndefined();
    }
    writeFileSync(file, good);
    expect(index.lookup(path)).toBeDefined();
  });

  const digest = (body: string) => new Bun.CryptoHasher("sha256").update(body).digest("hex");
  test.each([
    ["empty", ""],
    ["not JSON, though its digest is right", `${digest("{")}\n{`],
    ["of another format", `${digest('{"format":2}')}\n{"format":2}`],
    ["nothing", `${digest("null")}\nnull`],
    ["without lines", `${digest('{"format":1}')}\n{"format":1}`],
  ])("that is %s is none", (_, text) => {
    const { index, folder, path } = remembered();
    writeFileSync(recordIn(folder), text);
    expect(index.lookup(path)).toBeUndefined();
  });

  test("of another model in its place is none", () => {
    const { index, folder, path } = remembered();
    const other = remembered();
    writeFileSync(recordIn(folder), readFileSync(recordIn(other.folder)));
    expect(index.lookup(path)).toBeUndefined();
  });

  test("that is a link or can be written by others is none", () => {
    const { index, folder, path } = remembered();
    const file = recordIn(folder);
    chmodSync(file, 0o666);
    expect(index.lookup(path)).toBeUndefined();
    renameSync(file, `${temp.path}/record`);
    symlinkSync(`${temp.path}/record`, file);
    expect(index.lookup(path)).toBeUndefined();
  });

  test("of absurd size is none", () => {
    const { index, folder, path } = remembered();
    writeFileSync(recordIn(folder), Buffer.alloc(5 * 2 ** 20));
    expect(index.lookup(path)).toBeUndefined();
  });

  test("that cannot be written is done without", () => {
    const { index, folder, path } = remembered();
    rmSync(folder, { recursive: true });
    index.remember(snapshotOf(path), known);
    expect(index.lookup(path)).toBeUndefined();
  });

  test("goes when there are more than a thousand, the oldest first, and so does an interrupted one", () => {
    const { index, folder, path } = remembered();
    const record = recordIn(folder);
    utimesSync(record, 1, 1);
    for (let i = 0; i < 1_000; i++) writeFileSync(join(folder, `${String(i).padStart(64, "0")}.json`), "");
    writeFileSync(join(folder, ".interrupted"), "");
    utimesSync(join(folder, ".interrupted"), 1, 1);
    index.prune();
    expect(readdirSync(folder).length).toBe(1_000);
    expect(index.lookup(path)).toBeUndefined();
  });
});

describe("a snapshot", () => {
  test("is the same twice, and another of another model", () => {
    const path = writeModel();
    const snapshot = snapshotOf(path);
    expect(isSameSnapshot(snapshot, takeSnapshot(path, []))).toBe(true);
    expect(isSameSnapshot(snapshot, takeSnapshot(writeModel(), []))).toBe(false);
    expect(isSameSnapshot(snapshot, undefined)).toBe(false);
  });

  test("of a model that was changed just now is no ground to stand on; two seconds later it is", () => {
    const snapshot = snapshotOf(writeModel());
    const changedAt = snapshot.newestEpochMs;
    expect(Math.abs(changedAt - Date.now())).toBeLessThan(60_000);
    expect(isSettled(snapshot, changedAt)).toBe(false);
    expect(isSettled(snapshot, changedAt + 2_000)).toBe(false);
    expect(isSettled(snapshot, changedAt + 2_001)).toBe(true);
    expect(settlesInMs(snapshot)).toBeLessThanOrEqual(2_001);
  });

  test("does not believe times in the future", () => {
    const path = writeModel();
    const far = Date.now() / 1_000 + 1_000_000;
    utimesSync(join(path, "Manifest.json"), far, far);
    expect(snapshotOf(path).newestEpochMs).toBeLessThan(Date.now() + 60_000);
  });

  test("settles at once where nothing has happened for long", () => {
    expect(settlesInMs({ ...snapshotOf(writeModel()), newestEpochMs: 0 })).toBe(0);
  });

  test("is not taken of a folder without end", () => {
    const wide = newFolder();
    for (let i = 0; i < 2_001; i++) writeFileSync(join(wide, String(i)), "");
    expect(takeSnapshot(wide, [])).toBeUndefined();
    const deep = newFolder();
    mkdirSync(join(deep, Array.from({ length: 20 }, () => "d").join("/")), { recursive: true });
    expect(takeSnapshot(deep, [])).toBeUndefined();
    const loop = newFolder();
    symlinkSync(loop, join(loop, "self"));
    expect(takeSnapshot(loop, [])?.lines.length).toBe(3);
  });

  test("is not taken where a link leads nowhere", () => {
    const path = writeModel();
    symlinkSync("nowhere", join(path, "dangling"));
    expect(takeSnapshot(path, [])).toBeUndefined();
  });
});
