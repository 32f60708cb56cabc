import { describe, expect, test } from "bun:test";
import { fitPicture } from "../../../src/codecs/fit.ts";
import { toGray, toRgb, type Picture } from "../../../src/codecs/picture.ts";
import { resize } from "../../../src/codecs/resize.ts";
import { noise, readFixture } from "../../support/codec-fixtures.ts";

const fixture = await readFixture<{
  cases: readonly {
    from: readonly [number, number];
    to: readonly [number, number];
    channels: 1 | 3;
    stretch: string;
    contain?: string;
    crop: string;
  }[];
  small: readonly (readonly (readonly number[])[])[];
  gray: string;
}>("resize.json");

function picture(width: number, height: number, channels: 1 | 3): Picture {
  return { width, height, channels, pixels: noise(width * height * channels) };
}

function digest({ pixels }: Picture): string {
  return new Bun.CryptoHasher("sha256").update(pixels).digest("hex");
}

describe("Pillow 13 gives the same bytes", () => {
  for (const { from, to, channels, ...digests } of fixture.cases)
    test(`${from.join(" x ")} to ${to.join(" x ")}, ${channels === 3 ? "RGB" : "gray"}`, () => {
      const source = picture(from[0], from[1], channels);
      const fits = {
        stretch: digests.stretch,
        crop: digests.crop,
        ...(digests.contain !== undefined && { contain: digests.contain }),
      };
      const ours = Object.keys(fits).map((fit) => [
        fit,
        digest(fitPicture(source, to[0], to[1], fit as keyof typeof fits)),
      ]);
      expect(Object.fromEntries(ours)).toEqual(fits);
    });

  test("a small one, in plain numbers", () => {
    expect(Array.from(resize(picture(5, 4, 3), 3, 2).pixels)).toEqual(fixture.small.flat(2));
  });
});

test("the exact size passes untouched", () => {
  const source = picture(4, 3, 3);
  for (const fit of ["stretch", "contain", "crop"] as const)
    expect(fitPicture(source, 4, 3, fit)).toBe(source);
});

test("a uniform picture stays uniform, with black around it where it must be contained", () => {
  const white: Picture = { width: 8, height: 4, channels: 1, pixels: new Uint8Array(32).fill(255) };
  expect(fitPicture(white, 3, 5, "stretch").pixels).toEqual(new Uint8Array(15).fill(255));
  expect(fitPicture(white, 4, 4, "contain").pixels).toEqual(
    Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0),
  );
  expect(fitPicture(white, 2, 2, "crop").pixels).toEqual(new Uint8Array(4).fill(255));
});

test("a picture a thousand times wider than high keeps one row", () => {
  const line = picture(2000, 1, 1);
  const fitted = fitPicture(line, 4, 5, "contain");
  expect(fitted.pixels.filter((value) => value > 0)).toHaveLength(4);
});

test("gray is ITU-R 601 in fixed point, as in Pillow", () => {
  expect(digest(toGray(picture(256, 256, 3)))).toBe(fixture.gray);
});

test("gray pixels become RGB unchanged, and gray again", () => {
  const source = picture(5, 5, 1);
  expect(toGray(toRgb(source))).toEqual(source);
  expect(toGray(source)).toBe(source);
});
