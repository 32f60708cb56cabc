// PNG, read and written here rather than by a library: inflating is bounded by the header, truncation is an error, and every
// bit depth, palette and interlacing works. Format: W3C Portable Network Graphics, third edition.

import { crc32, deflateSync, inflateSync } from "node:zlib";
import { CoremlxError, errnoOf } from "../core/errors.ts";
import { numbersOf, type Tensor } from "../core/tensor.ts";
import { formatShape } from "./allocate.ts";
import type { CodecLimits } from "./limits.ts";
import { checkPixels, makePicture, type Picture } from "./picture.ts";

export const PNG_SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** The picture as stored, 16 bits reduced to their upper 8, transparency dropped; and its EXIF data. Throws BAD_INPUT. */
export function decodePng(
  bytes: Uint8Array,
  subject: string,
  limits: CodecLimits,
): { readonly picture: Picture; readonly exif: Uint8Array | undefined } {
  const { header, palette, exif, data } = readChunks(bytes, subject, limits);
  const passes = header.isInterlaced
    ? adam7(header)
    : [{ ...wholePass, width: header.width, height: header.height }];
  const rowLengthOf = (pass: Pass): number => Math.ceil((pass.width * header.depth * header.samples) / 8);
  const expected = passes.reduce((sum, pass) => sum + pass.height * (1 + rowLengthOf(pass)), 0);
  const raw = inflate(data, expected, subject);
  const picture = makePicture(header.width, header.height, header.isColor ? 3 : 1);
  let at = 0;
  for (const pass of passes) {
    const rowLength = rowLengthOf(pass);
    const rows = raw.subarray(at, at + pass.height * (1 + rowLength));
    at += rows.length;
    unfilter(rows, { rowLength, pixelLength: Math.max(1, (header.depth * header.samples) / 8), subject });
    placePixels(rows, rowLength, { pass, header, palette, picture, subject });
  }
  return { picture, exif };
}

/**
 * uint8 [H, W, 3] is written as RGB, uint8 [H, W] as gray; float16 [H, W], whose white is 1, as 8-bit gray. Each row takes the
 * filter with the smallest sum of differences. Throws BAD_INPUT for other arrays.
 */
export function encodePng(tensor: Tensor): Uint8Array<ArrayBuffer> {
  const [height = 0, width = 0, channels = 1] = tensor.shape;
  const isGray = tensor.shape.length === 2;
  const isColor = tensor.shape.length === 3 && channels === 3 && tensor.dtype === "uint8";
  if (!isColor && !(isGray && (tensor.dtype === "uint8" || tensor.dtype === "float16")))
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot write PNG: a picture is uint8 [height, width, 3] or [height, width], got ${tensor.dtype} ${formatShape(tensor.shape)}`,
      { hint: "Write .npy instead" },
    );
  if (width < 1 || height < 1)
    throw new CoremlxError("BAD_INPUT", `Cannot write PNG: ${width} x ${height} pixels are none`);
  const pixels = tensor.dtype === "float16" ? halvesToBytes(tensor) : tensor.bytes;
  const rowLength = width * channels;
  const filtered = new Uint8Array(height * (rowLength + 1));
  const candidate = new Uint8Array(rowLength);
  for (let y = 0; y < height; y++) {
    let least = Infinity;
    for (const filter of [0, 1, 2, 3, 4] as const) {
      const cost = applyFilter(filter, candidate, pixels, {
        start: y * rowLength,
        rowLength,
        pixelLength: channels,
      });
      if (cost >= least) continue;
      least = cost;
      filtered[y * (rowLength + 1)] = filter;
      filtered.set(candidate, y * (rowLength + 1) + 1);
    }
  }
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, isGray ? GRAY : COLOR], 8);
  const parts = [
    PNG_SIGNATURE,
    makeChunk("IHDR", header),
    makeChunk("IDAT", deflateSync(filtered)),
    makeChunk("IEND", new Uint8Array(0)),
  ];
  const out = new Uint8Array(new ArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0)));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const GRAY = 0;
const COLOR = 2;
const INDEXED = 3;
const GRAY_ALPHA = 4;
const COLOR_ALPHA = 6;

/** By colour type: samples in a pixel, and the depths the format allows. */
const colorTypes: ReadonlyMap<number, { readonly samples: number; readonly depths: readonly number[] }> =
  new Map([
    [GRAY, { samples: 1, depths: [1, 2, 4, 8, 16] }],
    [COLOR, { samples: 3, depths: [8, 16] }],
    [INDEXED, { samples: 1, depths: [1, 2, 4, 8] }],
    [GRAY_ALPHA, { samples: 2, depths: [8, 16] }],
    [COLOR_ALPHA, { samples: 4, depths: [8, 16] }],
  ]);

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colorType: number;
  readonly samples: number;
  /** Three channels in the result. */
  readonly isColor: boolean;
  readonly isInterlaced: boolean;
}

/** One of the seven partial pictures of an interlaced file, or the whole picture. */
interface Pass {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
  readonly stepX: number;
  readonly stepY: number;
}

const wholePass = { left: 0, top: 0, stepX: 1, stepY: 1 };

function adam7({ width, height }: Header): Pass[] {
  const grid = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ] as const;
  return grid
    .map(([left, top, stepX, stepY]) => ({
      width: Math.ceil((width - left) / stepX),
      height: Math.ceil((height - top) / stepY),
      left,
      top,
      stepX,
      stepY,
    }))
    .filter((pass) => pass.width > 0 && pass.height > 0);
}

interface Chunks {
  readonly header: Header;
  readonly palette: Uint8Array | undefined;
  readonly exif: Uint8Array | undefined;
  readonly data: Uint8Array;
}

function readChunks(bytes: Uint8Array, subject: string, limits: CodecLimits): Chunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | undefined;
  let palette: Uint8Array | undefined;
  let exif: Uint8Array | undefined;
  const parts: Uint8Array[] = [];
  for (let at = PNG_SIGNATURE.length; ; ) {
    if (at + 12 > bytes.length) throw bad(subject, `it is cut off after ${bytes.length} bytes`);
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const end = at + 8 + length;
    if (end + 4 > bytes.length)
      throw bad(subject, `it is cut off within a chunk "${printable(type)}" of ${length} bytes`);
    const content = bytes.subarray(at + 8, end);
    const isCritical = ((bytes[at + 4] ?? 0) & 0x20) === 0;
    if (isCritical && crc32(bytes.subarray(at + 4, end)) !== view.getUint32(end))
      throw bad(subject, `its chunk "${printable(type)}" is damaged: the checksum differs`);
    if (header === undefined && type !== "IHDR")
      throw bad(subject, `it begins with "${printable(type)}" instead of its header`);
    if (type === "IHDR") {
      if (header !== undefined) throw bad(subject, "it has two headers");
      header = readHeader(content, subject, limits);
    } else if (type === "PLTE") palette = content;
    else if (type === "eXIf") exif = content;
    else if (type === "IDAT") parts.push(content);
    else if (type === "IEND") break;
    else if (isCritical) throw bad(subject, `its chunk "${printable(type)}" is unknown`);
    at = end + 4;
  }
  if (header === undefined) throw bad(subject, "it has no header");
  if (header.colorType === INDEXED && palette === undefined) throw bad(subject, "it has no palette");
  if (palette !== undefined && (palette.length % 3 !== 0 || palette.length > 768))
    throw bad(subject, `a palette of ${palette.length} bytes is none`);
  const data = parts.length === 1 ? (parts[0] ?? new Uint8Array(0)) : Buffer.concat(parts);
  return { header, palette, exif, data };
}

function readHeader(content: Uint8Array, subject: string, limits: CodecLimits): Header {
  if (content.length !== 13) throw bad(subject, `its header has ${content.length} bytes instead of 13`);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const [depth = 0, colorType = 0, compression, filter, interlace = 0] = content.subarray(8);
  const known = colorTypes.get(colorType);
  if (known === undefined || !known.depths.includes(depth))
    throw bad(subject, `colour type ${colorType} with ${depth} bits is not defined`);
  if (compression !== 0 || filter !== 0 || interlace > 1)
    throw bad(
      subject,
      `compression ${compression}, filter ${filter} or interlacing ${interlace} is not defined`,
    );
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  checkPixels(width, height, subject, limits);
  const isColor = colorType !== GRAY && colorType !== GRAY_ALPHA;
  return { width, height, depth, colorType, samples: known.samples, isColor, isInterlaced: interlace === 1 };
}

function inflate(data: Uint8Array, expected: number, subject: string): Uint8Array {
  let raw: Uint8Array;
  try {
    raw = inflateSync(data, { maxOutputLength: expected });
  } catch (cause) {
    const reason =
      errnoOf(cause) === "ERR_BUFFER_TOO_LARGE"
        ? `are more than the ${expected} bytes of its size`
        : "are damaged";
    throw new CoremlxError("BAD_INPUT", `${subject}: its pixels ${reason}`, { cause });
  }
  if (raw.length !== expected)
    throw bad(subject, `its pixels have ${raw.length} bytes, its size needs ${expected}`);
  return raw;
}

/** Undoes the filter of each row, in place. A row is a filter byte and `rowLength` bytes. */
function unfilter(
  rows: Uint8Array,
  {
    rowLength,
    pixelLength,
    subject,
  }: { readonly rowLength: number; readonly pixelLength: number; readonly subject: string },
): void {
  const stride = rowLength + 1;
  for (let start = 1; start < rows.length; start += stride) {
    const filter = rows[start - 1] ?? 0;
    const hasAbove = start > stride;
    for (let i = 0; i < rowLength && filter !== 0; i++) {
      const at = start + i;
      const left = i >= pixelLength ? (rows[at - pixelLength] ?? 0) : 0;
      const above = hasAbove ? (rows[at - stride] ?? 0) : 0;
      let prediction: number;
      if (filter === 1) prediction = left;
      else if (filter === 2) prediction = above;
      else if (filter === 3) prediction = (left + above) >> 1;
      else if (filter === 4)
        prediction = paeth(
          left,
          above,
          hasAbove && i >= pixelLength ? (rows[at - stride - pixelLength] ?? 0) : 0,
        );
      else throw bad(subject, `filter ${filter} is not defined`);
      rows[at] = (rows[at] ?? 0) + prediction;
    }
  }
}

function paeth(left: number, above: number, corner: number): number {
  const distanceLeft = Math.abs(above - corner);
  const distanceAbove = Math.abs(left - corner);
  const distanceCorner = Math.abs(left + above - 2 * corner);
  if (distanceLeft <= distanceAbove && distanceLeft <= distanceCorner) return left;
  return distanceAbove <= distanceCorner ? above : corner;
}

interface Placement {
  readonly pass: Pass;
  readonly header: Header;
  readonly palette: Uint8Array | undefined;
  readonly picture: Picture;
  readonly subject: string;
}

/** Unfiltered rows to 8-bit pixels at their places. */
function placePixels(rows: Uint8Array, rowLength: number, placement: Placement): void {
  const { pass, header, palette = new Uint8Array(0), picture, subject } = placement;
  const { depth, samples, colorType } = header;
  const sampleLength = depth === 16 ? 2 : 1; // of 16 bits, only the first byte (the upper 8) is looked at
  const scale = depth < 8 && colorType === GRAY ? 255 / (2 ** depth - 1) : 1;
  const colors = palette.length / 3;
  const { pixels, channels } = picture;
  for (let y = 0; y < pass.height; y++) {
    const row = y * (rowLength + 1) + 1;
    let to = ((pass.top + y * pass.stepY) * picture.width + pass.left) * channels;
    for (let x = 0; x < pass.width; x++, to += pass.stepX * channels) {
      if (depth >= 8 && colorType !== INDEXED) {
        const from = row + x * samples * sampleLength;
        pixels[to] = rows[from] ?? 0;
        if (channels === 1) continue;
        pixels[to + 1] = rows[from + sampleLength] ?? 0;
        pixels[to + 2] = rows[from + 2 * sampleLength] ?? 0;
        continue;
      }
      const bit = x * depth;
      const value = ((rows[row + (bit >> 3)] ?? 0) >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
      if (colorType === GRAY) {
        pixels[to] = value * scale;
        continue;
      }
      if (value >= colors) throw bad(subject, `a pixel has colour ${value} of a palette of ${colors}`);
      pixels[to] = palette[value * 3] ?? 0;
      pixels[to + 1] = palette[value * 3 + 1] ?? 0;
      pixels[to + 2] = palette[value * 3 + 2] ?? 0;
    }
  }
}

/** Writes one filtered row into `out`; returns the sum of its bytes as signed distances. */
function applyFilter(
  filter: 0 | 1 | 2 | 3 | 4,
  out: Uint8Array,
  pixels: Uint8Array,
  {
    start,
    rowLength,
    pixelLength,
  }: { readonly start: number; readonly rowLength: number; readonly pixelLength: number },
): number {
  const hasAbove = start > 0;
  let cost = 0;
  for (let i = 0; i < rowLength; i++) {
    const at = start + i;
    const left = i >= pixelLength ? (pixels[at - pixelLength] ?? 0) : 0;
    const above = hasAbove ? (pixels[at - rowLength] ?? 0) : 0;
    const corner = hasAbove && i >= pixelLength ? (pixels[at - rowLength - pixelLength] ?? 0) : 0;
    let prediction = 0;
    if (filter === 1) prediction = left;
    else if (filter === 2) prediction = above;
    else if (filter === 3) prediction = (left + above) >> 1;
    else if (filter === 4) prediction = paeth(left, above, corner);
    const difference = ((pixels[at] ?? 0) - prediction) & 0xff;
    out[i] = difference;
    cost += difference < 128 ? difference : 256 - difference;
  }
  return cost;
}

function halvesToBytes(tensor: Tensor): Uint8Array {
  // Uint8ClampedArray rounds half to even, saturates, and takes NaN for 0.
  return Uint8Array.from(Uint8ClampedArray.from(numbersOf(tensor), (value) => value * 255));
}

function makeChunk(type: string, content: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(12 + content.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set(new TextEncoder().encode(type), 4);
  chunk.set(content, 8);
  view.setUint32(8 + content.length, crc32(chunk.subarray(4, 8 + content.length)));
  return chunk;
}

/** Chunk names come from the file: nothing but letters reaches a terminal. */
function printable(type: string): string {
  return type.replaceAll(/[^A-Za-z]/g, "?");
}

function bad(subject: string, reason: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${subject}: ${reason}`);
}
