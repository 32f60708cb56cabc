// A picture brought to the size that a model wants, as Vision's three options do it.

import type { Picture } from "./picture.ts";
import { makePicture } from "./picture.ts";
import { resize } from "./resize.ts";

/**
 * stretch (scaleFill): both axes scaled apart. contain (scaleFit): all of the picture, black around it. crop (centerCrop): the
 * largest part of the right proportions, from the middle.
 */
export type Fit = "stretch" | "contain" | "crop";

/** The same picture when the size is right already. Sizes and offsets are rounded half to even, as PIL's ImageOps does. */
export function fitPicture(picture: Picture, width: number, height: number, fit: Fit): Picture {
  if (picture.width === width && picture.height === height) return picture;
  if (fit === "contain") return contain(picture, width, height);
  if (fit === "crop") return crop(picture, width, height);
  return resize(picture, width, height);
}

function contain(picture: Picture, width: number, height: number): Picture {
  const ratio = picture.width / picture.height;
  const wanted = width / height;
  let [innerWidth, innerHeight] = [width, height];
  if (ratio > wanted) innerHeight = Math.max(1, roundHalfEven((picture.height / picture.width) * width));
  else if (ratio < wanted) innerWidth = Math.max(1, roundHalfEven((picture.width / picture.height) * height));
  const inner = resize(picture, innerWidth, innerHeight);
  if (innerWidth === width && innerHeight === height) return inner;
  const out = makePicture(width, height, picture.channels);
  const left = roundHalfEven((width - innerWidth) / 2);
  const top = roundHalfEven((height - innerHeight) / 2);
  const rowLength = innerWidth * picture.channels;
  for (let y = 0; y < innerHeight; y++)
    out.pixels.set(
      inner.pixels.subarray(y * rowLength, (y + 1) * rowLength),
      ((top + y) * width + left) * picture.channels,
    );
  return out;
}

function crop(picture: Picture, width: number, height: number): Picture {
  const ratio = picture.width / picture.height;
  const wanted = width / height;
  let [innerWidth, innerHeight] = [picture.width, picture.height];
  if (ratio > wanted) innerWidth = wanted * picture.height;
  else if (ratio < wanted) innerHeight = picture.width / wanted;
  const left = (picture.width - innerWidth) * 0.5;
  const top = (picture.height - innerHeight) * 0.5;
  return resize(picture, width, height, { left, top, right: left + innerWidth, bottom: top + innerHeight });
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  return fraction > 0.5 || (fraction === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
