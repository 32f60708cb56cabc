// What other processes see of outputs, and what they can do to us.

import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { BufferPool } from "../../../../src/runtime/buffers/buffer-pool.ts";
import { OutputStore } from "../../../../src/runtime/outputs/outputs.ts";
import { sweepOutputs } from "../../../../src/runtime/outputs/output-folder.ts";
import { OutputProcess } from "../../../support/runtime/output-process.ts";
import { tempFolder } from "../../../support/temp.ts";
import { mounts, testWith, withMount } from "../../../support/tools.ts";

const linux = process.platform === "linux";
const kinds = linux ? (["memory", "file"] as const) : (["file"] as const);
const isRoot = process.geteuid?.() === 0;
const nobody = 65_534;

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => join(temp.path, `outputs-${folders++}`);

for (const kind of kinds) {
  describe(`outputs of kind "${kind}"`, () => {
    test("are read by a program that knows nothing of us, by path and by descriptor", async () => {
      await using owner = new OutputProcess({ folder: newFolder(), kind });
      const output = await owner.publish(300_000, 0x61);
      const paths = [output.path, ...(linux ? [output.descriptorPath ?? ""] : [])];
      for (const path of paths)
        expect(Bun.spawnSync(["cat", path]).stdout.toString()).toBe("a".repeat(300_000));
    });

    for (const how of ["Bun.mmap", "libc", "copy"] as const) {
      test(`are read by our own reader: ${how}`, async () => {
        const folder = newFolder();
        await using owner = new OutputProcess({ folder, kind });
        await using reader = new OutputProcess({ folder, kind });
        const output = await owner.publish(300_000, 5);
        expect(await reader.ask({ do: "open", output, how })).toEqual({ byteLength: 300_000, values: [5] });
        await owner.ask({ do: "return", index: 0 });
        expect(await reader.ask({ do: "open", output, how })).toEqual({
          error: `NOT_FOUND: Cannot read the output ${output.path}: its owner took it back`,
        });
      });
    }

    test("never change under a reader, though their owner goes on", async () => {
      const folder = newFolder();
      await using owner = new OutputProcess({ folder, kind });
      await using reader = new OutputProcess({ folder, kind });
      const output = await owner.publish(300_000, 1);
      await reader.ask({ do: "open", output, how: "libc" });
      await owner.ask({ do: "return", index: 0 });
      for (let value = 2; value < 6; value++) await owner.publish(300_000, value);
      expect(await reader.ask({ do: "look" })).toEqual({ byteLength: 300_000, values: [1] });
      await owner.kill();
      expect(await reader.ask({ do: "look" })).toEqual({ byteLength: 300_000, values: [1] });
    });

    test("are swept at the next start after their process was killed, and those of the living are not", async () => {
      const folder = newFolder();
      await using living = new OutputProcess({ folder, kind });
      const kept = await living.publish(50_000, 1);
      await using killed = new OutputProcess({ folder, kind });
      const lost = await killed.publish(50_000, 2);
      await killed.publish(50_000, 3);
      await killed.kill();
      expect(readdirSync(dirname(lost.path)).length).toBe(3); // two outputs and the lock
      using buffers = new BufferPool();
      using store = new OutputStore({ folder, buffers, kind });
      expect(store.stats.swept).toBe(1);
      expect(existsSync(dirname(lost.path))).toBe(false);
      expect(await living.ask({ do: "open", output: kept, how: "copy" })).toEqual({
        byteLength: 50_000,
        values: [1],
      });
      expect(sweepOutputs(folder)).toBe(0);
    });

    test("leave no file when their process ends by itself", async () => {
      const folder = newFolder();
      const owner = new OutputProcess({ folder, kind });
      for (let i = 0; i < 20; i++) await owner.publish(50_000, i);
      expect(await owner.end()).toBe(0);
      expect(readdirSync(folder)).toEqual([]);
    });

    test("that another process cuts short are refused to it, or do not harm their owner", async () => {
      const folder = newFolder();
      await using owner = new OutputProcess({ folder, kind });
      await using other = new OutputProcess({ folder, kind });
      const output = await owner.publish(300_000, 8);
      const attempt = await other.ask({ do: "truncate", path: output.path, byteLength: 10 });
      if (kind === "memory") {
        expect(attempt).toEqual({ error: expect.stringContaining("EPERM") });
        expect(await other.ask({ do: "open", output, how: "Bun.mmap" })).toEqual({
          byteLength: 300_000,
          values: [8],
        });
      } else {
        expect(attempt).toEqual({ done: true });
        for (const how of ["Bun.mmap", "libc", "copy"] as const) {
          expect(await other.ask({ do: "open", output, how })).toEqual({
            error: `IO: Cannot read the output ${output.path}: it has 10 of 300000 bytes`,
          });
        }
      }
      // The owner goes on with the same memory, and its next output is whole.
      await owner.ask({ do: "return", index: 0 });
      const next = await owner.publish(300_000, 9);
      expect(await other.ask({ do: "open", output: next, how: "copy" })).toEqual({
        byteLength: 300_000,
        values: [9],
      });
    });
  });
}

testWith([mounts], "a full disk is an error, and what fits is published afterwards", async () => {
  const folder = newFolder();
  mkdirSync(folder, { mode: 0o700 });
  await using owner = new OutputProcess({ folder, kind: "file" }, (words) =>
    withMount(folder, "size=1m,mode=0700", words),
  );
  expect(await owner.ask({ do: "publish", byteLength: 4_000_000, value: 1 })).toEqual({
    error: expect.stringMatching(/^IO: Cannot reserve 4000000 bytes in .*: ENOSPC$/),
  });
  const small = await owner.publish(600_000, 2);
  expect(await owner.ask({ do: "publish", byteLength: 600_001, value: 3 })).toEqual({
    error: expect.stringMatching(/: ENOSPC$/),
  });
  expect(await owner.ask({ do: "open", output: small, how: "copy" })).toEqual({
    byteLength: 600_000,
    values: [2],
  });
  await owner.ask({ do: "return", index: 1 });
  const again = await owner.publish(600_000, 4); // into the file that is there already
  expect(await owner.ask({ do: "open", output: again, how: "copy" })).toEqual({
    byteLength: 600_000,
    values: [4],
  });
});

describe.if(isRoot)("as an ordinary user", () => {
  const asNobody = (words: readonly string[]) => ["setpriv", `--reuid=${nobody}`, "--clear-groups", ...words];

  test("a folder that cannot be written to is an error", async () => {
    const parent = newFolder();
    mkdirSync(parent);
    chmodSync(temp.path, 0o755);
    chownSync(parent, nobody, nobody);
    chmodSync(parent, 0o500);
    await using owner = new OutputProcess({ folder: join(parent, "outputs"), kind: "file" }, asNobody);
    expect(await owner.ask({ do: "publish", byteLength: 1_000, value: 1 })).toEqual({
      error: `IO: Cannot use the folder ${join(parent, "outputs")}: EACCES`,
    });
  });

  test("somebody else's folder is an error", async () => {
    const folder = newFolder();
    mkdirSync(folder, { mode: 0o700 });
    await using owner = new OutputProcess({ folder: join(folder, "outputs"), kind: "file" }, asNobody);
    expect(await owner.ask({ do: "publish", byteLength: 1_000, value: 1 })).toEqual({
      error: expect.stringMatching(/^IO: Cannot use the folder .*: EACCES$/),
    });
  });

  for (const kind of kinds) {
    test(`Bun.mmap reads an output of kind "${kind}"`, async () => {
      const parent = newFolder();
      mkdirSync(parent);
      chownSync(parent, nobody, nobody);
      chmodSync(temp.path, 0o755);
      await using owner = new OutputProcess({ folder: join(parent, "outputs"), kind }, asNobody);
      const output = await owner.publish(70_000, 3);
      expect(await owner.ask({ do: "open", output, how: "Bun.mmap" })).toEqual({
        byteLength: 70_000,
        values: [3],
      });
    });
  }
});
