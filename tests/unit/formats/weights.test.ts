import { describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ElementType } from "../../../src/core/dtype.ts";
import { elementsOf } from "../../../src/core/tensor.ts";
import { defaultLimits } from "../../../src/formats/limits.ts";
import type { MilTensor } from "../../../src/formats/mil.ts";
import { WeightFiles } from "../../../src/formats/weight-files.ts";
import { WeightFile } from "../../../src/formats/weights.ts";
import { blobFile, failureOf, floats, writeFiles } from "../../support/model-files.ts";
import { tempFolder } from "../../support/temp.ts";

const fixtures = resolve(import.meta.dir, "../../fixtures/formats");

function enclosureOf(root: string) {
  return { root, limits: defaultLimits, allowOutsideLinks: false };
}

describe("a blob file written by coremltools", () => {
  interface Row {
    readonly dtype: ElementType;
    readonly offset: number;
    readonly values: readonly number[];
  }
  const rows: readonly Row[] = JSON.parse(readFileSync(join(fixtures, "blobs.json"), "utf8"));
  using file = WeightFile.open(enclosureOf(fixtures), "blobs.bin");

  test("has the number of blobs that its header says", () => expect(file.blobCount).toBe(rows.length));

  for (const { dtype, offset, values } of rows) {
    test(`gives back its ${dtype} values`, () => {
      using own = WeightFile.open(enclosureOf(fixtures), "blobs.bin");
      const tensor = own.read(BigInt(offset), dtype, [values.length]);
      expect(valuesOf(tensor)).toEqual([...values]);
      expect(tensor.source).toEqual({ path: join(fixtures, "blobs.bin"), offset: offset + 64 });
    });
  }

  test("is mapped, not copied: two tensors share one buffer", () => {
    using own = WeightFile.open(enclosureOf(fixtures), "blobs.bin");
    const [first, second] = rows;
    if (first === undefined || second === undefined) throw new Error("no rows");
    const a = own.read(first.offset, first.dtype, [first.values.length]);
    const b = own.read(second.offset, second.dtype, [second.values.length]);
    expect(a.bytes.buffer).toBe(b.bytes.buffer);
    expect(a.bytes.byteOffset).toBe(first.offset + 64);
  });
});

/** Values by hand: packed types are unpacked bit by bit, as the specification words it. */
function valuesOf(tensor: MilTensor): number[] {
  const { dtype, bytes, shape } = tensor;
  const bits = Number(/^u?int(\d+)$/.exec(dtype)?.[1] ?? 8);
  if (bits === 8 || bits >= 16 || dtype.includes("float")) {
    return Array.from(elementsOf({ dtype: dtype as "int8", bytes }), Number);
  }
  return Array.from({ length: shape[0] ?? 0 }, (_, i) => {
    let value = 0;
    for (let bit = 0; bit < bits; bit++) {
      const at = i * bits + bit;
      value |= (((bytes[at >> 3] ?? 0) >> (at & 7)) & 1) << bit;
    }
    return dtype === "int4" && value > 7 ? value - 16 : value;
  });
}

describe("a damaged blob is refused", () => {
  const data = floats(1, 2, 3, 4);
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    [
      "wrong sentinel",
      blobFile(data, { sentinel: 0x12345678 }),
      "expected the sentinel 0xdeadbeef there, got 0x12345678",
    ],
    [
      "another element type",
      blobFile(data, { type: 1 }),
      'is float32 and its blob at 64 in "w.bin" is float16',
    ],
    ["an unknown element type", blobFile(data, { type: 99 }), "is type 99"],
    [
      "a size that is not the shape's",
      blobFile(data, { byteLength: 12n }),
      "needs 16 bytes for its shape [4]",
    ],
    ["a size near 2^64", blobFile(data, { byteLength: 2n ** 64n - 1n }), "needs 16 bytes for its shape [4]"],
    ["data behind the end", blobFile(data, { offset: 144n }), "claims 16 bytes at 144 of a file of 144"],
    ["data at 2^63", blobFile(data, { offset: 2n ** 63n }), "of a file of 144"],
    ["data inside the header", blobFile(data, { offset: 0n }), "claims 16 bytes at 0"],
    ["another format version", blobFile(data, { version: 1 }), "has the format version 1, expected 2"],
    [
      "a file that is too short",
      new Uint8Array(63),
      'weight file "w.bin" has 63 bytes, its header alone needs 64',
    ],
    ["an empty file", new Uint8Array(0), 'weight file "w.bin" has 0 bytes'],
    [
      "a Git LFS pointer",
      new TextEncoder().encode("version https://git-lfs.example/spec/v1\noid sha256:0\nsize 1\n"),
      "Git LFS pointer",
    ],
  ];
  for (const [name, bytes, message] of cases) {
    test(name, async () => {
      using folder = tempFolder();
      writeFiles(folder.path, { "w.bin": bytes });
      const failure = await failureOf(() => {
        using file = WeightFile.open(enclosureOf(folder.path), "w.bin");
        return file.read(64, "float32", [4]);
      });
      expect(failure.code).toBe("BAD_MODEL");
      expect(failure.message).toContain(message);
    });
  }

  test("metadata outside the file, on either side", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "w.bin": blobFile(data) });
    using file = WeightFile.open(enclosureOf(folder.path), "w.bin");
    for (const offset of [0, 63, 81, 144, 2n ** 63n]) {
      const failure = await failureOf(() => file.read(offset, "float32", [4]));
      expect(failure.message).toContain(`has its blob at ${offset} of "w.bin" which has 144 bytes`);
    }
  });

  test("unused bits that do not suit the count", async () => {
    using folder = tempFolder();
    // Five 3-bit integers fill 15 bits: one of two bytes is unused by 1 bit.
    writeFiles(folder.path, {
      "w.bin": blobFile(Uint8Array.of(1, 2), { type: 12, padding: 1n }),
      "x.bin": blobFile(Uint8Array.of(1, 2), { type: 12 }),
    });
    using good = WeightFile.open(enclosureOf(folder.path), "w.bin");
    expect(good.read(64, "uint3", [5]).bytes).toEqual(Uint8Array.of(1, 2));
    using bad = WeightFile.open(enclosureOf(folder.path), "x.bin");
    const failure = await failureOf(() => bad.read(64, "uint3", [5]));
    expect(failure.message).toBe('has 1 unused bits, its blob at 64 in "x.bin" claims 0');
  });

  test("a file above the limit", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "w.bin": blobFile(data) });
    const enclosure = { ...enclosureOf(folder.path), limits: { ...defaultLimits, maxWeightFileBytes: 100 } };
    const failure = await failureOf(() => WeightFile.open(enclosure, "w.bin"));
    expect(failure.message).toBe('weight file "w.bin" has 144 bytes, more than the limit of 100');
  });
});

test("a blob need not be aligned", () => {
  using folder = tempFolder();
  const bytes = new Uint8Array(64 + 64 + 3 + 16);
  bytes.set(blobFile(floats(1, 2, 3, 4)).subarray(0, 128));
  bytes.copyWithin(67, 64, 128); // the metadata, three bytes later
  new DataView(bytes.buffer).setBigUint64(67 + 16, 131n, true);
  bytes.set(floats(5, 6, 7, 8), 131);
  writeFiles(folder.path, { "w.bin": bytes });
  using file = WeightFile.open(enclosureOf(folder.path), "w.bin");
  const tensor = file.read(67, "float32", [2, 2]);
  expect(Array.from(elementsOf({ dtype: "float32", bytes: tensor.bytes }), Number)).toEqual([5, 6, 7, 8]);
});

test("a file too large for one array is mapped blob by blob", () => {
  using folder = tempFolder();
  const path = join(folder.path, "w.bin");
  const start = 5 * 2 ** 30 + 64;
  const blob = blobFile(floats(1, 2, 3, 4), { offset: BigInt(start + 64) });
  writeFileSync(path, blob.subarray(0, 64));
  truncateSync(path, start); // sparse: takes no room
  writeFileSync(path, blob.subarray(64), { flag: "a" });
  using file = WeightFile.open(enclosureOf(folder.path), "w.bin");
  const tensor = file.read(start, "float32", [4]);
  expect(tensor.bytes).toEqual(floats(1, 2, 3, 4));
  expect(tensor.source?.offset).toBe(start + 64);
});

test("writing into a tensor does not reach the file", () => {
  using folder = tempFolder();
  writeFiles(folder.path, { "w.bin": blobFile(floats(1, 2, 3, 4)) });
  using file = WeightFile.open(enclosureOf(folder.path), "w.bin");
  file.read(64, "float32", [4]).bytes.fill(0);
  expect(new Uint8Array(readFileSync(join(folder.path, "w.bin")))).toEqual(blobFile(floats(1, 2, 3, 4)));
});

test("a disposed file gives nothing more, and may be disposed twice", async () => {
  const file = WeightFile.open(enclosureOf(fixtures), "blobs.bin");
  file[Symbol.dispose]();
  file[Symbol.dispose]();
  expect((await failureOf(() => file.read(64, "float16", [5]))).code).toBe("INTERNAL");
});

describe("names of weight files", () => {
  const content = blobFile(floats(1, 2, 3, 4));

  test("@model_path is the folder of the model, and each file is opened once", () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "m/weights/1-weight.bin": content });
    using files = new WeightFiles({ enclosure: enclosureOf(folder.path), modelFolder: "m" });
    const file = files.get("@model_path/weights/1-weight.bin");
    expect(file.path).toBe(join(folder.path, "m/weights/1-weight.bin"));
    expect(files.get("@model_path/weights/1-weight.bin")).toBe(file);
    expect([...files.sizes]).toEqual([[join(folder.path, "m/weights/1-weight.bin"), 144]]);
  });

  test("a file that is elsewhere is found by its base name in the weights item", () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "Data/other/w.bin": content, "m/.keep": "" });
    using files = new WeightFiles({
      enclosure: enclosureOf(folder.path),
      modelFolder: "m",
      fallbackFolders: ["Data/none", "Data/other"],
    });
    expect(files.get("@model_path/weights/w.bin").path).toBe(join(folder.path, "Data/other/w.bin"));
  });

  test("a missing file is named", async () => {
    using folder = tempFolder();
    using files = new WeightFiles({ enclosure: enclosureOf(folder.path), modelFolder: "." });
    const failure = await failureOf(() => files.get("@model_path/weights/w.bin"));
    expect(failure.message).toBe('weight file "@model_path/weights/w.bin" does not exist');
  });

  for (const name of [
    "@model_path/../w.bin",
    "/etc/passwd",
    "@model_path//etc/passwd",
    "..",
    "@model_path/",
    "",
    "a\0b",
    "@model_path/a/../../w.bin",
  ]) {
    test(`${JSON.stringify(name)} is refused`, async () => {
      using folder = tempFolder();
      writeFiles(folder.path, { "w.bin": content, "m/x": "" });
      using files = new WeightFiles({ enclosure: enclosureOf(join(folder.path, "m")), modelFolder: "." });
      const failure = await failureOf(() => files.get(name));
      expect([failure.code, failure.message]).toEqual([
        "BAD_MODEL",
        `weight file ${JSON.stringify(name)} is no path inside the model`,
      ]);
    });
  }

  test("a symbolic link out of the model is refused, one inside it is not", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "outside.bin": content, "m/inside.bin": content });
    mkdirSync(join(folder.path, "m/weights"));
    symlinkSync("../inside.bin", join(folder.path, "m/weights/good.bin"));
    symlinkSync("../../outside.bin", join(folder.path, "m/weights/bad.bin"));
    const enclosure = enclosureOf(join(folder.path, "m"));
    using files = new WeightFiles({ enclosure, modelFolder: "." });
    expect(files.get("@model_path/weights/good.bin").path).toBe(join(folder.path, "m/inside.bin"));
    const failure = await failureOf(() => files.get("@model_path/weights/bad.bin"));
    expect(failure.message).toBe('"weights/bad.bin" is a symbolic link that leads out of the model');
    using trusting = new WeightFiles({
      enclosure: { ...enclosure, allowOutsideLinks: true },
      modelFolder: ".",
    });
    expect(trusting.get("@model_path/weights/bad.bin").byteLength).toBe(144);
  });

  test("a hard link to a file outside is refused, two names inside are not", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "outside.bin": content, "m/a.bin": content });
    linkSync(join(folder.path, "m/a.bin"), join(folder.path, "m/b.bin"));
    linkSync(join(folder.path, "outside.bin"), join(folder.path, "m/c.bin"));
    const enclosure = enclosureOf(join(folder.path, "m"));
    using files = new WeightFiles({ enclosure, modelFolder: "." });
    expect(files.get("b.bin").byteLength).toBe(144);
    const failure = await failureOf(() => files.get("c.bin"));
    expect(failure.message).toBe('"c.bin" is a hard link to a file outside the model (2 links, 1 inside)');
    using trusting = new WeightFiles({
      enclosure: { ...enclosure, allowOutsideLinks: true },
      modelFolder: ".",
    });
    expect(trusting.get("c.bin").byteLength).toBe(144);
  });
});
