// Picture files to pictures, and pictures to what a model's input declares.

import { CoremlxError, errnoOf } from "../core/errors.ts";
import {
  type FeatureDescription,
  type ImageType,
  type MultiArrayType,
  isColor,
  pictureDType,
} from "../core/model.ts";
import { elementsOf, zeros, type Tensor } from "../core/tensor.ts";
import { formatShape } from "./allocate.ts";
import { castTensor } from "./cast.ts";
import { describeType } from "./convert.ts";
import { applyOrientation, isAscii, readOrientation } from "./exif.ts";
import { fitPicture, type Fit } from "./fit.ts";
import { findWebpExif, scanGif, scanJpeg } from "./image-scan.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";
import { checkPixels, toGray, toRgb, type Picture } from "./picture.ts";
import { decodePng, PNG_SIGNATURE } from "./png.ts";
import { allowsShape, describeShapes } from "./shape.ts";

export type ImageFormat = "png" | "jpeg" | "webp" | "gif" | "bmp" | "tiff" | "heic" | "avif";

/** The format by the first bytes; undefined when they are no picture's. */
export function sniffImage(bytes: Uint8Array): ImageFormat | undefined {
  if (PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)) return "png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "jpeg";
  if (isAscii(bytes, 0, "RIFF") && isAscii(bytes, 8, "WEBP")) return "webp";
  if (isAscii(bytes, 0, "GIF87a") || isAscii(bytes, 0, "GIF89a")) return "gif";
  if (isAscii(bytes, 0, "BM") && bmpHeaderLengths.has(bytes[14] ?? 0)) return "bmp"; // two letters alone prove little
  if (isAscii(bytes, 0, "II*\0") || isAscii(bytes, 0, "MM\0*")) return "tiff";
  if (!isAscii(bytes, 4, "ftyp")) return undefined;
  if (isAscii(bytes, 8, "avi")) return "avif";
  return ["heic", "heix", "hevc", "heim", "heis", "mif1", "msf1"].some((brand) => isAscii(bytes, 8, brand))
    ? "heic"
    : undefined;
}

const bmpHeaderLengths: ReadonlySet<number> = new Set([12, 40, 52, 56, 64, 108, 124]);

/**
 * A picture file as 8-bit samples: upright by its EXIF orientation, alpha dropped (not blended), 16 bits reduced to their upper 8,
 * palettes resolved, CMYK made RGB. Colour profiles are not applied. Of an animation, the first picture. Throws BAD_INPUT for
 * damaged, cut or oversized files, UNSUPPORTED for formats that this machine has no decoder for.
 */
export async function decodeImage(
  bytes: Uint8Array,
  name: string,
  limits: CodecLimits = defaultLimits,
): Promise<Picture> {
  const subject = `Cannot read picture "${name}"`;
  const format = sniffImage(bytes);
  if (format === "png") {
    const { picture, exif } = decodePng(bytes, subject, limits);
    return applyOrientation(picture, readOrientation(exif));
  }
  if (format === undefined)
    throw new CoremlxError("BAD_INPUT", `${subject}: it is no PNG, JPEG, WebP, GIF or BMP file`, {
      hint: "Convert it to PNG",
    });
  let exif: Uint8Array | undefined;
  if (format === "jpeg") exif = scanJpeg(bytes, subject, limits);
  else if (format === "webp") exif = findWebpExif(bytes);
  else if (format === "gif") scanGif(bytes, subject, limits);
  const picture = await decodeNatively(bytes, { subject, format, limits });
  return applyOrientation(picture, readOrientation(exif));
}

export interface FittedPicture {
  readonly value: Tensor;
  /** Set when the picture was resized: sizes as [width, height], for a line on stderr. */
  readonly resized:
    | { readonly from: readonly [number, number]; readonly to: readonly [number, number]; readonly fit: Fit }
    | undefined;
}

/**
 * The value of an input from a picture. Image inputs: uint8 [H, W, 3] or [H, W]; for GRAYSCALE_FLOAT16, v / 255, because
 * a half-float pixel's white is 1 for every Apple framework that makes such pixels from a picture. Array inputs of image shape: RGB 0 to 255,
 * as [1, C, H, W] when axis -3 is 1 or 3, else as [1, H, W, C] when the last axis is. An allowed size passes untouched, any other
 * becomes the default size, by `fit`. Gray is made from the decoded colours before resizing. Throws BAD_INPUT.
 */
export function pictureToFeature(
  picture: Picture,
  description: FeatureDescription,
  options: { readonly fit?: Fit | undefined; readonly limits?: CodecLimits | undefined } = {},
): FittedPicture {
  const { type } = description;
  const context = {
    subject: `Cannot use a picture for input "${description.name}"`,
    fit: options.fit ?? "stretch",
    limits: options.limits ?? defaultLimits,
  };
  if (type.kind === "image") return toImageInput(picture, type, context);
  if (type.kind === "multiArray") return toArrayInput(picture, type, context);
  throw new CoremlxError("BAD_INPUT", `${context.subject}: the model wants ${describeType(type)}`);
}

/** The size that a picture takes in an array of this type. Undefined where its shape is not that of a picture. */
export function pictureSizeOf(
  type: MultiArrayType,
): { readonly width: number; readonly height: number } | undefined {
  return findLayout(type);
}

interface Context {
  readonly subject: string;
  readonly fit: Fit;
  readonly limits: CodecLimits;
}

/** JPEG, WebP, GIF and BMP through the runtime, which has no raw output: an uncompressed PNG is read back. */
async function decodeNatively(
  bytes: Uint8Array,
  {
    subject,
    format,
    limits,
  }: { readonly subject: string; readonly format: ImageFormat; readonly limits: CodecLimits },
): Promise<Picture> {
  let png: Uint8Array;
  try {
    // Its own orientation is off: it knows JPEG only. The copy keeps the pixels ours while another thread reads them.
    const image = new Bun.Image(bytes.slice(), { autoOrient: false, maxPixels: limits.imagePixels });
    png = await image.png({ compressionLevel: 0 }).bytes();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === "ERR_IMAGE_FORMAT_UNSUPPORTED")
      throw new CoremlxError(
        "UNSUPPORTED",
        `${subject}: this machine has no decoder for ${format.toUpperCase()}`,
        {
          cause,
          hint: "Convert it first, on a Mac with: sips -s format png FILE --out FILE.png",
        },
      );
    const reason =
      code === "ERR_IMAGE_TOO_MANY_PIXELS"
        ? `it has more pixels than the limit of ${limits.imagePixels}`
        : `the ${format.toUpperCase()} data are damaged`;
    throw new CoremlxError("BAD_INPUT", `${subject}: ${reason}`, { cause });
  }
  return decodePng(png, subject, limits).picture;
}

function toImageInput(picture: Picture, type: ImageType, context: Context): FittedPicture {
  const wantsColor = isColor(type);
  const isAllowed = allowsShape([picture.height, picture.width], type);
  const [width, height] = isAllowed ? [picture.width, picture.height] : [type.width, type.height];
  const fitted = fitTo(wantsColor ? toRgb(picture) : toGray(picture), { ...context, width, height });
  const value: Tensor = {
    dtype: "uint8",
    shape: wantsColor ? [height, width, 3] : [height, width],
    bytes: fitted.pixels,
  };
  const resized = resizing(picture, width, height, context.fit);
  return { value: pictureDType(type) === "float16" ? toUnitHalves(value) : value, resized };
}

/** v / 255 to the nearest float16. */
function toUnitHalves(tensor: Tensor): Tensor {
  const out = zeros("float16", tensor.shape);
  const elements = elementsOf(out);
  for (let i = 0; i < elements.length; i++) elements[i] = (tensor.bytes[i] ?? 0) / 255;
  return out;
}

function toArrayInput(picture: Picture, type: MultiArrayType, context: Context): FittedPicture {
  const layout = findLayout(type);
  if (layout === undefined)
    throw new CoremlxError(
      "BAD_INPUT",
      `${context.subject}: shape ${describeShapes(type)} is not that of a picture: axis -3 (NCHW) or the last (NHWC) must be 1 or 3, with at most a batch of 1`,
      { hint: "Pass the array as .npy", details: { expected: describeShapes(type) } },
    );
  const shapeOf = (height: number, width: number): number[] => {
    const axes = layout.isChannelsFirst ? [layout.channels, height, width] : [height, width, layout.channels];
    return layout.hasBatch ? [1, ...axes] : axes;
  };
  const isAllowed = allowsShape(shapeOf(picture.height, picture.width), type);
  const [width, height] = isAllowed ? [picture.width, picture.height] : [layout.width, layout.height];
  const shape = shapeOf(height, width);
  if (!allowsShape(shape, type))
    throw new CoremlxError(
      "BAD_INPUT",
      `${context.subject}: it cannot take the shape ${formatShape(shape)}, only ${describeShapes(type)}`,
    );
  const fitted = fitTo(layout.channels === 3 ? toRgb(picture) : toGray(picture), {
    ...context,
    width,
    height,
  });
  const bytes = layout.isChannelsFirst && layout.channels === 3 ? toPlanes(fitted) : fitted.pixels;
  const value = castTensor({ dtype: "uint8", shape, bytes }, type.dtype, "the picture");
  return { value, resized: resizing(picture, width, height, context.fit) };
}

interface Layout {
  readonly channels: 1 | 3;
  readonly isChannelsFirst: boolean;
  readonly hasBatch: boolean;
  readonly height: number;
  readonly width: number;
}

/** How the default shape holds a picture. */
function findLayout({ shape }: MultiArrayType): Layout | undefined {
  if (shape.length !== 3 && shape.length !== 4) return undefined;
  const [first = 0, second = 0, third = 0] = shape.slice(-3);
  const hasBatch = shape.length === 4;
  if (first === 1 || first === 3)
    return { channels: first, isChannelsFirst: true, hasBatch, height: second, width: third };
  if (third === 1 || third === 3)
    return { channels: third, isChannelsFirst: false, hasBatch, height: first, width: second };
  return undefined;
}

function fitTo(
  picture: Picture,
  { width, height, ...context }: Context & { readonly width: number; readonly height: number },
): Picture {
  checkPixels(width, height, context.subject, context.limits); // the model's word is not to be trusted either
  return fitPicture(picture, width, height, context.fit);
}

function resizing(picture: Picture, width: number, height: number, fit: Fit): FittedPicture["resized"] {
  if (picture.width === width && picture.height === height) return undefined;
  return { from: [picture.width, picture.height], to: [width, height], fit };
}

/** Interleaved RGB to three planes. */
function toPlanes({ width, height, pixels }: Picture): Uint8Array<ArrayBuffer> {
  const size = width * height;
  const out = new Uint8Array(new ArrayBuffer(size * 3));
  for (let i = 0, from = 0; i < size; i++, from += 3) {
    out[i] = pixels[from] ?? 0;
    out[size + i] = pixels[from + 1] ?? 0;
    out[2 * size + i] = pixels[from + 2] ?? 0;
  }
  return out;
}
