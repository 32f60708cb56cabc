// Inputs that are missing, unreadable or of the wrong kind: each is refused with its reason and exit code 4.

import { afterAll, describe, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { encodeNpy } from "../../src/codecs/npy.ts";
import { f32, tensorOf } from "../../src/core/tensor.ts";
import { randomBytes } from "../support/damaged.ts";
import { writeHalfModel, writeIntegerModel, writeSumModel } from "../support/program-models.ts";
import { expectFailure, type ProgramOptions } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";
import { wavFile } from "../support/wav.ts";

setDefaultTimeout(60_000); // concurrent tests wait for each other

const digits = "examples/digits/Digits.mlpackage";
const digit = resolve(import.meta.dir, "../../examples/digits/digit_7.png");

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const place = (name: string) => join(folder.path, name);
const file = (name: string, bytes: Uint8Array | string): string => {
  writeFileSync(place(name), bytes);
  return place(name);
};

const integers = writeIntegerModel(place("integers.mlpackage"));
const sum = writeSumModel(place("sum.mlpackage"));
const half = writeHalfModel(place("half.mlpackage"));

async function expectBadInput(
  args: readonly string[],
  message: string | RegExp,
  hint?: string | RegExp,
  options?: ProgramOptions,
): Promise<void> {
  await expectFailure(["infer", ...args], { exit: 4, code: "BAD_INPUT", message, hint }, options);
}

describe("names", () => {
  test.concurrent("an unknown input is answered with the one that was meant", async () => {
    await expectFailure(["infer", digits, "--input", `imge=${digit}`], {
      exit: 4,
      code: "BAD_INPUT",
      message: 'Unknown input "imge"',
      hint: 'Did you mean "image"?',
      details: { name: "imge", inputs: ["image"] },
    });
  });

  test.concurrent("or with those there are", async () => {
    await expectBadInput(
      [sum, "--input", "nothing=1"],
      'Unknown input "nothing"',
      'The inputs are: "left", "right"',
    );
  });

  test.concurrent("a missing input is named", async () => {
    await expectFailure(["infer", sum, "--input", "left=ones"], {
      exit: 4,
      code: "BAD_INPUT",
      message: 'Cannot predict: input "right" is missing',
      hint: "Give it with --input right=VALUE",
      details: { missing: ["right"] },
    });
  });

  test.concurrent("a value without a name is refused where there are several inputs", async () => {
    await expectBadInput(
      [sum, "--input", "3"],
      'Cannot tell which input "3" is for: the model has 2 inputs',
      "Write --input NAME=VALUE with one of left, right",
    );
  });

  test.concurrent("the same input twice is refused", async () => {
    await expectBadInput(
      [integers, "-i", "x=zeros", "-i", "x=ones"],
      'Input "x" is given twice',
      /^Give several files without --input/,
    );
    await expectBadInput(
      [digits, digit, "-i", "zeros"],
      'Input "image" is given twice: by --input and by a file',
    );
  });

  test.concurrent("an input without a value is refused", async () => {
    await expectBadInput(
      [sum, "--input", "left="],
      'Cannot read input "left": it is given no value',
      "Write --input left=VALUE, for instance left=zeros",
    );
  });
});

describe("shapes and types", () => {
  test.concurrent("a wrong rank", async () => {
    await expectBadInput(
      [sum, "-i", "left=[1,2,3]", "-i", "right=ones"],
      'Cannot use input "left": shape must be [2, 3] (2 axes), got [3] (1 axes)',
    );
  });

  test.concurrent("a wrong size", async () => {
    const path = file("size.npy", encodeNpy(f32([1, 2, 3, 4], [2, 2])));
    await expectFailure(["infer", sum, "-i", `left=${path}`, "-i", "right=ones"], {
      exit: 4,
      code: "BAD_INPUT",
      message: 'Cannot use input "left": shape must be [2, 3], got [2, 2]: axis 1 must be 3',
      hint: undefined,
      details: { expected: "[2, 3]", actual: [2, 2] },
    });
  });

  test.concurrent("the right number of elements in another shape", async () => {
    await expectBadInput(
      [sum, "-i", "left=[[1,2],[3,4],[5,6]]", "-i", "right=ones"],
      'Cannot use input "left": shape must be [2, 3], got [3, 2]: axis 0 must be 2',
      "The number of elements is right: reshape it to [2, 3]",
    );
  });

  test.concurrent("a number that is not whole, for an integer", async () => {
    const path = file("half.npy", encodeNpy(f32([1, 2, 2.5, 4])));
    await expectBadInput(
      [integers, path],
      'Cannot convert input "x" from float32 to int32: element [2] is 2.5, not a whole number',
    );
    await expectBadInput(
      [integers, "[1, 2, 2.5, 4]"],
      'Cannot read input "x": element [2] is 2.5, not a whole number, for int32',
    );
  });

  test.concurrent("NaN and infinities, for an integer", async () => {
    const path = file("nan.npy", encodeNpy(f32([1, Number.NaN, 3, 4])));
    await expectBadInput(
      [integers, path],
      'Cannot convert input "x" from float32 to int32: element [1] is NaN, which no integer holds',
    );
    const infinite = file("inf.npy", encodeNpy(f32([1, 2, Number.POSITIVE_INFINITY, 4])));
    await expectBadInput(
      [integers, infinite],
      /^Cannot convert input "x" from float32 to int32: element \[2\] is Infinity, /,
    );
  });

  test.concurrent("an integer beyond the range", async () => {
    const path = file("big.npy", encodeNpy(tensorOf("int64", [1n, 2n, 3n, 2n ** 40n])));
    await expectBadInput(
      [integers, path],
      'Cannot convert input "x" from int64 to int32: element [3] is 1099511627776, not within -2147483648 to 2147483647',
    );
  });

  test.concurrent("a finite number that would become infinite", async () => {
    await expectBadInput(
      [half, "[1, 2, 3, 70000]"],
      'Cannot read input "x": element [3] is 70000, beyond its range, for float16',
    );
  });

  test.concurrent("text where numbers are due", async () => {
    await expectBadInput(
      [integers, "--input", "hello"],
      'Cannot read input "x" from "hello": line 1, column 1, at "hello": expected a value',
    );
    await expectBadInput([integers, '["a", "b", "c", "d"]'], /^Cannot read input "x"/);
  });

  test.concurrent("text that is no JSON", async () => {
    await expectBadInput(
      [integers, "[1, 2"],
      'Cannot read input "x" from "[1, 2": line 1, column 6, at the end: expected "," or "]"',
    );
  });
});

describe("files", () => {
  test.concurrent("one that is missing, with the one that was meant", async () => {
    await expectBadInput(
      [digits, "examples/digits/digit_77.png"],
      "Cannot read examples/digits/digit_77.png: there is no such file or folder",
      /^Did you mean "examples\/digits\/digit_\d.png"\?$/,
    );
    await expectBadInput(
      [digits, "nowhere/a.png"],
      'Cannot read nowhere/a.png: there is no folder "nowhere"',
    );
  });

  test.concurrent("a folder, a device, an address", async () => {
    mkdirSync(place("folder.npy"));
    await expectBadInput(
      [integers, place("folder.npy")],
      `Cannot read ${place("folder.npy")}: it is a folder`,
      "Name the files in it, as in FOLDER/*.png",
    );
    await expectBadInput(
      [integers, "--input", "x=/dev/zero"],
      "Cannot read /dev/zero: it is a device",
      "Write - for the standard input",
    );
    await expectBadInput(
      [digits, "https://example.org/a.png"],
      "Cannot read https://example.org/a.png: it is an address, and inputs are read from disk",
      "Download it, then give the path of the file",
    );
  });

  test.concurrent("a picture where none is due", async () => {
    await expectBadInput(
      [integers, digit],
      /^Cannot use a picture for input "x": shape \[4\] is not that of a picture/,
      "Pass the array as .npy",
    );
  });

  test.concurrent("an array where a picture is due", async () => {
    const path = file("flat.npy", encodeNpy(f32([1, 2, 3])));
    await expectBadInput(
      [digits, path],
      /Cannot use input "image": a picture in GRAYSCALE is an array \[height, width\], got \[3\]/,
    );
  });

  test.concurrent("a truncated JPEG", async () => {
    const bytes = readFileSync(sharedPath("images/palmtrees_256.jpg"));
    const path = file("cut.jpg", bytes.subarray(0, bytes.length - 200));
    await expectBadInput([digits, path], /^Cannot (read|decode) .*cut\.jpg/);
  });

  test.concurrent("a picture that claims 50,000 x 50,000 pixels", async () => {
    const bytes = Buffer.from(readFileSync(digit));
    bytes.writeUInt32BE(50_000, 16);
    bytes.writeUInt32BE(50_000, 20);
    bytes.writeUInt32BE(Bun.hash.crc32(bytes.subarray(12, 29)), 29);
    await expectBadInput(
      [digits, file("huge.png", bytes)],
      /50000 x 50000 pixels are more than the limit of 64000000$/,
    );
  });

  test.concurrent("an npy of Python objects", async () => {
    const header = "{'descr': '|O', 'fortran_order': False, 'shape': (4,), }";
    await expectBadInput(
      [integers, file("objects.npy", npy(header, new Uint8Array(32)))],
      'Cannot read npy "objects.npy": its elements are Python objects, dtype "|O"',
      "Save a plain numeric array: x.astype(np.float32)",
    );
  });

  test.concurrent("an npy whose header claims more than the file holds", async () => {
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }";
    await expectBadInput(
      [integers, file("lying.npy", npy(header, new Uint8Array(16)))],
      'Cannot read npy "lying.npy": shape [1000000000000] of float32 takes 4000000000000 bytes, more than the limit of 4294967296',
    );
    const short = "{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }";
    await expectBadInput(
      [integers, file("short.npy", npy(short, new Uint8Array(16)))],
      'Cannot read npy "short.npy": shape [8] of float32 takes 32 bytes, the file has 16',
    );
  });

  test.concurrent("content of no known format, and an ending that lies", async () => {
    await expectBadInput([digits, file("noise.bin", randomBytes(600))], /noise\.bin/, /^Known are /);
    await expectBadInput(
      [digits, file("fake.npy", readFileSync(digit))],
      /its content is a picture, its ending ".npy" says otherwise$/,
      "Rename the file after what it holds",
    );
  });

  test.concurrent("an archive without an array for any input", async () => {
    const path = file("other.npy", encodeNpy(f32([1, 2, 3, 4])));
    await expectBadInput([sum, "-i", path], /^Cannot tell which input "other.npy" is for/, /left, right/);
  });

  test.concurrent("stdin that is empty", async () => {
    await expectBadInput([integers, "-"], 'Cannot read "stdin": it is empty', /^Known are /, { stdin: "" });
  });

  test.concurrent("stdin for two inputs", async () => {
    await expectFailure(
      ["infer", sum, "-i", "left=-", "-i", "right=-"],
      {
        exit: 2,
        code: "USAGE",
        message: 'Cannot read the standard input twice: "-" is given for two inputs',
        hint: "Give one of them as a file, or both in one .npz",
      },
      { stdin: encodeNpy(f32([1, 2, 3, 4, 5, 6], [2, 3])) },
    );
  });

  test.concurrent("stereo audio for one channel, and audio of the wrong length", async () => {
    const pitch = sharedPath("models/basic-pitch/nmp.mlpackage");
    const wav = file("two.wav", wavFile(new Float32Array(2 * 43_844), { rate: 22_050, channels: 2 }));
    await expectBadInput(
      [pitch, wav],
      /two\.wav.*it has 2 channels, the model takes one$/,
      "Average the channels with --mixdown",
    );
    await expectBadInput(
      [pitch, wav, "--mixdown", "--resample", "11025"],
      /shape must be \[1, 43844, 1\] \(3 axes\), got \[21922\]/,
    );
  });
});

function npy(header: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = `${header.padEnd(117)}\n`;
  const bytes = new Uint8Array(new ArrayBuffer(10 + text.length + data.length));
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length, 0]);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes.set(data, 10 + text.length);
  return bytes;
}
