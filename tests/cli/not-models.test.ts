// Files that are no models: inspect says what each is instead, quickly, and never with a stack trace.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync, zipSync } from "fflate";
import { encodeNpy, encodeNpz } from "../../src/codecs/npy.ts";
import { encodeSafetensors } from "../../src/codecs/safetensors.ts";
import { f32 } from "../../src/core/tensor.ts";
import { goodWeights, modelFile } from "../support/damaged.ts";
import { digitsPackage } from "../support/digits.ts";
import { expectFailure, runCommand } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const root = resolve(import.meta.dir, "../..");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

const convert = "Convert it with coremltools in Python and open the .mlpackage that comes out";
const unpack = "Unpack it and open the model inside";
const text = (content: string) => new TextEncoder().encode(content);
const array = encodeNpy(f32([1, 2, 3]));

interface Foreign {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly what: string;
  readonly hint?: string;
}

const files: readonly Foreign[] = [
  {
    name: "net.onnx",
    bytes: readFileSync(sharedPath("models/basic-pitch/reference/nmp.onnx")),
    what: "an ONNX model",
    hint: convert,
  },
  { name: "photo.jpg", bytes: readFileSync(sharedPath("images/palmtrees_256.jpg")), what: "a JPEG picture" },
  {
    name: "digit.png",
    bytes: readFileSync(join(root, "examples/digits/digit_7.png")),
    what: "a PNG picture",
  },
  {
    name: "model.zip",
    bytes: zipSync({ "Digits.mlpackage/Manifest.json": text("{}") }),
    what: "a zip archive",
    hint: "Unzip it and open the .mlpackage, .mlmodel or .mlmodelc inside",
  },
  {
    name: "net.pt",
    bytes: zipSync({ "net/data.pkl": text("\u0080\u0002.") }),
    what: "a PyTorch file",
    hint: convert,
  },
  { name: "model.tar.gz", bytes: gzipSync(text("model")), what: "a gzip archive", hint: unpack },
  { name: "a.npy", bytes: array, what: "a NumPy array" },
  { name: "a.npz", bytes: encodeNpz(new Map([["a", f32([1])]])), what: "a NumPy archive (npz)" },
  {
    name: "weights.safetensors",
    bytes: encodeSafetensors(new Map([["w", f32([1, 2])]])),
    what: "a safetensors file, weights without a model",
    hint: convert,
  },
  {
    name: "weight.bin",
    bytes: goodWeights,
    what: "the weight file of a model",
    hint: "Open the .mlpackage folder it belongs to",
  },
  {
    name: "download.mlmodel",
    bytes: text("<!DOCTYPE html><html><body>Sign in</body></html>"),
    what: "an HTML page",
    hint: "The download brought a page instead of the file: check the address",
  },
  { name: "config.json", bytes: text('{"layers": 3}'), what: "a JSON file" },
  { name: "README.md", bytes: readFileSync(join(root, "README.md")), what: "a text file" },
  { name: "bun", bytes: readFileSync(process.execPath).subarray(0, 65_536), what: "a program" },
];

describe("inspect says what the file is", () => {
  test.each(files.map((file) => [file.name, file] as const))("%s", async (name, { bytes, what, hint }) => {
    const path = join(folder.path, name);
    writeFileSync(path, bytes);
    const started = performance.now();
    await expectFailure(["inspect", path], {
      exit: 4,
      code: "BAD_MODEL",
      message: `Cannot open "${path}": this is ${what}, not a Core ML model`,
      hint,
    });
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

describe("inspect says what is wrong with the file", () => {
  test("it is empty", async () => {
    const path = join(folder.path, "empty.mlmodel");
    writeFileSync(path, "");
    await expectFailure(["inspect", path], {
      exit: 4,
      code: "BAD_MODEL",
      message: `Cannot open "${path}": the file is empty`,
      hint: "It was probably not copied or downloaded to its end: fetch it again",
    });
  });

  test("it stands for a file that Git LFS has not fetched", async () => {
    const path = join(folder.path, "pointer.mlmodel");
    writeFileSync(
      path,
      `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 12345\n`,
    );
    await expectFailure(["inspect", path], {
      exit: 4,
      code: "BAD_MODEL",
      message: `Cannot open "${path}": "pointer.mlmodel" is a Git LFS pointer, not the file itself`,
      hint: 'Run "git lfs pull" in the repository, or download the file',
    });
  });

  test("it is a pipe, which would never end", async () => {
    const path = join(folder.path, "pipe.mlmodel");
    expect(await runCommand(["mkfifo", path])).toMatchObject({ code: 0 });
    await expectFailure(["inspect", path], {
      exit: 4,
      code: "BAD_MODEL",
      message: `Cannot open "${path}": "pipe.mlmodel" is a named pipe, not a file`,
      hint: undefined,
    });
  });

  test("it is a part of a package", async () => {
    const path = join(digitsPackage, "Manifest.json");
    await expectFailure(["inspect", path], {
      exit: 4,
      code: "BAD_MODEL",
      message: `Cannot open "${path}": this is a JSON file, not a Core ML model`,
      hint: 'Open the folder "Digits.mlpackage" instead',
    });
    const lost = join(folder.path, "lost.mlmodel");
    copyFileSync(join(digitsPackage, modelFile), lost);
    await expectFailure(["inspect", lost], {
      exit: 4,
      code: "BAD_MODEL",
      message: /weight file "@model_path\/weights\/weight.bin" does not exist$/,
      hint: "Copy the whole model folder, weights included",
    });
  });
});
