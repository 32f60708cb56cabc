import { describe, expect, test } from "bun:test";
import { decodeFile, encodeFile, fileToFeature, type DecodedFile } from "../../../src/codecs/codec.ts";
import { encodeNpy, encodeNpz } from "../../../src/codecs/npy.ts";
import { encodePng } from "../../../src/codecs/png.ts";
import { encodeSafetensors } from "../../../src/codecs/safetensors.ts";
import { f32, tensorOf, type FeatureValue } from "../../../src/core/tensor.ts";
import { arrayType, describeError, errorOf, feature, rejectionOf } from "../../support/codec-fixtures.ts";

const x = f32([1, 2]);
const y = tensorOf("uint8", [0, 128, 255, 7], [2, 2]);
const npy = encodeNpy(x);
const npz = encodeNpz(new Map([["x", x]]));
const safetensors = encodeSafetensors(new Map([["x", x]]), new Map([["k", "v"]]));
const png = encodePng(y);
const json = new TextEncoder().encode(' {"x": [1, 2]}');
const wav = new TextEncoder().encode("RIFF\0\0\0\0WAVEfmt ");

const expected: Readonly<Record<DecodedFile["kind"], DecodedFile>> = {
  npy: { kind: "npy", tensor: x },
  npz: { kind: "npz", tensors: new Map([["x", x]]) },
  safetensors: { kind: "safetensors", tensors: new Map([["x", x]]), metadata: new Map([["k", "v"]]) },
  json: { kind: "json", value: new Map([["x", [1, 2]]]) },
  image: { kind: "image", picture: { width: 2, height: 2, channels: 1, pixels: y.bytes } },
  audio: { kind: "audio", bytes: wav },
};

describe("files are known by content", () => {
  const files = { npy, npz, safetensors, json, image: png, audio: wav } as const;
  for (const kind of ["npy", "npz", "safetensors", "json", "image", "audio"] as const)
    test(kind, async () => {
      const ending = kind === "image" ? "png" : kind === "audio" ? "wav" : kind;
      for (const name of [`a.${ending}`, `dir.d/a.${ending.toUpperCase()}`, "no-ending", "a.bin"])
        expect(await decodeFile(name, files[kind])).toEqual(expected[kind]);
    });

  test("a picture under another picture's ending is still that picture", async () => {
    expect(await decodeFile("a.jpg", png)).toEqual(expected.image);
  });

  test("an empty npz archive", async () => {
    expect(await decodeFile("a.npz", encodeNpz(new Map()))).toEqual({ kind: "npz", tensors: new Map() });
  });
});

describe("what cannot be read is said", () => {
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    [
      "a.png",
      npy,
      'BAD_INPUT: Cannot read "a.png": its content is an npy array, its ending ".png" says otherwise',
    ],
    [
      "a.json",
      png,
      'BAD_INPUT: Cannot read "a.json": its content is a picture, its ending ".json" says otherwise',
    ],
    [
      "a.npy",
      npz,
      'BAD_INPUT: Cannot read "a.npy": its content is a zip archive, its ending ".npy" says otherwise',
    ],
    ["a", new Uint8Array(0), 'BAD_INPUT: Cannot read "a": it is empty'],
    ["a", text("hello"), 'BAD_INPUT: Cannot read "a": its content is of no known format'],
    ["a.npy", text("hello"), 'BAD_INPUT: Cannot read npy "a.npy": it does not begin as an npy file does'],
    [
      "a.json",
      text("{"),
      'BAD_INPUT: Cannot read JSON "a.json": line 1, column 2, at the end: expected a name in quotes',
    ],
    [
      "a.png",
      text("hello"),
      'BAD_INPUT: Cannot read picture "a.png": it is no PNG, JPEG, WebP, GIF or BMP file',
    ],
    [
      "a.safetensors",
      text("BM-hello, a header length far beyond"),
      'BAD_INPUT: Cannot read safetensors "a.safetensors": a header of 8028911418490047810 bytes is more than the limit of 100000000',
    ],
    ["a.flac", text("fLaC...."), 'UNSUPPORTED: Cannot read "a.flac": it is FLAC audio'],
    ["a.wav", text("ID3....."), 'UNSUPPORTED: Cannot read "a.wav": it is MP3 audio'],
  ];
  for (const [name, bytes, message] of cases)
    test(message, async () => {
      expect(describeError(await rejectionOf(decodeFile(name, bytes)))).toBe(message);
    });
});

describe("one input from a file", () => {
  const input = feature(arrayType("float32", [1, 2]));
  const value = f32([1, 2], [1, 2]);

  test("an array, the one of its name in an archive, or JSON", () => {
    expect(fileToFeature({ kind: "npy", tensor: x }, input)).toEqual({ value, resized: undefined });
    const tensors = new Map([
      ["a", f32([3, 4])],
      ["x", x],
    ]);
    expect(fileToFeature({ kind: "npz", tensors }, input).value).toEqual(value);
    expect(fileToFeature({ kind: "npz", tensors }, input, { key: "a" }).value).toEqual(f32([3, 4], [1, 2]));
    expect(
      fileToFeature({ kind: "safetensors", tensors: new Map([["only", x]]), metadata: new Map() }, input)
        .value,
    ).toEqual(value);
    expect(fileToFeature({ kind: "json", value: [1, 2] }, input).value).toEqual(value);
  });

  test("a picture, fitted", () => {
    const type = {
      kind: "image",
      width: 1,
      height: 1,
      colorSpace: "GRAYSCALE",
      constraint: { kind: "fixed" },
    } as const;
    const picture = { width: 2, height: 1, channels: 1, pixels: Uint8Array.of(10, 20) } as const;
    // both pixels weigh the same: (10 + 20) / 2
    expect(fileToFeature({ kind: "image", picture }, feature(type), { fit: "stretch" })).toEqual({
      value: tensorOf("uint8", [15], [1, 1]),
      resized: { from: [2, 1], to: [1, 1], fit: "stretch" },
    });
  });

  test("an archive without the name", () => {
    const tensors = new Map([
      ["a", x],
      ["b", x],
    ]);
    const error = errorOf(() => fileToFeature({ kind: "npz", tensors }, input, { name: "f.npz" }));
    expect(error.message).toBe('Cannot read input "x" from "f.npz": it holds no array called "x"');
    expect(error.hint).toBe('Choose one of "a", "b"');
    expect(errorOf(() => fileToFeature({ kind: "npz", tensors }, input, { key: "c" })).message).toBe(
      'Cannot read input "x" from "archive": it holds no array called "c"',
    );
  });
});

describe("results in a file, by its ending", () => {
  const values = new Map<string, FeatureValue>([
    ["x", x],
    ["n", 5n],
    ["d", 0.5],
  ]);
  const arrays = new Map([
    ["x", x],
    ["n", tensorOf("int64", [5n], [])],
    ["d", tensorOf("float64", [0.5], [])],
  ]);

  test("archives hold arrays and numbers", async () => {
    expect(await decodeFile("o.npz", encodeFile("o.npz", values))).toEqual({ kind: "npz", tensors: arrays });
    expect(await decodeFile("o.SAFETENSORS", encodeFile("o.SAFETENSORS", values))).toMatchObject({
      tensors: arrays,
    });
  });

  test("JSON holds everything, whole", () => {
    const all = new Map<string, FeatureValue>([
      ["label", "cat"],
      ["big", f32(Array.from({ length: 2000 }, () => 1))],
    ]);
    const text = new TextDecoder().decode(encodeFile("o.json", all));
    expect(JSON.parse(text)).toEqual({
      label: "cat",
      big: { dtype: "float32", shape: [2000], data: Array.from({ length: 2000 }, () => 1) },
    });
  });

  test("npy and png hold one array", async () => {
    expect(encodeFile("o.npy", new Map([["x", x]]))).toEqual(npy);
    expect(encodeFile("o.png", new Map([["y", y]]))).toEqual(png);
    expect(describeError(errorOf(() => encodeFile("o.npy", values)))).toBe(
      'BAD_INPUT: Cannot write "o.npy": a .npy file holds one array, got 3',
    );
  });

  test("what a format cannot hold, and unknown endings, are refused", () => {
    const kinds: readonly (readonly [FeatureValue, string])[] = [
      ["cat", "a string"],
      [new Map([["cat", 1]]), "a dictionary"],
      [["a"], "a sequence"],
    ];
    for (const [value, what] of kinds)
      expect(errorOf(() => encodeFile("o.npz", new Map([["p", value]]))).message).toBe(
        `Cannot write "p" to a .npz file: it is ${what}`,
      );
    expect(describeError(errorOf(() => encodeFile("o.txt", values)))).toBe(
      'USAGE: Cannot write "o.txt": the ending ".txt" names no format',
    );
    expect(errorOf(() => encodeFile("out", values)).message).toBe(
      'Cannot write "out": the ending "" names no format',
    );
  });
});
