// Descriptions of outputs come from other processes: none of them may do more than fail.

import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  mapOutput,
  openSharedOutput,
  readSharedOutput,
  type SharedOutput,
} from "../../../../src/runtime/outputs/shared-output.ts";
import { describeError, errorOf } from "../../../support/codec-fixtures.ts";
import { tempFolder } from "../../../support/temp.ts";

const readers = { mapOutput, openSharedOutput, readSharedOutput };

function describing(path: string, changes: Partial<SharedOutput> = {}): SharedOutput {
  return {
    dtype: "int16",
    shape: [2, 2],
    byteLength: 8,
    path,
    descriptorPath: undefined,
    pid: 1,
    ...changes,
  };
}

for (const [name, reader] of Object.entries(readers)) {
  describe(name, () => {
    const messageOf = (output: SharedOutput) => describeError(errorOf(() => reader(output)));

    test("reads the first bytes of a file that is longer", () => {
      using temp = tempFolder();
      const path = join(temp.path, "output");
      writeFileSync(path, "abcdefghijkl");
      const read = reader(describing(path));
      const tensor = "tensor" in read ? read.tensor : read;
      expect(tensor).toMatchObject({ dtype: "int16", shape: [2, 2] });
      expect(new TextDecoder().decode(tensor.bytes)).toBe("abcdefgh");
      if ("tensor" in read) read[Symbol.dispose]();
    });

    test("refuses a shape that is none, or does not fit the length", () => {
      expect(messageOf(describing("x", { shape: [-1] }))).toBe(
        "BAD_INPUT: Cannot read an output for int16 [-1]: axis 0 is -1",
      );
      expect(messageOf(describing("x", { byteLength: 2 ** 50 }))).toBe(
        `BAD_INPUT: Cannot read the output x: its shape takes 8 bytes, it says ${2 ** 50}`,
      );
    });

    test("says that it is gone, too short, or no file", () => {
      using temp = tempFolder();
      const path = join(temp.path, "output");
      expect(messageOf(describing(path))).toBe(
        `NOT_FOUND: Cannot read the output ${path}: its owner took it back`,
      );
      writeFileSync(path, "abc");
      expect(messageOf(describing(path))).toBe(`IO: Cannot read the output ${path}: it has 3 of 8 bytes`);
      mkdirSync(join(temp.path, "folder"));
      expect(messageOf(describing(join(temp.path, "folder")))).toMatch(
        /^IO: Cannot read the output .*: (it is no file|EISDIR)$/,
      );
      spawnSync("mkfifo", [join(temp.path, "fifo")]);
      expect(messageOf(describing(join(temp.path, "fifo")))).toMatch(/: it is no file$/);
      expect(messageOf(describing(`${path}/below`))).toBe(
        `IO: Cannot read the output ${path}/below: ENOTDIR`,
      );
    });
  });
}

test("a view is empty after its dispose, and writing to it leaves the file alone", () => {
  using temp = tempFolder();
  const path = join(temp.path, "output");
  writeFileSync(path, "abcdefgh");
  const view = openSharedOutput(describing(path));
  const { bytes } = view.tensor;
  bytes[0] = 0x5a;
  view[Symbol.dispose]();
  expect(bytes.byteLength).toBe(0);
  expect(new TextDecoder().decode(readSharedOutput(describing(path)).bytes)).toBe("abcdefgh");
});
