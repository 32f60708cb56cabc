// What counts as a model in a folder, and what a model's own options may say.

import { describe, expect, test } from "bun:test";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findModels, fingerprint, singleModel } from "../../../../src/server/repository/layout.ts";
import {
  chooseVersions,
  loadOptionsOf,
  readModelOptions,
} from "../../../../src/server/repository/model-options.ts";
import { failureOf } from "../../../support/model-files.ts";
import { tempFolder } from "../../../support/temp.ts";

/** Empty files and folders of these names. */
function make(root: string, ...paths: readonly string[]): void {
  for (const path of paths) {
    const whole = join(root, path);
    if (path.endsWith("/")) mkdirSync(whole, { recursive: true });
    else {
      mkdirSync(join(whole, ".."), { recursive: true });
      writeFileSync(whole, "");
    }
  }
}

function describeFound(root: string): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const rows = Array.from(findModels(root), ([name, { versions }]) => {
    const paths = Array.from(versions, ([version, path]) => [version, path.slice(root.length + 1)]);
    return [name, Object.fromEntries(paths)] as const;
  });
  return Object.fromEntries(rows);
}

describe("a folder of models", () => {
  test("holds plain models, and folders with versions, mixed", () => {
    using folder = tempFolder();
    make(
      folder.path,
      "Plain.mlpackage/",
      "Other Name.mlmodel",
      "compiled.mlmodelc/",
      "many/1/a.mlpackage/",
      "many/10/b.mlmodel",
      "many/2/c.mlmodelc/",
      "bare/model.mlpackage/",
    );
    expect(describeFound(folder.path)).toEqual({
      Plain: { 1: "Plain.mlpackage" },
      "Other Name": { 1: "Other Name.mlmodel" },
      compiled: { 1: "compiled.mlmodelc" },
      many: { 1: "many/1/a.mlpackage", 2: "many/2/c.mlmodelc", 10: "many/10/b.mlmodel" },
      bare: { 1: "bare/model.mlpackage" },
    });
    expect([...(findModels(folder.path).get("many")?.versions.keys() ?? [])]).toEqual(["1", "2", "10"]);
  });

  test("may hold other things, which are passed over", () => {
    using folder = tempFolder();
    make(
      folder.path,
      ".hidden.mlpackage/",
      "README.md",
      "empty/",
      "zero/0/a.mlmodel",
      "words/one/a.mlmodel",
      "hollow/1/",
    );
    expect(describeFound(folder.path)).toEqual({});
  });

  test("with two models of one name, or in one version, is refused", async () => {
    using folder = tempFolder();
    make(folder.path, "twin.mlpackage/", "twin.mlmodel");
    expect(await failureOf(() => findModels(folder.path))).toMatchObject({
      code: "USAGE",
      hint: "Rename one of them",
    });
    using other = tempFolder();
    make(other.path, "m/1/a.mlmodel", "m/1/b.mlmodel");
    expect(await failureOf(() => findModels(other.path))).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("it has 2"),
    });
  });

  test("that is not there is an error of the file system", async () => {
    using folder = tempFolder();
    expect(await failureOf(() => findModels(join(folder.path, "none")))).toMatchObject({ code: "IO" });
  });
});

test("a fingerprint changes with any file of the model, and with its options", () => {
  using folder = tempFolder();
  make(folder.path, "m.mlpackage/Data/a/weights.bin", "m.mlpackage/Manifest.json");
  const model = singleModel("m", join(folder.path, "m.mlpackage"));
  const seen = [fingerprint(model)];
  const change = (action: () => void) => {
    action();
    const mark = fingerprint(model);
    expect(fingerprint(model)).toBe(mark);
    expect(seen).not.toContain(mark);
    seen.push(mark);
  };
  change(() => writeFileSync(join(folder.path, "m.mlpackage/Data/a/weights.bin"), "more"));
  change(() => utimesSync(join(folder.path, "m.mlpackage/Manifest.json"), 1, 1));
  change(() => make(folder.path, "m.mlpackage/Data/b"));
  change(() => writeFileSync(join(folder.path, "m.toml"), "threads = 1"));
});

describe("a model's options", () => {
  const read = (text: string) => {
    using folder = tempFolder();
    const path = join(folder.path, "model.toml");
    writeFileSync(path, text);
    return readModelOptions(path);
  };

  test("are read from TOML, and are nothing where there is no file", () => {
    expect(readModelOptions(undefined)).toEqual({});
    expect(readModelOptions("/nonexistent/model.toml")).toEqual({});
    expect(read("instances = 2\nversions = [1, 3]\n[resources]\nane = 1")).toEqual({
      instances: 2,
      versions: [1, 3],
      resources: { ane: 1 },
    });
  });

  test.each([
    ["instance = 2", /^Unknown setting "instance" in ".*model.toml"$/, 'Did you mean "instances"?'],
    ["instances = 0", /^Cannot use "instances" from/, undefined],
    ['device = "tpu"', /^Cannot use "device" from/, undefined],
    ["instances =", /^Cannot read ".*model.toml": /, undefined],
  ])("such as %p are refused", async (text, message, hint) => {
    const error = await failureOf(() => read(text));
    expect(error).toMatchObject({ code: "USAGE", message: expect.stringMatching(message) });
    expect(error.hint).toBe(hint);
  });

  test("go before those of all models, and threads are shared where nobody says", () => {
    const common = { threads: undefined, instances: 3, device: "cpu", inline: "auto" } as const;
    expect(loadOptionsOf({ instances: 1, inline: false }, common)).toMatchObject({
      instances: 1,
      threads: "share",
      device: "cpu",
      inline: false,
    });
    expect(loadOptionsOf({}, { ...common, threads: 4 })).toMatchObject({
      instances: 3,
      threads: 4,
      inline: "auto",
    });
  });

  test("choose versions: the latest, all, or those named", async () => {
    const versions = new Map(["1", "2", "10"].map((version) => [version, `/m/${version}`]));
    const chosen = (wanted: Parameters<typeof chooseVersions>[1]["versions"]) =>
      chooseVersions(versions, wanted === undefined ? {} : { versions: wanted }).map(([version]) => version);
    expect(chosen(undefined)).toEqual(["10"]);
    expect(chosen("all")).toEqual(["1", "2", "10"]);
    expect(chosen([2])).toEqual(["2"]);
    expect(await failureOf(() => chosen([4]))).toMatchObject({ code: "NOT_FOUND" });
  });
});
