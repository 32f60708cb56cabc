import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openPrivateFolder } from "../../../src/native/private-folder.ts";
import { errorOf } from "../../support/codec-fixtures.ts";
import { tempFolder } from "../../support/temp.ts";

const isRoot = process.geteuid?.() === 0;

test("a missing folder is made, with its parents, for its owner alone", () => {
  using temp = tempFolder();
  const path = join(temp.path, "a", "b");
  expect(openPrivateFolder(path)).toBe(path);
  expect(openPrivateFolder(path)).toBe(path);
  expect(lstatSync(path).mode & 0o777).toBe(0o700);
});

test("a parent behind a link is followed, and the real path comes back", () => {
  using temp = tempFolder();
  mkdirSync(join(temp.path, "real"), { mode: 0o700 });
  symlinkSync(join(temp.path, "real"), join(temp.path, "link"));
  expect(openPrivateFolder(join(temp.path, "link", "outputs"))).toBe(
    join(realpathSync(temp.path), "real", "outputs"),
  );
});

const refused: [string, (path: string, parent: string) => void, RegExp][] = [
  [
    "is a link",
    (path, parent) => {
      mkdirSync(join(parent, "elsewhere"), { mode: 0o700 });
      symlinkSync(join(parent, "elsewhere"), path);
    },
    /: it is a link$/,
  ],
  ["is a link to nothing", (path) => symlinkSync("missing", path), /: it is a link$/],
  ["is a file", (path) => writeFileSync(path, ""), /: it is no folder$/],
  [
    "can be entered by others",
    (path) => {
      mkdirSync(path);
      chmodSync(path, 0o750);
    },
    /: others may enter it \(mode 750\)$/,
  ],
  ["lies where everybody may write", (_, parent) => chmodSync(parent, 0o777), /: everybody may write to /],
];
for (const [what, spoil, message] of refused) {
  test(`a folder that ${what} is refused`, () => {
    using temp = tempFolder();
    const path = join(temp.path, "outputs");
    spoil(path, temp.path);
    const error = errorOf(() => openPrivateFolder(path));
    expect(error.code).toBe("IO");
    expect(error.message).toMatch(message);
    expect(error.message).toStartWith(`Cannot use the folder ${path}`);
  });
}

test("a folder that could be replaced only by its owner may lie among others'", () => {
  using temp = tempFolder();
  chmodSync(temp.path, 0o1777);
  expect(openPrivateFolder(join(temp.path, "outputs"))).toBe(join(temp.path, "outputs"));
});

test.if(isRoot)("a folder of another user is refused, and one below it too", () => {
  using temp = tempFolder();
  const path = join(temp.path, "outputs");
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, 65_534, 65_534);
  expect(errorOf(() => openPrivateFolder(path)).message).toBe(
    `Cannot use the folder ${path}: it belongs to user 65534`,
  );
  expect(errorOf(() => openPrivateFolder(join(path, "below"))).message).toBe(
    `Cannot use the folder ${join(path, "below")}: ${path} belongs to user 65534`,
  );
});

test("a place where nothing can be made is an error with its reason", () => {
  expect(errorOf(() => openPrivateFolder("/dev/null/outputs")).message).toMatch(
    /^Cannot use the folder \/dev\/null\/outputs: E[A-Z]+$/,
  );
});
