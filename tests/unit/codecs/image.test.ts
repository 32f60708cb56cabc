import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { applyOrientation, readOrientation } from "../../../src/codecs/exif.ts";
import { findWebpExif, scanGif, scanJpeg } from "../../../src/codecs/image-scan.ts";
import { decodeImage, pictureToFeature, sniffImage, type FittedPicture } from "../../../src/codecs/image.ts";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import type { Picture } from "../../../src/codecs/picture.ts";
import type { FeatureType, ImageType } from "../../../src/core/model.ts";
import { tensorOf } from "../../../src/core/tensor.ts";
import {
  arrayType,
  base64,
  damaged,
  describeError,
  errorOf,
  feature,
  noise,
  readFixture,
  rejectionOf,
} from "../../support/codec-fixtures.ts";
import { sharedPath } from "../../support/shared.ts";

interface StoredPicture {
  readonly name: string;
  readonly file: string;
  readonly shape: readonly number[];
  readonly data: string;
}

const fixture = await readFixture<{
  oriented: readonly (StoredPicture & { isExact: boolean })[];
  others: readonly (StoredPicture & { tolerance: number })[];
  tiff: string;
}>("images.json");

function other(name: string): Uint8Array<ArrayBuffer> {
  return base64(fixture.others.find((stored) => stored.name === name)?.file ?? "");
}

const jpeg = other("JPEG");
const gif = other("GIF");
const subject = 'Cannot read picture "x"';

function largestDifference(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? 0))), 0);
}

describe("decoding agrees with Pillow", () => {
  for (const { name, file, shape, data, tolerance } of fixture.others)
    test(name, async () => {
      const picture = await decodeImage(base64(file), "x");
      expect([picture.height, picture.width, picture.channels]).toEqual([shape[0] ?? 0, shape[1] ?? 0, 3]);
      expect(largestDifference(picture.pixels, base64(data))).toBeLessThanOrEqual(tolerance);
    });
});

describe("EXIF orientation is applied once", () => {
  for (const { name, file, shape, data, isExact } of fixture.oriented)
    test(name, async () => {
      const picture = await decodeImage(base64(file), "x");
      expect([picture.height, picture.width]).toEqual(shape.slice(0, 2));
      expect(largestDifference(picture.pixels, base64(data))).toBeLessThanOrEqual(isExact ? 0 : 4);
    });

  const tiff = (...entry: readonly number[]): Uint8Array =>
    Uint8Array.from([...Buffer.from("Exif\0\0MM\0*"), 0, 0, 0, 8, 0, 1, ...entry]);

  test("both byte orders are read; anything odd means upright", () => {
    expect(readOrientation(tiff(0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0))).toBe(6);
    expect(readOrientation(tiff(0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0))).toBe(1);
    expect(readOrientation(tiff(0x01, 0x12, 0, 4, 0, 0, 0, 1, 0, 6, 0, 0))).toBe(1);
    expect(readOrientation(tiff(0x01, 0x0f, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0))).toBe(1);
    expect(readOrientation(tiff(0x01, 0x12))).toBe(1);
    expect(readOrientation(Uint8Array.from(Buffer.from("MM\0*\xff\xff\xff\xff", "latin1")))).toBe(1);
    expect(readOrientation(Uint8Array.from(Buffer.from("XX\0*\0\0\0\x08", "latin1")))).toBe(1);
    expect(readOrientation(Uint8Array.of(1, 2, 3))).toBe(1);
    expect(readOrientation(undefined)).toBe(1);
  });

  test("any EXIF bytes are survived", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const exif = Uint8Array.from([...Buffer.from("II*\0"), ...bytes]);
        expect(readOrientation(exif)).toBeWithin(1, 9);
      }),
    );
  });

  test("turning keeps gray pictures gray", () => {
    const picture: Picture = { width: 2, height: 1, channels: 1, pixels: Uint8Array.of(1, 2) };
    expect(applyOrientation(picture, 6)).toEqual({
      width: 1,
      height: 2,
      channels: 1,
      pixels: Uint8Array.of(1, 2),
    });
    expect(applyOrientation(picture, 8)).toEqual({
      width: 1,
      height: 2,
      channels: 1,
      pixels: Uint8Array.of(2, 1),
    });
  });
});

describe("cut and damaged files are refused", () => {
  test("a JPEG cut anywhere", async () => {
    for (const length of [3, 10, 100, Math.floor(jpeg.length / 2), jpeg.length - 2, jpeg.length - 1])
      expect(describeError(await rejectionOf(decodeImage(jpeg.slice(0, length), "x")))).toBe(
        `BAD_INPUT: ${subject}: it is cut off after ${length} bytes`,
      );
  });

  test("a JPEG may have fill bytes and data behind its end", async () => {
    const padded = Uint8Array.from([0xff, 0xd8, 0xff, 0xff, ...jpeg.slice(3), 1, 2, 3]);
    expect((await decodeImage(padded, "x")).width).toBe(24);
  });

  test("a JPEG without pictures, with too many scans, or too large", () => {
    const empty = Uint8Array.of(0xff, 0xd8, 0xff, 0x01, 0xff, 0xd8, 0xff, 0xd9);
    expect(errorOf(() => scanJpeg(empty, subject, defaultLimits)).message).toBe(
      `${subject}: it has no picture data`,
    );
    const scans = Uint8Array.of(0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0xda, 0, 2, 0xff, 0xd9);
    expect(errorOf(() => scanJpeg(scans, subject, { ...defaultLimits, jpegScans: 1 })).message).toBe(
      `${subject}: more than 1 scans, the limit`,
    );
    const huge = Uint8Array.of(0xff, 0xd8, 0xff, 0xc0, 0, 8, 8, 0xff, 0xff, 0xff, 0xff, 1);
    expect(errorOf(() => scanJpeg(huge, subject, defaultLimits)).message).toBe(
      `${subject}: 65535 x 65535 pixels are more than the limit of 64000000`,
    );
    expect(
      errorOf(() => scanJpeg(Uint8Array.of(0xff, 0xd8, 0xff, 0xc0, 0), subject, defaultLimits)).message,
    ).toEndWith("cut off after 5 bytes");
    expect(
      errorOf(() => scanJpeg(Uint8Array.of(0xff, 0xd8, 0xff, 0xc0), subject, defaultLimits)).message,
    ).toEndWith("cut off after 4 bytes");
  });

  test("a GIF cut anywhere, without a picture, or too large", () => {
    for (const length of [6, 20, Math.floor(gif.length / 2), gif.length - 2])
      expect(errorOf(() => scanGif(gif.slice(0, length), subject, defaultLimits)).message).toBe(
        `${subject}: it is cut off after ${length} bytes`,
      );
    const head = [...Buffer.from("GIF89a"), 1, 0, 1, 0, 0, 0, 0];
    const none = Uint8Array.from([...head, 0x21, 0xfe, 1, 65, 0, 0x3b]);
    expect(errorOf(() => scanGif(none, subject, defaultLimits)).message).toBe(
      `${subject}: it has no picture`,
    );
    expect(errorOf(() => scanGif(Uint8Array.from([...head, 7]), subject, defaultLimits)).message).toBe(
      `${subject}: its block 7 is not defined`,
    );
    expect(
      errorOf(() => scanGif(Uint8Array.from([...head, 0x2c, 1]), subject, defaultLimits)).message,
    ).toEndWith("cut off after 15 bytes");
    const huge = Uint8Array.from([...Buffer.from("GIF89a"), 255, 255, 255, 255, 0, 0, 0]);
    expect(errorOf(() => scanGif(huge, subject, defaultLimits)).message).toEndWith(
      "65535 x 65535 pixels are more than the limit of 64000000",
    );
  });

  test("a WebP or BMP cut in half", async () => {
    for (const name of ["lossless WebP", "lossy WebP", "BMP"]) {
      const bytes = other(name);
      const error = await rejectionOf(decodeImage(bytes.slice(0, Math.floor(bytes.length / 2)), "x"));
      expect(describeError(error)).toBe(
        `BAD_INPUT: ${subject}: the ${name.split(" ").at(-1)?.toUpperCase()} data are damaged`,
      );
    }
  });

  test("a WebP or BMP larger than the limit", async () => {
    const limits = { ...defaultLimits, imagePixels: 100 };
    for (const name of ["lossless WebP", "BMP"])
      expect(describeError(await rejectionOf(decodeImage(other(name), "x", limits)))).toBe(
        `BAD_INPUT: ${subject}: it has more pixels than the limit of 100`,
      );
  });

  test("damaged pictures throw only errors of ours", async () => {
    for (const { file } of fixture.others)
      await fc.assert(
        fc.asyncProperty(damaged(base64(file)), async (bytes) => {
          try {
            await decodeImage(bytes, "x", { ...defaultLimits, imagePixels: 100_000 });
          } catch (error) {
            expect(error).toHaveProperty("name", "CoremlxError");
          }
        }),
        { numRuns: 40 },
      );
  });
});

describe("formats", () => {
  test("are known by their first bytes", () => {
    const ftyp = (brand: string): Uint8Array => Uint8Array.from(Buffer.from(`\0\0\0\x18ftyp${brand}`));
    expect(["JPEG", "lossy WebP", "GIF", "BMP"].map((name) => sniffImage(other(name)))).toEqual([
      "jpeg",
      "webp",
      "gif",
      "bmp",
    ]);
    expect(
      [
        base64(fixture.tiff),
        ftyp("heic"),
        ftyp("mif1"),
        ftyp("avif"),
        ftyp("isom"),
        new Uint8Array(0),
        Uint8Array.from(Buffer.from("BM but text, not a bitmap")),
      ].map(sniffImage),
    ).toEqual(["tiff", "heic", "heic", "avif", undefined, undefined, undefined]);
  });

  test("without a decoder here are refused with a way out, unknown ones plainly", async () => {
    if (process.platform === "linux") {
      const error = await rejectionOf(decodeImage(base64(fixture.tiff), "x"));
      expect(describeError(error)).toBe(`UNSUPPORTED: ${subject}: this machine has no decoder for TIFF`);
      expect(error.hint).toContain("sips -s format png");
      const heic = Uint8Array.from(Buffer.from(`\0\0\0\x18ftypheic\0\0\0\0mif1heic`));
      expect((await rejectionOf(decodeImage(heic, "x"))).code).toBe("UNSUPPORTED");
    }
    expect(describeError(await rejectionOf(decodeImage(Uint8Array.of(1, 2, 3), "x")))).toBe(
      `BAD_INPUT: ${subject}: it is no PNG, JPEG, WebP, GIF or BMP file`,
    );
  });

  test("a WebP without EXIF has none, nor has one that ends early", () => {
    expect(findWebpExif(other("lossy WebP"))).toBeUndefined();
    expect(findWebpExif(Uint8Array.from([...Buffer.from("RIFF\0\0\0\0WEBPEXIF"), 9, 0, 0, 0, 1]))).toEqual(
      Uint8Array.of(1),
    );
  });

  test("photographs of a real camera decode at full size", async () => {
    const bytes = await Bun.file(sharedPath("images/golden_retriever_full.jpg")).bytes();
    const picture = await decodeImage(bytes, "golden_retriever_full.jpg");
    expect(picture.pixels.length).toBe(picture.width * picture.height * 3);
    expect(picture.width * picture.height).toBeGreaterThan(1_000_000);
  });
});

describe("pictures for inputs", () => {
  const two: Picture = { width: 2, height: 1, channels: 3, pixels: Uint8Array.of(1, 2, 3, 250, 128, 0) };
  const image = (colorSpace: ImageType["colorSpace"], width = 2, height = 1): ImageType => ({
    kind: "image",
    width,
    height,
    colorSpace,
    constraint: { kind: "fixed" },
  });
  const place = (type: FeatureType, picture = two): FittedPicture => pictureToFeature(picture, feature(type));

  test("image inputs get RGB, gray, or gray halves whose white is 1", () => {
    expect(place(image("RGB"))).toEqual({
      value: tensorOf("uint8", [1, 2, 3, 250, 128, 0], [1, 2, 3]),
      resized: undefined,
    });
    expect(place(image("BGR")).value).toEqual(tensorOf("uint8", [1, 2, 3, 250, 128, 0], [1, 2, 3]));
    // (19595 R + 38470 G + 7471 B + 32768) >> 16, by hand: 2 and 150
    expect(place(image("GRAYSCALE")).value).toEqual(tensorOf("uint8", [2, 150], [1, 2]));
    expect(place(image("GRAYSCALE_FLOAT16")).value).toEqual(
      tensorOf("float16", [2 / 255, 150 / 255], [1, 2]),
    );
    const gray: Picture = { width: 2, height: 1, channels: 1, pixels: Uint8Array.of(7, 9) };
    expect(place(image("RGB"), gray).value).toEqual(tensorOf("uint8", [7, 7, 7, 9, 9, 9], [1, 2, 3]));
  });

  test("array inputs get RGB 0 to 255, by planes or by pixels, with or without a batch axis", () => {
    expect(place(arrayType("float32", [1, 3, 1, 2])).value).toEqual(
      tensorOf("float32", [1, 250, 2, 128, 3, 0], [1, 3, 1, 2]),
    );
    expect(place(arrayType("float32", [3, 1, 2])).value).toEqual(
      tensorOf("float32", [1, 250, 2, 128, 3, 0], [3, 1, 2]),
    );
    // axis -3 decides first, so this is one channel of 2 x 1
    expect(place(arrayType("int32", [1, 2, 1])).resized).toEqual({
      from: [2, 1],
      to: [1, 2],
      fit: "stretch",
    });
    const wide: Picture = { width: 2, height: 2, channels: 3, pixels: noise(12) };
    expect(place(arrayType("float16", [1, 2, 2, 3]), wide).value).toEqual(
      tensorOf("float16", noise(12), [1, 2, 2, 3]),
    );
    expect(place(arrayType("float16", [2, 2, 3]), wide).value).toEqual(
      tensorOf("float16", noise(12), [2, 2, 3]),
    );
  });

  test("another size is resized to the default one, and said so", () => {
    const fitted = pictureToFeature(two, feature(image("GRAYSCALE", 1, 1)), { fit: "crop" });
    expect(fitted.resized).toEqual({ from: [2, 1], to: [1, 1], fit: "crop" });
    expect(place(arrayType("float32", [1, 1, 4, 4])).resized).toEqual({
      from: [2, 1],
      to: [4, 4],
      fit: "stretch",
    });
  });

  test("any size that a flexible input allows passes untouched", () => {
    const axes = [
      { lower: 1, upper: 8 },
      { lower: 1, upper: 8 },
    ];
    const flexible: ImageType = { ...image("RGB", 8, 8), constraint: { kind: "range", axes } };
    expect(place(flexible)).toEqual({ value: tensorOf("uint8", two.pixels, [1, 2, 3]), resized: undefined });
    const batch = arrayType("float32", [4, 3, 8, 8], {
      kind: "range",
      axes: [{ lower: 1, upper: 4 }, { lower: 3, upper: 3 }, ...axes],
    });
    expect(place(batch).value).toMatchObject({ shape: [1, 3, 1, 2] });
  });

  const cases: readonly (readonly [FeatureType, string])[] = [
    [{ kind: "string" }, "the model wants a string"],
    [
      arrayType("float32", [5]),
      "shape [5] is not that of a picture: axis -3 (NCHW) or the last (NHWC) must be 1 or 3, with at most a batch of 1",
    ],
    [
      arrayType("float32", [1, 4, 8, 8]),
      "shape [1, 4, 8, 8] is not that of a picture: axis -3 (NCHW) or the last (NHWC) must be 1 or 3, with at most a batch of 1",
    ],
    [arrayType("float32", [2, 3, 8, 8]), "it cannot take the shape [1, 3, 8, 8], only [2, 3, 8, 8]"],
    [image("RGB", 100_000, 100_000), "100000 x 100000 pixels are more than the limit of 64000000"],
    [image("RGB", 0, 1), "a size of 0 x 1 is empty"],
  ];
  for (const [type, reason] of cases)
    test(`${type.kind}: ${reason}`, () => {
      expect(describeError(errorOf(() => place(type)))).toBe(
        `BAD_INPUT: Cannot use a picture for input "x": ${reason}`,
      );
    });

  test("values that the declared type cannot hold are refused", () => {
    expect(errorOf(() => place(arrayType("int8", [3, 1, 2]))).message).toBe(
      "Cannot convert the picture from uint8 to int8: element [0, 0, 1] is 250, not within -128 to 127",
    );
  });
});
