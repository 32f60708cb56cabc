import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createMappedFile, type MappedFile } from "../../../src/native/mapped-file.ts";
import { describeError, errorOf } from "../../support/codec-fixtures.ts";
import { tempFolder } from "../../support/temp.ts";

const linux = process.platform === "linux";
const kinds = linux ? (["memory", "file"] as const) : (["file"] as const);
const openDescriptors = () => readdirSync("/proc/self/fd").length;

for (const kind of kinds) {
  describe(`a mapped file of kind "${kind}"`, () => {
    test("is exactly as long as asked, for readers too", () => {
      using folder = tempFolder();
      for (const byteLength of [0, 1, 4_096, 10_001]) {
        using file = createMappedFile({ kind, byteLength });
        file.bytes.fill(3);
        expect(file.bytes.byteLength).toBe(byteLength);
        expect(file.address).toBeGreaterThan(0);
        const content = readFileSync(file.publish(folder.path).path);
        expect([...new Set(content.subarray(0, byteLength))]).toEqual(byteLength === 0 ? [] : [3]);
        expect(content.byteLength).toBe(Math.max(byteLength, linux ? 1 : 0));
      }
      expect(readdirSync(folder.path)).toEqual([]);
    });

    test("has one name at a time, each a new one, and none after its end", () => {
      using folder = tempFolder();
      const names = new Set<string>();
      const file = createMappedFile({ kind, byteLength: 5_000 });
      for (let i = 0; i < 3; i++) {
        const { path } = file.publish(folder.path);
        expect(file.publish(folder.path).path).toBe(path);
        names.add(path);
        expect(file.withdraw()).toBe(true);
        expect(file.withdraw()).toBe(true);
        expect(readdirSync(folder.path).filter((name) => !name.startsWith("."))).toEqual([]);
      }
      file.publish(folder.path);
      file[Symbol.dispose]();
      file[Symbol.dispose]();
      expect(names.size).toBe(3);
      expect(readdirSync(folder.path)).toEqual([]);
    });

    test("takes its views away when asked, and keeps its content", () => {
      using file = createMappedFile({ kind, byteLength: 10 });
      const before = file.bytes;
      before[9] = 1;
      file.revokeViews();
      expect([before.byteLength, file.bytes[9]]).toEqual([0, 1]);
    });

    test("does not mind that its name was removed by others", () => {
      using folder = tempFolder();
      using file = createMappedFile({ kind, byteLength: 5_000 });
      rmSync(file.publish(folder.path).path);
      expect(file.withdraw()).toBe(true);
      expect(readFileSync(file.publish(folder.path).path).byteLength).toBe(5_000);
    });

    test("of more than an ArrayBuffer can show is refused before anything is reserved", () => {
      expect(describeError(errorOf(() => createMappedFile({ kind, byteLength: 2 ** 40 })))).toBe(
        `UNSUPPORTED: Cannot map ${2 ** 40} bytes: 0 to 4294967296 are possible`,
      );
    });

    test.if(linux)("leaves no descriptor open, also where publishing fails", () => {
      using folder = tempFolder();
      const before = openDescriptors();
      for (let i = 0; i < 20; i++) {
        using file = createMappedFile({ kind, byteLength: 5_000 });
        expect(errorOf(() => file.publish(join(folder.path, "missing"))).code).toBe("IO");
        file.publish(folder.path);
        file.withdraw();
      }
      expect(openDescriptors()).toBe(before);
    });
  });
}

describe("a written file", () => {
  const published = (folder: string): { file: MappedFile; path: string } => {
    const file = createMappedFile({ kind: "file", byteLength: 5_000 });
    file.bytes.fill(1);
    return { file, path: file.publish(folder).path };
  };

  test("that was cut short in between is whole again the next time", () => {
    using folder = tempFolder();
    const { file, path } = published(folder.path);
    truncateSync(path, 1);
    expect(file.bytes[4_999]).toBe(1);
    file.withdraw();
    const again = file.publish(folder.path).path;
    expect(statSync(again).size).toBe(5_000);
    file[Symbol.dispose]();
  });

  test.if(linux)("is written into the same file again, unless that cannot be named any more", () => {
    using folder = tempFolder();
    const inner = join(folder.path, "inner");
    mkdirSync(inner);
    const { file, path } = published(inner);
    const first = statSync(path).ino;
    file.withdraw();
    expect(statSync(file.publish(inner).path).ino).toBe(first);
    file.withdraw();
    rmSync(inner, { recursive: true });
    expect(errorOf(() => file.publish(inner)).code).toBe("IO");
    mkdirSync(inner);
    writeFileSync(join(inner, "other"), "keeps the old number from being given again");
    expect(readFileSync(file.publish(inner).path).byteLength).toBe(5_000);
    file[Symbol.dispose]();
  });
});
