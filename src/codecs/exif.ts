// The one EXIF tag that changes pixels: orientation. EXIF is a small TIFF file inside a picture file.

import { makePicture, type Picture } from "./picture.ts";

/** 1 (upright) to 8, as TIFF numbers them: the position of the first row and the first column. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** Of EXIF data, with or without "Exif\0\0" before. Damaged or missing data mean upright, as in every viewer. */
export function readOrientation(exif: Uint8Array | undefined): Orientation {
  if (exif === undefined) return 1;
  const start = isAscii(exif, 0, "Exif\0\0") ? 6 : 0;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.byteLength - start);
  if (view.byteLength < 8) return 1;
  const isLittle = view.getUint16(0) === 0x4949;
  if (!isLittle && view.getUint16(0) !== 0x4d4d) return 1;
  const directory = view.getUint32(4, isLittle);
  if (directory + 2 > view.byteLength) return 1;
  const count = view.getUint16(directory, isLittle);
  for (let i = 0, at = directory + 2; i < count && at + 12 <= view.byteLength; i++, at += 12) {
    if (view.getUint16(at, isLittle) !== ORIENTATION_TAG) continue;
    if (view.getUint16(at + 2, isLittle) !== SHORT || view.getUint32(at + 4, isLittle) !== 1) return 1;
    return orientations[view.getUint16(at + 8, isLittle)] ?? 1;
  }
  return 1;
}

/** The picture as it is meant to be seen; the same one when it is upright already. */
export function applyOrientation(picture: Picture, orientation: Orientation): Picture {
  if (orientation === 1) return picture;
  const { width, height, channels, pixels } = picture;
  const isTurned = orientation >= 5;
  const out = makePicture(isTurned ? height : width, isTurned ? width : height, channels);
  // Pixel (x, y) of the result comes from (sx, sy): turned ones swap the axes first, then each axis may be mirrored.
  const mirrorX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const mirrorY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  let to = 0;
  for (let y = 0; y < out.height; y++)
    for (let x = 0; x < out.width; x++) {
      const [u, v] = isTurned ? [y, x] : [x, y];
      const sx = mirrorX ? width - 1 - u : u;
      const sy = mirrorY ? height - 1 - v : v;
      const from = (sy * width + sx) * channels;
      for (let channel = 0; channel < channels; channel++) out.pixels[to++] = pixels[from + channel] ?? 0;
    }
  return out;
}

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;
const orientations: readonly (Orientation | undefined)[] = [undefined, 1, 2, 3, 4, 5, 6, 7, 8];

export function isAscii(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
