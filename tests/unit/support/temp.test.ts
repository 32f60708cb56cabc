import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultCacheDir } from "../../../src/runtime/session.ts";
import { sweepStaleFolders, tempFolder } from "../../support/temp.ts";

test("a run removes the folders of processes that are no more, and no others", () => {
  using root = tempFolder();
  const { pid: dead } = Bun.spawnSync([process.execPath, "--version"]);
  const names = [
    `coremlx-test-${dead}-abc`,
    `coremlx-test-${process.pid}-abc`,
    "coremlx-test-cache",
    `other-${dead}-abc`,
  ];
  for (const name of names) {
    mkdirSync(join(root.path, name));
    writeFileSync(join(root.path, name, "file"), "");
  }
  sweepStaleFolders(root.path);
  expect(readdirSync(root.path).toSorted()).toEqual(names.slice(1).toSorted());
});

test("a test that names no cache gets one that is nobody's", () => {
  expect(defaultCacheDir()).toStartWith(join(realpathSync(tmpdir()), `coremlx-test-${process.pid}-`));
});
