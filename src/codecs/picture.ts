// A decoded picture: 8-bit samples, upright, no alpha. What every picture file becomes before it meets a model.

import { CoremlxError } from "../core/errors.ts";
import type { CodecLimits } from "./limits.ts";

/** Owns its pixels: rows from the top, each of `width` pixels of one (gray) or three (RGB) bytes. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array<ArrayBuffer>;
}

/** Refuses a size before memory is taken for it. Throws BAD_INPUT. */
export function checkPixels(width: number, height: number, subject: string, limits: CodecLimits): void {
  if (width < 1 || height < 1)
    throw new CoremlxError("BAD_INPUT", `${subject}: a size of ${width} x ${height} is empty`);
  if (width * height > limits.imagePixels)
    throw new CoremlxError(
      "BAD_INPUT",
      `${subject}: ${width} x ${height} pixels are more than the limit of ${limits.imagePixels}`,
      { details: { limit: "imagePixels", expected: limits.imagePixels, actual: width * height } },
    );
}

export function makePicture(width: number, height: number, channels: 1 | 3): Picture {
  return { width, height, channels, pixels: new Uint8Array(new ArrayBuffer(width * height * channels)) };
}

/** ITU-R 601 luma in 16-bit fixed point, rounded: what PIL's convert("L") gives. */
export function toGray(picture: Picture): Picture {
  if (picture.channels === 1) return picture;
  const out = makePicture(picture.width, picture.height, 1);
  const from = picture.pixels;
  for (let i = 0, j = 0; i < out.pixels.length; i++, j += 3)
    out.pixels[i] =
      ((from[j] ?? 0) * 19595 + (from[j + 1] ?? 0) * 38470 + (from[j + 2] ?? 0) * 7471 + 0x8000) >> 16;
  return out;
}

export function toRgb(picture: Picture): Picture {
  if (picture.channels === 3) return picture;
  const out = makePicture(picture.width, picture.height, 3);
  for (let i = 0; i < picture.pixels.length; i++) out.pixels.fill(picture.pixels[i] ?? 0, i * 3, i * 3 + 3);
  return out;
}
