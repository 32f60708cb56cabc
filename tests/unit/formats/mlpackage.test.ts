import { describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { openModel } from "../../../src/formats/open.ts";
import {
  blob,
  blobFile,
  constant,
  failureOf,
  floats,
  manifest,
  modelBytes,
  modelItem,
  programModel,
  tensorType,
  unary,
  weightsItem,
  writeFiles,
  writePackage,
} from "../../support/model-files.ts";
import { tempFolder } from "../../support/temp.ts";

const both = { A: modelItem, B: weightsItem };

/** A package whose one const lies in the weight file `name`. */
function weightedModel(name = "@model_path/weights/weight.bin"): Uint8Array {
  const value = blob(tensorType(11, [4]), name, 64);
  return modelBytes(programModel([constant("w", value), unary("relu", "x", "y")]));
}

const weights = blobFile(floats(1, 2, 3, 4));

async function refusalOf(files: Readonly<Record<string, unknown>>) {
  using folder = tempFolder();
  const failure = await failureOf(() => openModel(writePackage(folder.path, files)));
  const prefix = `Cannot open ${JSON.stringify(folder.path)}: `;
  expect(failure.message).toStartWith(prefix);
  return { code: failure.code, message: failure.message.slice(prefix.length), hint: failure.hint };
}

describe("a package", () => {
  test("opens, and knows its files and their size", async () => {
    using folder = tempFolder();
    writePackage(folder.path, {
      "Manifest.json": manifest(both),
      "Data/com.apple.CoreML/model.mlmodel": weightedModel(),
      "Data/com.apple.CoreML/weights/weight.bin": weights,
      "Data/com.apple.CoreML/weights/unused.bin": "12345",
      "unlisted.txt": "not part of the model",
    });
    using model = await openModel(folder.path);
    expect(model.container).toBe("mlpackage");
    expect(model.path).toBe(folder.path);
    const names = [
      "Data/com.apple.CoreML/model.mlmodel",
      "Data/com.apple.CoreML/weights/unused.bin",
      "Data/com.apple.CoreML/weights/weight.bin",
      "Manifest.json",
    ];
    expect(model.files).toEqual(names.map((name) => join(folder.path, name)));
    const sizes = [weightedModel().byteLength, 5, 144, Bun.file(join(folder.path, "Manifest.json")).size];
    expect(model.byteLength).toBe(sizes.reduce((sum, size) => sum + size));
  });

  test("may be called anything, come from any author and hold items we do not know", async () => {
    using folder = tempFolder();
    writePackage(folder.path, {
      "Manifest.json": manifest(
        {
          x: { path: "some.where/model.bin", name: "m", author: "me", description: "" },
          y: { path: "other/notes", name: "notes", author: "me", description: "" },
        },
        "x",
      ),
      "Data/some.where/model.bin": modelBytes(programModel()),
      "Data/other/notes/a.txt": "hello",
    });
    using model = await openModel(folder.path);
    expect(model.description.kind).toBe("mlProgram");
    expect(model.files.length).toBe(3);
  });

  test("finds weights in an item of another place", async () => {
    using folder = tempFolder();
    writePackage(folder.path, {
      "Manifest.json": manifest({ A: modelItem, B: { ...weightsItem, path: "elsewhere" } }),
      "Data/com.apple.CoreML/model.mlmodel": weightedModel(),
      "Data/elsewhere/weight.bin": weights,
    });
    using model = await openModel(folder.path);
    expect(model.files.length).toBe(3);
  });

  test("finds unlisted weights beside the model, and counts them among its files", async () => {
    using folder = tempFolder();
    writePackage(folder.path, {
      "Data/com.apple.CoreML/model.mlmodel": weightedModel(),
      "Data/com.apple.CoreML/weights/weight.bin": weights,
    });
    using model = await openModel(folder.path);
    expect(model.files).toContain(join(folder.path, "Data/com.apple.CoreML/weights/weight.bin"));
  });

  test("may be reached by a symbolic link, and have links inside", async () => {
    using folder = tempFolder();
    const path = writePackage(join(folder.path, "real"), {
      "Data/a/real.mlmodel": modelBytes(programModel()),
    });
    rmSync(join(path, "Data/com.apple.CoreML/model.mlmodel"));
    symlinkSync("../a/real.mlmodel", join(path, "Data/com.apple.CoreML/model.mlmodel"));
    symlinkSync("real", join(folder.path, "link"));
    using model = await openModel(join(folder.path, "link"));
    expect(model.description.kind).toBe("mlProgram");
  });

  test("of version 1.9.9 is read", async () => {
    using folder = tempFolder();
    writePackage(folder.path, { "Manifest.json": { ...(manifest() as object), fileFormatVersion: "1.9.9" } });
    using model = await openModel(folder.path);
    expect(model.description.kind).toBe("mlProgram");
  });
});

describe("a manifest is refused that", () => {
  const item = (path: unknown) => ({ "Manifest.json": manifest({ A: { ...modelItem, path } }) });
  const version = (value: unknown) => ({
    "Manifest.json": { ...(manifest() as object), fileFormatVersion: value },
  });
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>, string])[] = [
    ["is no JSON", { "Manifest.json": "{" }, "Manifest.json is no JSON"],
    ["is no UTF-8", { "Manifest.json": Uint8Array.of(0x22, 0xff, 0x22) }, "Manifest.json is no JSON"],
    ["is a list", { "Manifest.json": [] }, "Manifest.json is no JSON object"],
    ["is null", { "Manifest.json": "null" }, "Manifest.json is no JSON object"],
    [
      "is nested 100,000 deep",
      { "Manifest.json": `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}` },
      "Manifest.json has the format version missing",
    ],
    [
      "is 2 MiB long",
      { "Manifest.json": " ".repeat(2 ** 21) },
      '"Manifest.json" has 2097152 bytes, more than the limit of 1048576',
    ],
    [
      "is a Git LFS pointer",
      { "Manifest.json": "version https://git-lfs.example/spec/v1\noid sha256:0\n" },
      '"Manifest.json" is a Git LFS pointer, not the file itself',
    ],
    [
      "has version 2",
      version("2.0.0"),
      'Manifest.json has the format version "2.0.0", the newest known is 1',
    ],
    [
      "has a version of two numbers",
      version("1.0"),
      'Manifest.json has the format version "1.0", expected three numbers as in "1.0.0"',
    ],
    [
      "has a number for a version",
      version(1),
      'Manifest.json has the format version 1, expected three numbers as in "1.0.0"',
    ],
    [
      "has no version",
      version(undefined),
      'Manifest.json has the format version missing, expected three numbers as in "1.0.0"',
    ],
    [
      "has an object for a version",
      version({}),
      'Manifest.json has the format version an object, expected three numbers as in "1.0.0"',
    ],
    [
      "has no items",
      { "Manifest.json": { fileFormatVersion: "1.0.0", rootModelIdentifier: "A" } },
      'Manifest.json has no items ("itemInfoEntries" is missing)',
    ],
    [
      "has a root that is no item",
      { "Manifest.json": manifest({ A: modelItem }, "B") },
      'Manifest.json names the root model "B", which is none of its items',
    ],
    [
      "has an item that is no object",
      { "Manifest.json": manifest({ A: "x" }) },
      'Manifest.json has an item "A" whose "description" is missing, expected a string',
    ],
    [
      "has an item without an author",
      { "Manifest.json": manifest({ A: { path: "a", name: "b", description: "c" } }) },
      'Manifest.json has an item "A" whose "author" is missing, expected a string',
    ],
    [
      "has an item with a number for a path",
      item(3),
      'Manifest.json has an item "A" whose "path" is 3, expected a string',
    ],
    [
      "has a NUL in a path",
      item("a\0b"),
      'Manifest.json has an item "A" whose "path" is "a\\u0000b", expected a string',
    ],
    ["has an absolute path", item("/etc/passwd"), 'Manifest.json has the absolute path "/etc/passwd"'],
    [
      "has .. at the start",
      item("../model.mlmodel"),
      'Manifest.json has the path "../model.mlmodel", which leads out of the package ("..")',
    ],
    ["has .. in the middle", item("a/../../model.mlmodel"), 'which leads out of the package ("..")'],
    [
      "has .. that leads back in",
      item("com.apple.CoreML/../com.apple.CoreML/model.mlmodel"),
      'which leads out of the package ("..")',
    ],
    ["has an empty path", item(""), 'Manifest.json has the path "", which names no file'],
    ["has the path .", item("./."), 'Manifest.json has the path "./.", which names no file'],
    ["has a path of 5,000 characters", item("a".repeat(5000)), "which names no file"],
    [
      "lists what does not exist",
      { "Manifest.json": manifest(both) },
      '"Data/com.apple.CoreML/weights" does not exist',
    ],
    [
      "lists one path twice",
      { "Manifest.json": manifest({ A: modelItem, B: { ...modelItem, name: "other" } }) },
      'Manifest.json lists the path "Data/com.apple.CoreML/model.mlmodel" twice',
    ],
    [
      "lists one path twice in two spellings",
      {
        "Manifest.json": manifest({
          A: modelItem,
          B: { ...modelItem, path: "com.apple.coreml//model.mlmodel", name: "other" },
        }),
      },
      'Manifest.json lists the path "Data/com.apple.CoreML/model.mlmodel" and "Data/com.apple.coreml/model.mlmodel"',
    ],
    [
      "lists one name twice",
      { "Manifest.json": manifest({ A: modelItem, B: { ...modelItem, path: "other" } }) },
      'Manifest.json has two items with the name and author "model.mlmodel, com.apple.CoreML" twice',
    ],
    [
      "leads to files that differ only in case",
      {
        "Manifest.json": manifest(both),
        "Data/com.apple.CoreML/weights/a.bin": "1",
        "Data/com.apple.CoreML/weights/A.bin": "2",
      },
      "leads to two files whose names differ only in case or Unicode form",
    ],
    [
      "leads to files that differ only in Unicode form",
      {
        "Manifest.json": manifest(both),
        "Data/com.apple.CoreML/weights/\u00e9.bin": "1",
        "Data/com.apple.CoreML/weights/e\u0301.bin": "2",
      },
      "leads to two files whose names differ only in case or Unicode form",
    ],
    [
      "names a folder as the model",
      { "Manifest.json": manifest({ A: { ...modelItem, path: "com.apple.CoreML" } }) },
      '"Data/com.apple.CoreML" is a folder, not a file',
    ],
  ];
  for (const [name, files, message] of cases) {
    test(name, async () => {
      const failure = await refusalOf(files);
      expect(failure.code).toBe("BAD_MODEL");
      expect(failure.message).toContain(message);
    });
  }

  test("names no root model", async () => {
    const { rootModelIdentifier: _, ...rest } = manifest() as Record<string, unknown>;
    expect((await refusalOf({ "Manifest.json": rest })).message).toBe(
      'Manifest.json names no root model ("rootModelIdentifier" is missing)',
    );
  });

  test("has more items than the limit", async () => {
    using folder = tempFolder();
    const failure = await failureOf(() =>
      openModel(writePackage(folder.path), { limits: { maxManifestItems: 0 } }),
    );
    expect(failure.message).toEndWith("Manifest.json has 1 items, more than the limit of 0");
  });
});

describe("links that lead out of the package are refused:", () => {
  const outside = {
    "outside/model.mlmodel": modelBytes(programModel()),
    "outside/weights/weight.bin": weights,
  };
  const inPackage = "p/Data/com.apple.CoreML";

  async function linkRefusal(make: (root: string) => void): Promise<string> {
    using folder = tempFolder();
    writeFiles(folder.path, outside);
    const path = writePackage(join(folder.path, "p"), {
      "Manifest.json": manifest(both),
      "Data/com.apple.CoreML/model.mlmodel": weightedModel(),
      "Data/com.apple.CoreML/weights/weight.bin": weights,
    });
    make(folder.path);
    const failure = await failureOf(() => openModel(path));
    expect(failure.code).toBe("BAD_MODEL");
    expect(failure.hint).toContain("Copy the model");
    using trusted = await openModel(path, { allowOutsideLinks: true });
    expect(trusted.description.kind).toBe("mlProgram");
    return failure.message.slice(`Cannot open ${JSON.stringify(path)}: `.length);
  }

  test("a symbolic link in place of the model", async () => {
    const message = await linkRefusal((root) => {
      rmSync(join(root, inPackage, "model.mlmodel"));
      symlinkSync(join(root, "outside/model.mlmodel"), join(root, inPackage, "model.mlmodel"));
    });
    expect(message).toBe(
      '"Data/com.apple.CoreML/model.mlmodel" is a symbolic link that leads out of the model',
    );
  });

  test("a symbolic link in place of the weights", async () => {
    const message = await linkRefusal((root) => {
      rmSync(join(root, inPackage, "weights/weight.bin"));
      symlinkSync("../../../../outside/weights/weight.bin", join(root, inPackage, "weights/weight.bin"));
    });
    expect(message).toBe(
      '"Data/com.apple.CoreML/weights/weight.bin" is a symbolic link that leads out of the model',
    );
  });

  test("a symbolic link in place of the manifest", async () => {
    const message = await linkRefusal((root) => {
      renameSync(join(root, "p/Manifest.json"), join(root, "outside/Manifest.json"));
      symlinkSync("../outside/Manifest.json", join(root, "p/Manifest.json"));
    });
    expect(message).toBe('"Manifest.json" is a symbolic link that leads out of the model');
  });

  test("a symbolic link in place of a folder on the way", async () => {
    const message = await linkRefusal((root) => {
      renameSync(join(root, "p/Data"), join(root, "outside/Data"));
      symlinkSync("../outside/Data", join(root, "p/Data"));
    });
    expect(message).toBe(
      '"Data/com.apple.CoreML/model.mlmodel" is a symbolic link that leads out of the model',
    );
  });

  for (const name of ["model.mlmodel", "weights/weight.bin"]) {
    test(`a hard link in place of ${name}`, async () => {
      const message = await linkRefusal((root) => {
        rmSync(join(root, inPackage, name));
        linkSync(join(root, "outside", name), join(root, inPackage, name));
      });
      expect(message).toBe(
        `"Data/com.apple.CoreML/${name}" is a hard link to a file outside the model (2 links, 1 inside)`,
      );
    });
  }

  test("a hard link in place of the manifest", async () => {
    const message = await linkRefusal((root) =>
      linkSync(join(root, "p/Manifest.json"), join(root, "outside/Manifest.json")),
    );
    expect(message).toBe('"Manifest.json" is a hard link to a file outside the model (2 links, 1 inside)');
  });

  test("but two names of one file inside are fine", async () => {
    using folder = tempFolder();
    const path = writePackage(folder.path, {
      "Manifest.json": manifest(both),
      "Data/com.apple.CoreML/model.mlmodel": weightedModel(),
      "Data/com.apple.CoreML/weights/weight.bin": weights,
    });
    linkSync(
      join(path, "Data/com.apple.CoreML/weights/weight.bin"),
      join(path, "Data/com.apple.CoreML/weights/1-weight.bin"),
    );
    using model = await openModel(path);
    expect(model.files.length).toBe(4);
  });
});

describe("what is no regular file is refused without waiting for it:", () => {
  async function pipeRefusal(name: string): Promise<string> {
    using folder = tempFolder();
    const path = writePackage(folder.path, {
      "Manifest.json": manifest(both),
      "Data/com.apple.CoreML/weights/weight.bin": weights,
    });
    rmSync(join(path, name));
    expect(Bun.spawnSync(["mkfifo", join(path, name)]).exitCode).toBe(0);
    return (await failureOf(() => openModel(path))).message;
  }

  for (const name of [
    "Manifest.json",
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
  ]) {
    test(`a named pipe as ${name}`, async () => {
      expect(await pipeRefusal(name)).toEndWith(`: ${JSON.stringify(name)} is a named pipe, not a file`);
    });
  }

  test("a symbolic link to a folder, or to nothing, among the items", async () => {
    using folder = tempFolder();
    const path = writePackage(folder.path, {
      "Manifest.json": manifest(both),
      "Data/com.apple.CoreML/weights/weight.bin": weights,
    });
    symlinkSync(".", join(path, "Data/com.apple.CoreML/weights/loop"));
    expect((await failureOf(() => openModel(path))).message).toEndWith(
      '"Data/com.apple.CoreML/weights/loop" is a symbolic link to a folder',
    );
    rmSync(join(path, "Data/com.apple.CoreML/weights/loop"));
    symlinkSync("nothing", join(path, "Data/com.apple.CoreML/weights/loop"));
    expect((await failureOf(() => openModel(path))).message).toContain("does not exist");
  });

  test("folders that are too deep or too full", async () => {
    using folder = tempFolder();
    const path = writePackage(folder.path, { "Manifest.json": manifest(both) });
    mkdirSync(join(path, "Data/com.apple.CoreML/weights", ...Array.from({ length: 40 }, () => "d")), {
      recursive: true,
    });
    expect((await failureOf(() => openModel(path))).message).toEndWith(
      "folders are nested more than 32 deep",
    );
    const failure = await failureOf(() => openModel(path, { limits: { maxFolderEntries: 3 } }));
    expect(failure.message).toEndWith("the folder has more than 3 entries");
  });
});
