import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  fillMissing,
  type InputOptions,
  readInputs,
  readStdinOnce,
  stemOf,
} from "../../../src/cli/inputs.ts";
import { encodeNpy, encodeNpz } from "../../../src/codecs/npy.ts";
import type { FeatureDescription, FeatureType } from "../../../src/core/model.ts";
import { f32, tensorOf } from "../../../src/core/tensor.ts";
import { digitPicture } from "../../support/digits.ts";
import { testIo } from "../../support/io.ts";
import { failureOf } from "../../support/model-files.ts";
import { tempFolder } from "../../support/temp.ts";
import { wavFile } from "../../support/wav.ts";

const array = (dtype: "float32" | "int32", shape: readonly number[]): FeatureType => ({
  kind: "multiArray",
  dtype,
  shape,
  constraint: { kind: "fixed" },
  defaultValue: undefined,
});
const feature = (name: string, type: FeatureType, isOptional = false): FeatureDescription => ({
  name,
  type,
  isOptional,
  description: "",
});
const picture = feature("image", {
  kind: "image",
  width: 28,
  height: 28,
  colorSpace: "GRAYSCALE",
  constraint: { kind: "fixed" },
});
const x = feature("x", array("float32", [2]));
const y = feature("y", array("float32", [2]));
const text = feature("text", { kind: "string" });

interface Given extends Partial<InputOptions> {
  readonly inputs: readonly FeatureDescription[];
}

function optionsFor(given: Given): InputOptions & { readonly logged: string[] } {
  const logged: string[] = [];
  return {
    fit: "stretch",
    isMixdown: false,
    resampleHz: undefined,
    seed: 0,
    io: testIo(),
    log: (level, message) => logged.push(`${level}: ${message}`),
    logged,
    ...given,
  };
}

const read = (specs: readonly string[], given: Given) => readInputs(specs, optionsFor(given));

async function refusal(specs: readonly string[], given: Given): Promise<string> {
  const { code, message, hint } = await failureOf(() => read(specs, given));
  return `${code}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
}

describe("which input a value is for", () => {
  test("the one it names, or the only one", async () => {
    expect(await read(["x=[1,2]"], { inputs: [x, y] })).toEqual(new Map([["x", f32([1, 2])]]));
    expect(await read(["[1,2]"], { inputs: [x] })).toEqual(new Map([["x", f32([1, 2])]]));
  });

  test("names may hold an equals sign, and the longest that fits counts", async () => {
    const inputs = [feature("a", array("float32", [1])), feature("a=b", array("float32", [1]))];
    expect(await read(["a=b=[1]", "a=[2]"], { inputs })).toEqual(
      new Map([
        ["a=b", f32([1])],
        ["a", f32([2])],
      ]),
    );
  });

  test("a path with an equals sign is a path, where the file is there", async () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "k=v.npy"), encodeNpy(f32([1, 2])));
    const io = testIo({ cwd: folder.path });
    expect(await read(["k=v.npy"], { inputs: [x], io })).toEqual(new Map([["x", f32([1, 2])]]));
    expect(await refusal(["k=w.npy"], { inputs: [x], io })).toBe(
      'BAD_INPUT: Unknown input "k" (Did you mean "x"?)',
    );
  });

  test("a filling is for all, for the rest, or for the one it names", async () => {
    const ones = f32([1, 1]);
    expect(await read(["ones"], { inputs: [x, y] })).toEqual(
      new Map([
        ["x", ones],
        ["y", ones],
      ]),
    );
    expect(await read(["zeros", "y=ones"], { inputs: [x, y] })).toEqual(
      new Map([
        ["y", ones],
        ["x", f32([0, 0])],
      ]),
    );
    expect(await refusal(["zeros", "ones"], { inputs: [x] })).toBe(
      'BAD_INPUT: Cannot fill all inputs with "zeros" and with "ones"',
    );
  });

  test("what is missing is filled by seed and name, optional ones stay away", async () => {
    const inputs = [x, y, feature("maybe", array("float32", [2]), true)];
    const values = await read(["x=[1,2]"], { inputs });
    const options = optionsFor({ inputs, seed: 7 });
    expect(fillMissing(values, options)).toEqual(["y"]);
    expect([...values.keys()]).toEqual(["x", "y"]);
    const again = new Map();
    fillMissing(again, options);
    expect(again.get("y")).toEqual(values.get("y"));
  });
});

describe("text", () => {
  test("is a literal where a string is due, even if it looks like something else", async () => {
    const values = async (spec: string) => (await read([spec], { inputs: [text] })).get("text");
    expect(await values("text=random")).toBe("random");
    expect(await values("text=a.png")).toBe("a.png");
    expect(await values("text=")).toBe("");
    expect(await values("Hello, world")).toBe("Hello, world");
    expect(await values("./not/there")).toBe("./not/there");
  });

  test("comes from a file behind @", async () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "t.json"), '"from a file"');
    const io = testIo({ cwd: folder.path });
    expect(await read(["text=@t.json"], { inputs: [text], io })).toEqual(new Map([["text", "from a file"]]));
    expect(await refusal(["text=@u.json"], { inputs: [text], io })).toBe(
      'BAD_INPUT: Cannot read u.json: there is no such file or folder (Did you mean "t.json"?)',
    );
  });

  test("without a value where there are several inputs needs a name", async () => {
    expect(await refusal([""], { inputs: [x, y] })).toBe(
      'BAD_INPUT: Cannot tell which input "" is for: the model has 2 inputs (Write --input NAME=VALUE with one of x, y)',
    );
    expect(await refusal([""], { inputs: [x] })).toBe(
      'BAD_INPUT: Cannot read input "x": it is given no value (Write x=VALUE, for instance x=zeros)',
    );
  });
});

describe("files", () => {
  test("archives give all inputs by name, what is left over is mentioned", async () => {
    using folder = tempFolder();
    const io = testIo({ cwd: folder.path });
    const arrays = new Map([
      ["x", f32([1, 2])],
      ["y", f32([3, 4])],
      ["z", f32([5])],
    ]);
    writeFileSync(join(folder.path, "all.npz"), encodeNpz(arrays));
    const options = optionsFor({ inputs: [x, y], io });
    expect(await readInputs(["all.npz"], options)).toEqual(
      new Map([
        ["x", f32([1, 2])],
        ["y", f32([3, 4])],
      ]),
    );
    expect(options.logged).toEqual(["warn: all.npz: not used: z"]);
    expect(await read(["x=all.npz:y"], { inputs: [x, y], io })).toEqual(new Map([["x", f32([3, 4])]]));
    expect(await refusal(["x=all.npz:w"], { inputs: [x, y], io })).toMatch(/^BAD_INPUT: .*"w"/);
    const others = [feature("p", array("float32", [2])), feature("q", array("float32", [2]))];
    expect(await refusal(["all.npz"], { inputs: others, io })).toBe(
      "BAD_INPUT: Cannot use all.npz: no array in it is named like an input " +
        "(It holds x, y, z; choose one with --input NAME=all.npz:KEY)",
    );
  });

  test("a JSON object is all inputs, or the dictionary that is due", async () => {
    using folder = tempFolder();
    const io = testIo({ cwd: folder.path });
    writeFileSync(join(folder.path, "d.json"), '{"a": 1, "b": 2.5}');
    const words = feature("words", { kind: "dictionary", key: "string" });
    const counts = new Map([
      ["a", 1],
      ["b", 2.5],
    ]);
    expect(await read(["d.json"], { inputs: [words], io })).toEqual(new Map([["words", counts]]));
    writeFileSync(join(folder.path, "e.json"), '{"words": {"a": 1, "b": 2.5}}');
    expect(await read(["e.json"], { inputs: [words], io })).toEqual(new Map([["words", counts]]));
    writeFileSync(join(folder.path, "f.json"), '{"x": [1, 2], "y": [3, 4]}');
    expect((await read(["f.json"], { inputs: [x, y], io })).size).toBe(2);
    writeFileSync(join(folder.path, "g.json"), "[1, 2]");
    expect(await read(["g.json"], { inputs: [x], io })).toEqual(new Map([["x", f32([1, 2])]]));
  });

  test("pictures are fitted, and that is said", async () => {
    const path = resolve(import.meta.dir, "../../../examples/digits/digit_7.png");
    expect(await read([path], { inputs: [picture] })).toEqual(new Map([["image", await digitPicture(7)]]));
    const small = feature("small", { ...picture.type, width: 14, height: 14 } as FeatureType);
    const options = optionsFor({ inputs: [small], fit: "crop" });
    const value = (await readInputs([`small=${path}`], options)).get("small");
    expect(value).toMatchObject({ dtype: "uint8", shape: [14, 14] });
    expect(options.logged).toEqual(["info: digit_7.png: resized from 28x28 to 14x14 (--fit crop)"]);
  });

  test("audio needs one channel, or --mixdown, and keeps its rate unless told", async () => {
    using folder = tempFolder();
    const io = testIo({ cwd: folder.path });
    const signal = feature("signal", array("float32", [1, 4, 1]));
    writeFileSync(join(folder.path, "mono.wav"), wavFile([0, 0.5, -0.5, 0.25], { rate: 100 }));
    const stereo = [0, 0.5, 0.5, 0, 0, -0.5, 0.25, 0.25];
    writeFileSync(join(folder.path, "stereo.wav"), wavFile(stereo, { rate: 100, channels: 2 }));
    expect((await read(["mono.wav"], { inputs: [signal], io })).get("signal")).toEqual(
      f32([0, 0.5, -0.5, 0.25], [1, 4, 1]),
    );
    expect(await refusal(["stereo.wav"], { inputs: [signal], io })).toBe(
      'BAD_INPUT: Cannot use stereo.wav for input "signal": it has 2 channels, the model takes one ' +
        "(Average the channels with --mixdown)",
    );
    expect((await read(["stereo.wav"], { inputs: [signal], io, isMixdown: true })).get("signal")).toEqual(
      f32([0.25, 0.25, -0.25, 0.25], [1, 4, 1]),
    );
    const double = feature("double", array("float32", [8]));
    expect((await read(["mono.wav"], { inputs: [double], io, resampleHz: 200 })).get("double")).toMatchObject(
      {
        shape: [8],
      },
    );
    for (const wrong of [feature("n", array("int32", [4])), feature("m", array("float32", [2, 2])), text]) {
      expect(await refusal([`${wrong.name}=@mono.wav`], { inputs: [wrong], io })).toBe(
        `BAD_INPUT: Cannot use mono.wav for input "${wrong.name}": audio goes into a float array with one axis`,
      );
    }
  });

  test("that cannot be read say why", async () => {
    using folder = tempFolder();
    mkdirSync(join(folder.path, "folder.npy"));
    const given = { inputs: [x], io: testIo({ cwd: folder.path }) };
    expect(await refusal(["folder.npy"], given)).toBe(
      `BAD_INPUT: Cannot read ${join(folder.path, "folder.npy")}: it is a folder (Name the files in it, as in FOLDER/*.png)`,
    );
    expect(await refusal(["x=/dev/zero"], given)).toBe(
      "BAD_INPUT: Cannot read /dev/zero: it is a device (Write - for the standard input)",
    );
    expect(await refusal(["http://localhost/x.npy"], given)).toMatch(/it is an address/);
    expect(await refusal(["gone/x.npy"], given)).toBe(
      'BAD_INPUT: Cannot read gone/x.npy: there is no folder "gone"',
    );
  });
});

describe("the standard input", () => {
  test("is read as what it holds", async () => {
    const stdin = (bytes: Uint8Array<ArrayBuffer>) => testIo({ stdin: bytes });
    const npy = encodeNpy(f32([1, 2]));
    expect(await read(["-"], { inputs: [x], io: stdin(npy) })).toEqual(new Map([["x", f32([1, 2])]]));
    expect(await read(["y=-"], { inputs: [x, y], io: stdin(npy) })).toEqual(new Map([["y", f32([1, 2])]]));
    const json = new TextEncoder().encode("[5, 6]");
    expect(await read(["-"], { inputs: [x], io: stdin(json) })).toEqual(new Map([["x", f32([5, 6])]]));
    const png = new Uint8Array(
      readFileSync(resolve(import.meta.dir, "../../../examples/digits/digit_7.png")),
    );
    expect(await read(["-"], { inputs: [picture], io: stdin(png) })).toEqual(
      new Map([["image", await digitPicture(7)]]),
    );
  });

  test("can be had once", async () => {
    const io = readStdinOnce(testIo({ stdin: encodeNpy(f32([1, 2])) }));
    expect(await refusal(["x=-", "y=-"], { inputs: [x, y], io })).toBe(
      'USAGE: Cannot read the standard input twice: "-" is given for two inputs ' +
        "(Give one of them as a file, or both in one .npz)",
    );
  });
});

test("folders of results are named after the file, without the input's name", () => {
  expect(
    ["dir/a.png", "image=dir/b.c.png", "c", "other=d.png"].map((spec) => stemOf(spec, [picture])),
  ).toEqual(["a", "b.c", "c", "other=d"]);
});

test("a number is a number also where a file has its name", async () => {
  using folder = tempFolder();
  writeFileSync(join(folder.path, "5"), "text");
  const one = feature("n", array("int32", [1]));
  const given = { inputs: [one], io: testIo({ cwd: folder.path }) };
  expect(await read(["5"], given)).toEqual(new Map([["n", tensorOf("int32", [5])]]));
  expect(await refusal(["./5"], given)).toContain('Cannot read JSON "5"');
});
