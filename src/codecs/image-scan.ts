// What the runtime's decoder does not check, read from the files themselves: a JPEG's or GIF's end, the number of scans, EXIF.

import { CoremlxError } from "../core/errors.ts";
import { isAscii } from "./exif.ts";
import type { CodecLimits } from "./limits.ts";
import { checkPixels } from "./picture.ts";

/** Walks the markers to the end-of-image. Returns the EXIF data. Throws BAD_INPUT for a cut file or one that is too large. */
export function scanJpeg(bytes: Uint8Array, subject: string, limits: CodecLimits): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let exif: Uint8Array | undefined;
  let scans = 0;
  let at = 2;
  for (;;) {
    // Between segments lie only fill bytes; after a scan's header, compressed data with 0xff00 and restart markers inside.
    while (at + 1 < bytes.length && !isMarker(bytes, at)) at++;
    if (at + 1 >= bytes.length) throw cut(subject, bytes.length);
    const marker = bytes[at + 1] ?? 0;
    at += 2;
    if (marker === END_OF_IMAGE) break;
    if (marker === START_OF_IMAGE || marker === TEMPORARY) continue;
    if (at + 2 > bytes.length) throw cut(subject, bytes.length);
    const end = at + view.getUint16(at);
    if (end > bytes.length) throw cut(subject, bytes.length);
    const content = bytes.subarray(at + 2, end);
    if (marker === APP1 && exif === undefined && isAscii(content, 0, "Exif\0\0")) exif = content;
    if (isFrame(marker) && content.length >= 5)
      checkPixels(view.getUint16(at + 5), view.getUint16(at + 3), subject, limits);
    if (marker === START_OF_SCAN && ++scans > limits.jpegScans)
      throw bad(subject, `more than ${limits.jpegScans} scans, the limit`);
    at = Math.max(end, at + 2);
  }
  if (scans === 0) throw bad(subject, "it has no picture data");
  return exif;
}

/** Follows the blocks to the end of the first picture. Throws BAD_INPUT for a cut file or one that is too large. */
export function scanGif(bytes: Uint8Array, subject: string, limits: CodecLimits): void {
  if (bytes.length < 13) throw cut(subject, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  checkPixels(view.getUint16(6, true), view.getUint16(8, true), subject, limits);
  let at = 13 + colorTableLength(bytes[10] ?? 0);
  for (;;) {
    const introducer = bytes[at];
    if (introducer === 0x21) at = skipBlocks(bytes, at + 2, subject);
    else if (introducer === 0x2c) {
      if (at + 10 > bytes.length) throw cut(subject, bytes.length);
      checkPixels(view.getUint16(at + 5, true), view.getUint16(at + 7, true), subject, limits);
      skipBlocks(bytes, at + 11 + colorTableLength(bytes[at + 9] ?? 0), subject);
      return;
    } else if (introducer === undefined) throw cut(subject, bytes.length);
    else
      throw bad(
        subject,
        introducer === 0x3b ? "it has no picture" : `its block ${introducer} is not defined`,
      );
  }
}

/** The EXIF chunk of a WebP file, if there is one. Damage is left to the decoder, which refuses it. */
export function findWebpExif(bytes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (isAscii(bytes, at, "EXIF")) return bytes.subarray(at + 8, Math.min(at + 8 + length, bytes.length));
    at += 8 + length + (length % 2);
  }
  return undefined;
}

const START_OF_IMAGE = 0xd8;
const END_OF_IMAGE = 0xd9;
const START_OF_SCAN = 0xda;
const TEMPORARY = 0x01;
const APP1 = 0xe1;

/** Not a stuffed 0xff, not fill, not a restart marker (they stand within compressed data). */
function isMarker(bytes: Uint8Array, at: number): boolean {
  const code = bytes[at + 1] ?? 0;
  return bytes[at] === 0xff && code !== 0 && code !== 0xff && !(code >= 0xd0 && code <= 0xd7);
}

/** SOF0 to SOF15, without the tables and the extension that lie between them. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function colorTableLength(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}

/** Length-prefixed blocks up to the empty one; returns what follows. */
function skipBlocks(bytes: Uint8Array, start: number, subject: string): number {
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) throw cut(subject, bytes.length);
    at += 1 + length;
    if (length === 0) return at;
  }
}

function cut(subject: string, byteLength: number): CoremlxError {
  return bad(subject, `it is cut off after ${byteLength} bytes`);
}

function bad(subject: string, reason: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${subject}: ${reason}`);
}
