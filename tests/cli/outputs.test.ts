// What a prediction leaves on the disk, and what happens where nothing can be written.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { decodeNpy, decodeNpz, encodeNpy } from "../../src/codecs/npy.ts";
import { decodeImage } from "../../src/codecs/image.ts";
import { encodePng } from "../../src/codecs/png.ts";
import { decodeSafetensors } from "../../src/codecs/safetensors.ts";
import { f32, tensorOf } from "../../src/core/tensor.ts";
import { writeHalfModel, writePictureModel, writeSumModel } from "../support/program-models.ts";
import { coremlx, expectFailure, type ProgramResult, run, runCommand, runJson } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";
import { mounts, program, testWith, withMount } from "../support/tools.ts";

setDefaultTimeout(60_000);

const digits = "examples/digits/Digits.mlpackage";
const digit = (n: number) => resolve(import.meta.dir, `../../examples/digits/digit_${n}.png`);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
let count = 0;
const fresh = (ending = "") => join(folder.path, `o${count++}${ending}`);
const bytesOf = (...parts: string[]) => new Uint8Array(readFileSync(join(...parts)));
const jsonOf = (...parts: string[]): unknown => JSON.parse(readFileSync(join(...parts), "utf8"));

const sum = writeSumModel(fresh(".mlpackage"));
const summed = ["-i", "left=[[1,2,3],[4,5,6]]", "-i", "right=ones"];
const expected = f32([2, 3, 4, 5, 6, 7], [2, 3]);

describe("--output-dir", () => {
  test("holds an npy per array and an index", async () => {
    const out = fresh();
    const { code, stdout, stderr } = await run(["infer", sum, ...summed, "--output-dir", out]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: `wrote ${out}\n` });
    expect(stdout).toMatch(/^portable · cpu · open .* · load .* · predict .*\n$/);
    expect(readdirSync(out).toSorted()).toEqual(["outputs.json", "sum.npy"]);
    expect(decodeNpy(bytesOf(out, "sum.npy"), "sum.npy")).toEqual(expected);
    expect(jsonOf(out, "outputs.json")).toEqual({
      sum: { dtype: "float32", shape: [2, 3], file: "sum.npy" },
    });
  });

  test("holds labels and probabilities in the index alone", async () => {
    const out = fresh();
    const document = await runJson(["infer", digits, digit(3), "--output-dir", out]);
    expect(readdirSync(out)).toEqual(["outputs.json"]);
    expect(jsonOf(out, "outputs.json")).toEqual(document["outputs"]);
    expect(document["outputs"]).toMatchObject({ classLabel: "3" });
  });

  test("holds a png per picture", async () => {
    const out = fresh();
    const model = writePictureModel(fresh(".mlpackage"));
    const picture = tensorOf(
      "uint8",
      Array.from({ length: 36 }, (_, i) => i * 7),
      [3, 4, 3],
    );
    const given = fresh(".png");
    writeFileSync(given, encodePng(picture));
    const document = await runJson(["infer", model, given, "--output-dir", out]);
    expect(document["outputs"]).toEqual({ copy: { dtype: "uint8", shape: [3, 4, 3], file: "copy.png" } });
    const { width, height, pixels } = await decodeImage(bytesOf(out, "copy.png"), "copy.png");
    expect({ width, height, pixels }).toEqual({ width: 4, height: 3, pixels: picture.bytes });
  });

  test("keeps the declared type of an array", async () => {
    const out = fresh();
    const half = writeHalfModel(fresh(".mlpackage"));
    await runJson(["infer", half, "[1, 0.1, -1, 65504]", "--output-dir", out]);
    expect(decodeNpy(bytesOf(out, "y.npy"), "y.npy")).toEqual(tensorOf("float16", [1, 0.1, 0, 65504]));
  });

  test("has a folder for each of several files, named like the file, numbered where names repeat", async () => {
    const [out, first, second] = [fresh(), fresh(), fresh()];
    for (const path of [first, second]) mkdirSync(path);
    copyFileSync(digit(1), join(first, "a digit.png"));
    copyFileSync(digit(2), join(second, "a digit.png"));
    const files = [join(first, "a digit.png"), `image=${join(second, "a digit.png")}`, digit(8)];
    const document = await runJson(["infer", digits, ...files, "--output-dir", out]);
    expect(readdirSync(out).toSorted()).toEqual(["a_digit", "a_digit-2", "digit_8"]);
    const labels = ["a_digit", "a_digit-2", "digit_8"].map((name) => jsonOf(out, name, "outputs.json"));
    expect(labels).toMatchObject([{ classLabel: "1" }, { classLabel: "2" }, { classLabel: "8" }]);
    expect(document["results"]).toMatchObject(files.map((file, i) => ({ file, outputs: labels[i] })));
  });

  test("is written over, file by file", async () => {
    const out = fresh();
    mkdirSync(out);
    writeFileSync(join(out, "sum.npy"), "old");
    writeFileSync(join(out, "mine.txt"), "mine");
    await runJson(["infer", sum, ...summed, "--output-dir", out]);
    expect(readdirSync(out).toSorted()).toEqual(["mine.txt", "outputs.json", "sum.npy"]);
    expect(decodeNpy(bytesOf(out, "sum.npy"), "sum.npy")).toEqual(expected);
  });
});

describe("--output", () => {
  test("writes one file in the format of its ending, with the folders it needs", async () => {
    const out = fresh();
    const write = (name: string) => run(["infer", sum, ...summed, "--output", join(out, name), "--quiet"]);
    const results = await Promise.all(["a.npz", "deep/a.safetensors", "a.json", "a.npy"].map(write));
    expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      results.map(() => ({ code: 0, stderr: "" })),
    );
    const arrays = new Map([["sum", expected]]);
    expect(decodeNpz(bytesOf(out, "a.npz"), "a.npz")).toEqual(arrays);
    expect(decodeSafetensors(bytesOf(out, "deep/a.safetensors"), "a.safetensors").tensors).toEqual(arrays);
    expect(jsonOf(out, "a.json")).toEqual({
      sum: {
        dtype: "float32",
        shape: [2, 3],
        data: [
          [2, 3, 4],
          [5, 6, 7],
        ],
      },
    });
    expect(decodeNpy(bytesOf(out, "a.npy"), "a.npy")).toEqual(expected);
  });

  test("of a classifier fits JSON, and an npz says why it does not", async () => {
    const out = fresh(".json");
    await runJson(["infer", digits, digit(4), "--output", out]);
    expect(jsonOf(out)).toMatchObject({ classLabel: "4" });
    await expectFailure(["infer", digits, digit(4), "--output", fresh(".npz")], {
      exit: 4,
      code: "BAD_INPUT",
      message: 'Cannot write "classLabel" to a .npz file: it is a string',
      hint: "Write .json, which holds every kind of value, or use --output-dir",
    });
  });

  test("follows a link, and keeps it", async () => {
    const [target, link] = [fresh(".npy"), fresh(".npy")];
    writeFileSync(target, "old");
    symlinkSync(target, link);
    await runJson(["infer", sum, ...summed, "--output", link]);
    expect(readlinkSync(link)).toBe(target);
    expect(decodeNpy(bytesOf(target), "a.npy")).toEqual(expected);
  });

  test("into a device leaves the device alone", async () => {
    const device = fresh(".onnx");
    symlinkSync("/dev/null", device);
    expect(await run(["export", digits, "-o", device])).toMatchObject({ code: 0 });
    expect(readlinkSync(device)).toBe("/dev/null");
    expect(Bun.spawnSync(["test", "-c", "/dev/null"]).success).toBe(true);
  });

  test.each([
    [
      ["--output", "a.xyz"],
      'Cannot write "a.xyz": its ending names no format',
      "Use .npz, .safetensors or .json",
    ],
    [
      ["--output", "a.npz", "--output-dir", "b"],
      "Options --output and --output-dir exclude each other",
      undefined,
    ],
    [
      ["--output", "-"],
      "Cannot write the outputs to the standard output in no known format",
      "Use --json, which prints them, or --output FILE.npz",
    ],
    [
      [digit(1), digit(2), "--output", "a.json"],
      "Option --output takes the outputs of one prediction",
      "Use --output-dir, which makes a folder for each",
    ],
  ] as const)("%p is refused", async (args, message, hint) => {
    await expectFailure(["infer", digits, ...args], { exit: 2, code: "USAGE", message, hint });
  });
});

describe("where nothing can be written", () => {
  test("a file in the place of the folder", async () => {
    const out = fresh();
    writeFileSync(out, "in the way");
    await expectFailure(["infer", sum, ...summed, "--output-dir", out], {
      exit: 1,
      code: "IO",
      message: `Cannot write "${out}": a file is in the place of the folder`,
      hint: "Choose another name",
      details: { path: out, errno: "EEXIST" },
    });
    await expectFailure(["infer", sum, ...summed, "--output", join(out, "deep/a.npz")], {
      exit: 1,
      code: "IO",
      message: `Cannot write "${join(out, "deep")}": a part of its path is a file, not a folder`,
      hint: "Choose another name",
    });
    expect(readFileSync(out, "utf8")).toBe("in the way");
  });

  test("a folder in the place of the file", async () => {
    const out = fresh(".npz");
    mkdirSync(out);
    await expectFailure(["infer", sum, ...summed, "--output", out], {
      exit: 1,
      code: "IO",
      message: `Cannot write "${out}": it is a folder`,
      hint: "Name a file",
    });
    expect(readdirSync(out)).toEqual([]);
  });

  const pitch = sharedPath("models/basic-pitch/nmp.mlpackage");
  const outputArguments = (out: string): readonly (readonly string[])[] => [
    ["infer", pitch, "random", "--output-dir", join(out, "answers")],
    ["infer", pitch, "random", "--output", join(out, "answers.npz")],
    ["export", pitch, "-o", join(out, "model.onnx")],
  ];

  testWith([mounts], "a read-only file system", async () => {
    const out = fresh();
    mkdirSync(out);
    for (const args of outputArguments(out)) {
      const result = await runCommand(withMount(out, "ro", [...coremlx, ...args]));
      expectError(
        result,
        /Cannot write ".*": the file system is read-only\nhint: Choose a place you may write to\n$/,
      );
    }
  });

  testWith([mounts, program("find")], "a full disk, on which no part of a file stays", async () => {
    const out = fresh();
    mkdirSync(out);
    // What is left on the small disk is listed before the disk goes.
    const script = `"$@"; code=$?; find "$OUT" -type f; exit $code`;
    for (const args of outputArguments(out)) {
      const words = ["sh", "-c", script, "sh", ...coremlx, ...args];
      const result = await runCommand(withMount(out, "size=64k", words), { env: { OUT: out } });
      expectError(
        result,
        /Cannot write ".*": no space is left on the device\nhint: Free some space, or choose another place\n$/,
      );
      expect(result.stdout).not.toContain("partial");
      expect(result.stdout).not.toContain("outputs.json");
      expect(result.stdout).not.toMatch(/answers.npz|model.onnx/);
    }
  });

  test.skipIf(!existsSync("/dev/full"))("a full disk behind stdout", async () => {
    const result = await runCommand(["sh", "-c", '"$@" > /dev/full', "sh", ...coremlx, "inspect", digits]);
    expectError(
      result,
      /^error: Cannot write to the standard output: no space is left on the device\nhint: .*\n$/,
    );
  });
});

function expectError({ code, stderr }: ProgramResult, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(code).toBe(1);
}

test("an input read and an output written may be the same file", async () => {
  const path = fresh(".npy");
  writeFileSync(path, encodeNpy(f32([1, 2, 3, 4, 5, 6], [2, 3])));
  await runJson(["infer", sum, "-i", `left=${path}`, "-i", "right=ones", "--output", path]);
  expect(decodeNpy(bytesOf(path), "a.npy")).toEqual(expected);
});
