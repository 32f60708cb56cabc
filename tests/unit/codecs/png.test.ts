import { describe, expect, test } from "bun:test";
import { crc32, deflateSync } from "node:zlib";
import { decode } from "fast-png";
import fc from "fast-check";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { decodePng, encodePng, PNG_SIGNATURE } from "../../../src/codecs/png.ts";
import { f32, tensorOf, zeros, type Tensor } from "../../../src/core/tensor.ts";
import { base64, damaged, describeError, errorOf, noise, readFixture } from "../../support/codec-fixtures.ts";

interface StoredPicture {
  readonly name: string;
  readonly file: string;
  readonly shape: readonly number[];
  readonly data: string;
}

const { png } = await readFixture<{ png: readonly StoredPicture[] }>("images.json");

const subject = 'Cannot read picture "x.png"';

function read(bytes: Uint8Array): ReturnType<typeof decodePng> {
  return decodePng(bytes, subject, defaultLimits);
}

function chunk(type: string, content: Uint8Array | readonly number[] = []): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, "latin1"), Uint8Array.from(content)]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(content.length);
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(body));
  return Buffer.concat([head, body, tail]);
}

/** [width, height, depth, colour type, compression, filter, interlacing] */
function header(width: number, height: number, rest: readonly number[] = [8, 0, 0, 0, 0]): Uint8Array {
  const content = Buffer.alloc(13);
  content.writeUInt32BE(width);
  content.writeUInt32BE(height, 4);
  content.set(rest, 8);
  return chunk("IHDR", content);
}

function file(...chunks: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat([PNG_SIGNATURE, ...chunks]));
}

const end = chunk("IEND");
const pixel = chunk("IDAT", deflateSync(Uint8Array.of(0, 200)));

describe("every kind of PNG has the pixels that Pillow reads", () => {
  for (const { name, file: stored, shape, data } of png)
    test(name, () => {
      const { picture } = read(base64(stored));
      expect([picture.height, picture.width, ...(picture.channels === 3 ? [3] : [])]).toEqual([...shape]);
      expect(picture.pixels).toEqual(base64(data));
    });
});

test("EXIF is found, other additions are passed over", () => {
  const bytes = file(header(1, 1), chunk("iCCP", [1, 2]), chunk("eXIf", [7, 8]), chunk("acTL"), pixel, end);
  expect(read(bytes)).toEqual({
    picture: { width: 1, height: 1, channels: 1, pixels: Uint8Array.of(200) },
    exif: Uint8Array.of(7, 8),
  });
});

describe("damage is named", () => {
  const palette = chunk("PLTE", [1, 2, 3]);
  const indexed = [8, 3, 0, 0, 0];
  const broken = file(header(1, 1), pixel, end);
  broken[30] = 1;
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["cut between chunks", file(header(1, 1), pixel), "it is cut off after 55 bytes"],
    [
      "cut within a chunk",
      file(header(1, 1), pixel.slice(0, -5)),
      'it is cut off within a chunk "IDAT" of 10 bytes',
    ],
    ["a chunk with a wrong checksum", broken, 'its chunk "IHDR" is damaged: the checksum differs'],
    ["no header", file(pixel, end), 'it begins with "IDAT" instead of its header'],
    ["a name that is none", file(chunk("\u001b[1m")), 'it begins with "???m" instead of its header'],
    ["two headers", file(header(1, 1), header(1, 1), pixel, end), "it has two headers"],
    ["a short header", file(chunk("IHDR", [1]), end), "its header has 1 bytes instead of 13"],
    ["no size", file(header(0, 1), pixel, end), "a size of 0 x 1 is empty"],
    [
      "an unknown critical chunk",
      file(header(1, 1), chunk("ABCD"), pixel, end),
      'its chunk "ABCD" is unknown',
    ],
    [
      "an undefined colour type",
      file(header(1, 1, [8, 5, 0, 0, 0]), pixel, end),
      "colour type 5 with 8 bits is not defined",
    ],
    [
      "an undefined depth",
      file(header(1, 1, [4, 2, 0, 0, 0]), pixel, end),
      "colour type 2 with 4 bits is not defined",
    ],
    [
      "an undefined interlacing",
      file(header(1, 1, [8, 0, 0, 0, 2]), pixel, end),
      "compression 0, filter 0 or interlacing 2 is not defined",
    ],
    ["no palette", file(header(1, 1, indexed), pixel, end), "it has no palette"],
    [
      "half a palette",
      file(header(1, 1, indexed), chunk("PLTE", [1, 2]), pixel, end),
      "a palette of 2 bytes is none",
    ],
    [
      "a colour outside the palette",
      file(header(1, 1, indexed), palette, pixel, end),
      "a pixel has colour 200 of a palette of 1",
    ],
    ["too few pixels", file(header(2, 1), pixel, end), "its pixels have 2 bytes, its size needs 3"],
    ["no pixels", file(header(1, 1), end), "its pixels are damaged"],
    [
      "too many pixels",
      file(header(1, 1), chunk("IDAT", deflateSync(new Uint8Array(1e6))), end),
      "its pixels are more than the 2 bytes of its size",
    ],
    [
      "pixels that are not deflated",
      file(header(1, 1), chunk("IDAT", [1, 2, 3]), end),
      "its pixels are damaged",
    ],
    [
      "an undefined filter",
      file(header(1, 1), chunk("IDAT", deflateSync(Uint8Array.of(9, 1))), end),
      "filter 9 is not defined",
    ],
    [
      "50,000 x 50,000 pixels",
      file(header(50_000, 50_000), pixel, end),
      "50000 x 50000 pixels are more than the limit of 64000000",
    ],
  ];
  for (const [name, bytes, reason] of cases)
    test(name, () => {
      expect(describeError(errorOf(() => read(bytes)))).toBe(`BAD_INPUT: ${subject}: ${reason}`);
    });
});

describe("writing", () => {
  test("another decoder reads the same pixels", () => {
    const color: Tensor = { dtype: "uint8", shape: [7, 9, 3], bytes: noise(189) };
    expect(decode(encodePng(color))).toMatchObject({
      width: 9,
      height: 7,
      channels: 3,
      depth: 8,
      data: color.bytes,
    });
    const gray: Tensor = { dtype: "uint8", shape: [7, 9], bytes: noise(63) };
    expect(decode(encodePng(gray))).toMatchObject({
      width: 9,
      height: 7,
      channels: 1,
      depth: 8,
      data: gray.bytes,
    });
  });

  test("a smooth picture takes little room, thanks to filters", () => {
    const ramp = tensorOf(
      "uint8",
      Array.from({ length: 128 * 128 }, (_, i) => (i % 128) + (i >> 7)),
      [128, 128],
    );
    expect(encodePng(ramp).length).toBeLessThan(500);
  });

  test("half floats are white at 1, saturate, and NaN is black", () => {
    const halves = tensorOf("float16", [0, 0.5, 1, 2, -1, NaN], [1, 6]);
    expect(read(encodePng(halves)).picture.pixels).toEqual(Uint8Array.of(0, 128, 255, 255, 0, 0));
  });

  test("other arrays are refused", () => {
    expect(describeError(errorOf(() => encodePng(f32([1], [1, 1]))))).toBe(
      "BAD_INPUT: Cannot write PNG: a picture is uint8 [height, width, 3] or [height, width], got float32 [1, 1]",
    );
    expect(errorOf(() => encodePng(zeros("uint8", [2, 2, 4]))).message).toEndWith("got uint8 [2, 2, 4]");
    expect(errorOf(() => encodePng(zeros("uint8", [0, 2]))).message).toBe(
      "Cannot write PNG: 2 x 0 pixels are none",
    );
  });

  test("any picture survives writing and reading", () => {
    const pictures = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.constantFrom(1, 3))
      .chain(([height, width, channels]) => {
        const length = height * width * channels;
        return fc
          .uint8Array({ minLength: length, maxLength: length })
          .map((bytes) => ({ height, width, channels, pixels: Uint8Array.from(bytes) }));
      });
    fc.assert(
      fc.property(pictures, ({ height, width, channels, pixels }) => {
        const shape = channels === 3 ? [height, width, 3] : [height, width];
        expect(read(encodePng({ dtype: "uint8", shape, bytes: pixels })).picture.pixels).toEqual(pixels);
      }),
    );
  });
});

test("damaged files throw only errors of ours", () => {
  for (const { file: stored } of png.slice(0, 6))
    fc.assert(
      fc.property(damaged(base64(stored)), (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          expect(error).toHaveProperty("name", "CoremlxError");
        }
      }),
      { numRuns: 100 },
    );
});
