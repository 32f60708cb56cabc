// Predictions through the program: every way to give an input, and what the answer looks like.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { encodeNpy, encodeNpz } from "../../src/codecs/npy.ts";
import { encodeSafetensors } from "../../src/codecs/safetensors.ts";
import { f32, tensorOf, zeros } from "../../src/core/tensor.ts";
import { digitPicture, digitsPackage } from "../support/digits.ts";
import { writeIntegerModel, writeSumModel } from "../support/program-models.ts";
import { type ProgramOptions, run, runJson } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";
import { wavFile } from "../support/wav.ts";

setDefaultTimeout(60_000); // concurrent tests wait for each other

const digits = "examples/digits/Digits.mlpackage";
const seven = "examples/digits/digit_7.png";
const torch: Torch = JSON.parse(
  readFileSync(resolve(import.meta.dir, "../../examples/digits/expected.json"), "utf8"),
);

interface Torch {
  readonly pictures: Readonly<Record<string, { readonly probabilities: Readonly<Record<string, number>> }>>;
}

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const file = (name: string, bytes: Uint8Array | string): string => {
  const path = join(folder.path, name);
  writeFileSync(path, bytes);
  return path;
};

const picture = await digitPicture(7);
const blank = zeros("uint8", [28, 28]);
const sum = writeSumModel(join(folder.path, "sum.mlpackage"));
const integers = writeIntegerModel(join(folder.path, "integers.mlpackage"));
const left = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const right = f32([10, 20, 30, 40, 50, 60], [2, 3]);
const added = {
  sum: {
    dtype: "float32",
    shape: [2, 3],
    data: [
      [11, 22, 33],
      [44, 55, 66],
    ],
  },
};

interface Given {
  readonly args: readonly string[];
  readonly stdin?: Uint8Array<ArrayBuffer>;
}

async function outputsOf(args: readonly string[], options?: ProgramOptions): Promise<unknown> {
  return (await runJson(["infer", ...args], options))["outputs"];
}

describe("a picture for the one input of a classifier", () => {
  const pixels = JSON.stringify(rows(picture.bytes));
  const pair = new Map([
    ["a", blank],
    ["b", picture],
  ]);
  const given: Readonly<Record<string, Given>> = {
    "as a FILE": { args: [seven] },
    "as NAME=FILE": { args: [`image=${seven}`] },
    "as --input FILE": { args: ["--input", seven] },
    "as -i NAME=FILE": { args: ["-i", `image=${seven}`] },
    "as an npy of its pixels": { args: [file("pixels.npy", encodeNpy(picture))] },
    "as an npz": { args: [file("one.npz", encodeNpz(new Map([["image", picture]])))] },
    "as an array of an npz": { args: [`image=${file("two.npz", encodeNpz(pair))}:b`] },
    "as safetensors": { args: [file("one.safetensors", encodeSafetensors(new Map([["image", picture]])))] },
    "as JSON of its pixels": { args: [file("pixels.json", pixels)] },
    "as JSON of all inputs": { args: [`@${file("inputs", `{"image": ${pixels}}`)}`] },
    "as a literal": { args: ["--input", `image=${pixels}`] },
    "as npy on stdin": { args: ["-"], stdin: encodeNpy(picture) },
    "as the picture itself on stdin": { args: ["-"], stdin: new Uint8Array(readFileSync(seven)) },
  };
  const expected = torch.pictures["digit_7.png"]?.probabilities ?? {};

  test.concurrent.each(Object.entries(given))("%s", async (_, { args, stdin }) => {
    const outputs = await outputsOf([digits, ...args], stdin === undefined ? {} : { stdin });
    expect(outputs).toMatchObject({ classLabel: "7" });
    const { classLabel_probs: probabilities } = Object(outputs);
    // float16 weights against torch's float32
    for (const [label, value] of Object.entries(expected))
      expect(Math.abs(probabilities[label] - value)).toBeLessThan(2e-3);
  });

  test.concurrent("reads like an answer", async () => {
    const { code, stdout, stderr } = await run(["infer", digits, seven, "--top", "2", "--no-cache"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /^classLabel: 7\nclassLabel_probs:\n {2}7 {2}96\.7 %\n {2}2 {3}1\.3 %\n {2}… 8 more \(--top 10\)\nportable · cpu · open [\d.]+ m?s · compile [\d.]+ m?s · load [\d.]+ m?s \(cold\) · predict [\d.]+ [mµ]?s\n$/,
    );
  });

  test.concurrent("as a larger photo, which is fitted, and says so", async () => {
    const photo = sharedPath("images/palmtrees_256.jpg");
    const answers = await Promise.all(
      ["stretch", "contain", "crop"].map((fit) => run(["infer", digits, photo, "--fit", fit, "--json"])),
    );
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(answers.map(({ stderr }) => stderr)).toEqual(
      ["stretch", "contain", "crop"].map(
        (fit) => `palmtrees_256.jpg: resized from 256x256 to 28x28 (--fit ${fit})\n`,
      ),
    );
  });
});

describe("several inputs", () => {
  const both = new Map([
    ["left", left],
    ["right", right],
  ]);
  const given: readonly (readonly [string, readonly string[]])[] = [
    [
      "each by --input",
      ["-i", `left=${file("left.npy", encodeNpy(left))}`, "-i", "right=[[10,20,30],[40,50,60]]"],
    ],
    ["each as NAME=VALUE", [`left=${join(folder.path, "left.npy")}`, "right=[[10,20,30],[40,50,60]]"]],
    ["in one npz", [file("both.npz", encodeNpz(both))]],
    ["in one safetensors file", [file("both.safetensors", encodeSafetensors(both))]],
    [
      "in one JSON file",
      [file("both.json", '{"left": [[1,2,3],[4,5,6]], "right": [[10,20,30],[40,50,60]]}')],
    ],
  ];
  test.concurrent.each(given)("%s", async (_, args) => {
    expect(await outputsOf([sum, ...args])).toEqual(added);
  });

  test.concurrent("an array that is not used is mentioned", async () => {
    const path = file("three.npz", encodeNpz(new Map([...both, ["spare", left]])));
    const { code, stderr } = await run(["infer", sum, path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "warn: three.npz: not used: spare\n" });
  });

  test.concurrent("a filling without a name is for the rest", async () => {
    expect(await outputsOf([sum, "-i", `left=${join(folder.path, "left.npy")}`, "-i", "ones"])).toEqual({
      sum: {
        dtype: "float32",
        shape: [2, 3],
        data: [
          [2, 3, 4],
          [5, 6, 7],
        ],
      },
    });
    expect(await outputsOf([sum, "-i", "left=zeros", "-i", "right=ones"])).toEqual({
      sum: {
        dtype: "float32",
        shape: [2, 3],
        data: [
          [1, 1, 1],
          [1, 1, 1],
        ],
      },
    });
  });
});

describe("conversion to the declared type", () => {
  test.concurrent("whole floats become integers, integers floats, an axis of 1 is added", async () => {
    const whole = file("whole.npy", encodeNpy(tensorOf("float64", [1, 2, 3, -4])));
    expect(await outputsOf([integers, whole])).toEqual({
      y: { dtype: "int32", shape: [4], data: [2, 4, 6, -8] },
    });
    const bytes = file("bytes.npy", encodeNpy(tensorOf("uint8", [1, 2, 3, 4, 5, 6], [2, 3])));
    expect(await outputsOf([sum, `left=${bytes}`, `right=${file("right.npy", encodeNpy(right))}`])).toEqual(
      added,
    );
  });

  test.concurrent("a file named like a number is not taken for the number", async () => {
    copyFileSync(seven, join(folder.path, "3"));
    expect(await outputsOf([integers, "[3, 3, 3, 3]"], { cwd: folder.path })).toEqual({
      y: { dtype: "int32", shape: [4], data: [6, 6, 6, 6] },
    });
  });
});

describe("without inputs", () => {
  test.concurrent("everything is random, stderr says so and how to do better", async () => {
    const { code, stdout, stderr } = await run(["infer", sum]);
    expect(code).toBe(0);
    expect(stdout).toStartWith("sum: float32 [2, 3]  min ");
    expect(stderr).toBe(
      `no inputs given: "left", "right" filled with seeded random values\n` +
        `to pass real ones: coremlx infer ${sum} --input left=values.npy\n`,
    );
  });

  test.concurrent("the same seed gives the same answer, another one another", async () => {
    const answers = await Promise.all(
      [[], ["--seed", "0"], ["--seed", "7"], ["--input", "random", "--seed", "7"]].map((args) =>
        outputsOf([sum, ...args, "--quiet"]),
      ),
    );
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).not.toEqual(answers[0]);
    expect(answers[3]).toEqual(answers[2]);
  });

  test.concurrent("--quiet says nothing on stderr", async () => {
    expect(await run(["infer", digits, "--quiet", "--json"])).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("the JSON answer", () => {
  test.concurrent("says what ran where, and how long each part took", async () => {
    const { digest } = await runJson(["inspect", digits]);
    const document = await runJson(["infer", digits, seven, "--no-cache"]);
    const { timings, outputs: _, ...rest } = document;
    expect(rest).toEqual({
      schemaVersion: 1,
      model: { path: digits, digest, kind: "mlProgram", function: "main" },
      engine: "portable",
      device: "cpu",
      file: seven,
    });
    expect(Object.keys(Object(timings))).toEqual(["openMs", "compileMs", "loadMs", "runMs"]);
    for (const value of Object.values(Object(timings))) expect(value).toBeGreaterThan(0);
  });

  test.concurrent("holds statistics in place of more than 1,000 elements", async () => {
    const pitch = sharedPath("models/basic-pitch/nmp.mlpackage");
    const outputs = Object(await outputsOf([pitch, "random"]));
    const [first] = Object.values(outputs);
    expect(first).toMatchObject({ dtype: "float32", stats: { nan: 0, inf: 0 } });
    expect(first).not.toHaveProperty("data");
  });

  test.concurrent("--repeat gives the outputs once", async () => {
    expect(await outputsOf([sum, join(folder.path, "both.npz"), "--repeat", "5"])).toEqual(added);
  });
});

describe("audio", () => {
  const pitch = sharedPath("models/basic-pitch/nmp.mlpackage");
  const length = 43_844;
  const tone = Float32Array.from({ length }, (_, i) => Math.round(8_000 * Math.sin(i / 8)) / 32_768);

  test.concurrent("a WAV file of the right length is what its samples are", async () => {
    const wav = file("tone.wav", wavFile(tone, { rate: 22_050 }));
    const samples = file("tone.npy", encodeNpy(tensorOf("float32", tone, [1, length, 1])));
    expect(await outputsOf([pitch, wav])).toEqual(await outputsOf([pitch, samples]));
  });

  test.concurrent("for one of several inputs, the rest filled", async () => {
    const vad = sharedPath("models/silero-vad-mlmodelc/silero_vad.mlmodelc");
    const wav = file("chunk.wav", wavFile(tone.subarray(0, 576), { rate: 16_000 }));
    const outputs = Object(await outputsOf([vad, "-i", `audio_input=${wav}`, "-i", "zeros"]));
    const [probability] = outputs["vad_output"].data.flat(2);
    expect(probability).toBeGreaterThan(0);
    expect(probability).toBeLessThan(1);
  });

  test.concurrent("two channels and another rate, when asked", async () => {
    const stereo = Float32Array.from({ length: 4 * length }, (_, i) => tone[i >> 2] ?? 0);
    const wav = file("stereo.wav", wavFile(stereo, { rate: 44_100, channels: 2 }));
    const outputs = await outputsOf([pitch, wav, "--mixdown", "--resample", "22050"]);
    expect(Object.keys(Object(outputs))).toHaveLength(3);
  });
});

test.concurrent("a model anywhere, from any folder, under any name", async () => {
  const { path } = folder;
  expect(await run(["infer", digitsPackage, resolve(seven)], { cwd: path })).toMatchObject({
    code: 0,
    stderr: "",
  });
});

/** 28 rows of 28. */
function rows(pixels: Uint8Array): number[][] {
  return Array.from({ length: 28 }, (_, row) => [...pixels.subarray(row * 28, row * 28 + 28)]);
}
