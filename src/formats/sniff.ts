// What a file is that is no Core ML model: people pass the wrong file far more often than a damaged one.

import { basename, dirname } from "node:path";
import type { CoremlxError } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";

interface Foreign {
  readonly what: string;
  readonly hint?: string;
}

/** Bytes from the start of a file that `foreignFileError` wants to see. */
export const sniffBytes = 4096;

/** A BAD_MODEL error that names what the file is, or undefined when it may be a model. `bytes` may be only the start. */
export function foreignFileError(bytes: Uint8Array, path: string): CoremlxError | undefined {
  const name = basename(path);
  if (bytes.byteLength === 0) {
    return badModel("the file is empty", {
      hint: "It was probably not copied or downloaded to its end: fetch it again",
    });
  }
  const pointer = lfsPointerError(bytes, name);
  if (pointer !== undefined) return pointer;
  const found = identify(bytes);
  if (found === undefined) return undefined;
  const hint = folderHint(path) ?? found.hint;
  return badModel(`this is ${found.what}, not a Core ML model`, { hint });
}

/** An error when these are the bytes of a Git LFS pointer, which stands for a file that was never downloaded. */
export function lfsPointerError(bytes: Uint8Array, name: string): CoremlxError | undefined {
  if (bytes.byteLength < 20 || !/^version https:\/\/\S*git-lfs\S*\/spec\/v1\n/.test(textOf(bytes, 0, 200)))
    return undefined;
  return badModel(`${quote(name)} is a Git LFS pointer, not the file itself`, {
    hint: 'Run "git lfs pull" in the repository, or download the file',
    details: { file: name },
  });
}

/** A file from inside a model folder: the folder is what should be opened. */
function folderHint(path: string): string | undefined {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    if (/\.(mlpackage|mlmodelc)$/.test(folder)) return `Open the folder ${quote(basename(folder))} instead`;
  }
  return undefined;
}

const convert = "Convert it with coremltools in Python and open the .mlpackage that comes out";

/** Magic numbers with no more to say about them. */
const magics: readonly (readonly [offset: number, magic: string, found: Foreign])[] = [
  [0, "GGUF", { what: "a GGUF file (llama.cpp)", hint: convert }],
  [0, "\x89HDF\r\n", { what: "an HDF5 file (Keras)", hint: convert }],
  [4, "TFL3", { what: "a TensorFlow Lite model", hint: convert }],
  [0, "\x93NUMPY", { what: "a NumPy array" }],
  [0, "\x1f\x8b", { what: "a gzip archive", hint: "Unpack it and open the model inside" }],
  [0, "BZh", { what: "a bzip2 archive", hint: "Unpack it and open the model inside" }],
  [0, "\x28\xb5\x2f\xfd", { what: "a zstd archive", hint: "Unpack it and open the model inside" }],
  [0, "\xfd7zXZ\0", { what: "an xz archive", hint: "Unpack it and open the model inside" }],
  [0, "7z\xbc\xaf\x27\x1c", { what: "a 7-Zip archive", hint: "Unpack it and open the model inside" }],
  [257, "ustar", { what: "a tar archive", hint: "Unpack it and open the model inside" }],
  [0, "\x89PNG", { what: "a PNG picture" }],
  [0, "\xff\xd8\xff", { what: "a JPEG picture" }],
  [0, "\x7fELF", { what: "a program" }],
  [0, "\xcf\xfa\xed\xfe", { what: "a program" }],
  [0, "%PDF", { what: "a PDF document" }],
];

function identify(bytes: Uint8Array): Foreign | undefined {
  if (startsAt(bytes, 0, "PK\x03\x04") || startsAt(bytes, 0, "PK\x05\x06")) return identifyZip(bytes);
  for (const [offset, magic, found] of magics) if (startsAt(bytes, offset, magic)) return found;
  if (bytes[0] === 0x80 && (bytes[1] ?? 0) >= 2 && (bytes[1] ?? 0) <= 5) {
    return { what: "a Python pickle (PyTorch or scikit-learn)", hint: convert };
  }
  if (isSafetensors(bytes)) return { what: "a safetensors file, weights without a model", hint: convert };
  if (startsAt(bytes, 64, "\xef\xbe\xad\xde") && bytes[4] === 2) {
    return { what: "the weight file of a model", hint: "Open the .mlpackage folder it belongs to" };
  }
  if (isOnnx(bytes)) return { what: "an ONNX model", hint: convert };
  return identifyText(bytes);
}

function identifyZip(bytes: Uint8Array): Foreign {
  const nameLength = (bytes[26] ?? 0) + 256 * (bytes[27] ?? 0);
  const first = textOf(bytes, 30, 30 + nameLength);
  // PyTorch's zips begin with "<name>/data.pkl" (or with one of its small neighbours), saved programs too.
  if (/\/(data\.pkl|version|byteorder|\.format_version|constants\.pkl)$/.test(first))
    return { what: "a PyTorch file", hint: convert };
  if (first.endsWith(".npy")) return { what: "a NumPy archive (npz)" };
  return { what: "a zip archive", hint: "Unzip it and open the .mlpackage, .mlmodel or .mlmodelc inside" };
}

/** A u64 length, then JSON of that length. */
function isSafetensors(bytes: Uint8Array): boolean {
  if (bytes.byteLength < 10 || bytes[8] !== 0x7b) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  return (
    view.getUint32(4, true) === 0 && view.getUint32(0, true) >= 2 && /^\{\s*["}]/.test(textOf(bytes, 8, 40))
  );
}

/**
 * ONNX's ModelProto: ir_version (1), producer_name (2), …, graph (7), opset_import (8). Core ML's Model has a message
 * as field 2, and no 7 or 8.
 */
function isOnnx(bytes: Uint8Array): boolean {
  let position = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let scale = 1; scale < 2 ** 63; scale *= 128) {
      const byte = bytes[position++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  for (let fields = 0; fields < 100 && position < bytes.byteLength; fields++) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    if (number === 0 || number > 30 || (tag % 8 !== 0 && tag % 8 !== 2)) return false;
    if (number === 10) return false; // isUpdatable
    if (number === 7 && tag % 8 === 2) return true;
    const value = readVarint();
    if (tag % 8 === 2) position += value;
  }
  return false;
}

function identifyText(bytes: Uint8Array): Foreign | undefined {
  const head = bytes.subarray(0, 512);
  if (head.some((byte) => byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d)) return undefined;
  const text = textOf(head, 0, 512).trimStart();
  if (/^<(!doctype html|html)/i.test(text)) {
    return {
      what: "an HTML page",
      hint: "The download brought a page instead of the file: check the address",
    };
  }
  if (/^program\s*\(/.test(text)) {
    return { what: "the program text of a compiled model", hint: "Open the .mlmodelc folder it belongs to" };
  }
  if (/^[{[]/.test(text)) return { what: "a JSON file" };
  return { what: "a text file" };
}

function startsAt(bytes: Uint8Array, offset: number, magic: string): boolean {
  return bytes.byteLength >= offset + magic.length && textOf(bytes, offset, offset + magic.length) === magic;
}

/** Bytes as Latin-1 text: every byte is one character. */
function textOf(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, Math.min(end, start + sniffBytes)));
}
