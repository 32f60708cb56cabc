// The one entry to every file format: bytes in, values out, and back. Reading and writing the files themselves is the caller's.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import {
  isTensor,
  tensorOf,
  type FeatureValue,
  type SteppedValue,
  type SteppedValues,
  type Tensor,
} from "../core/tensor.ts";
import { type ConvertFeature, convertFeature, nameOf } from "./convert.ts";
import { isAscii } from "./exif.ts";
import type { Fit } from "./fit.ts";
import { decodeImage, pictureToFeature, sniffImage, type FittedPicture } from "./image.ts";
import { encodeJson } from "./json-output.ts";
import { parseJson, type JsonNode } from "./json-text.ts";
import { fromJson } from "./json.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";
import { decodeNpy, decodeNpz, encodeNpy, encodeNpz, missingKey, type ArchiveOptions } from "./npy.ts";
import type { Picture } from "./picture.ts";
import { encodePng } from "./png.ts";
import { decodeSafetensors, encodeSafetensors } from "./safetensors.ts";

export type DecodedFile =
  | { readonly kind: "npy"; readonly tensor: Tensor }
  | { readonly kind: "npz"; readonly tensors: ReadonlyMap<string, Tensor> }
  | {
      readonly kind: "safetensors";
      readonly tensors: ReadonlyMap<string, Tensor>;
      readonly metadata: ReadonlyMap<string, string>;
    }
  | { readonly kind: "json"; readonly value: JsonNode }
  | { readonly kind: "image"; readonly picture: Picture }
  /** A WAV file, still encoded: how to read it (mixdown, rate) is for the caller to say. Borrows. */
  | { readonly kind: "audio"; readonly bytes: Uint8Array };

export type FileKind = DecodedFile["kind"];

/**
 * A file by its content, and by the ending of `name` where the content has no signature (JSON, safetensors). Throws BAD_INPUT
 * for damage, for content that contradicts the ending and for unknown content, UNSUPPORTED for formats known but not read.
 */
export async function decodeFile(
  name: string,
  bytes: Uint8Array,
  options: ArchiveOptions = {},
): Promise<DecodedFile> {
  const limits = options.limits ?? defaultLimits;
  const kind = kindOf(name, bytes);
  switch (kind) {
    case "npy":
      return { kind, tensor: decodeNpy(bytes, name, limits) };
    case "npz":
      return { kind, tensors: decodeNpz(bytes, name, options) };
    case "safetensors":
      return { kind, ...decodeSafetensors(bytes, name, options) };
    case "json":
      return { kind, value: parseJson(bytes, { subject: `Cannot read JSON "${name}"`, limits }) };
    case "image":
      return { kind, picture: await decodeImage(bytes, name, limits) };
    case "audio":
      return { kind, bytes };
  }
}

export interface FeatureFileOptions {
  /** The array to take from an archive; else the one named like the input, else the only one. */
  readonly key?: string | undefined;
  readonly fit?: Fit | undefined;
  readonly limits?: CodecLimits | undefined;
  readonly convert?: ConvertFeature | undefined;
  /** The file's name, for errors. */
  readonly name?: string | undefined;
}

/** One input's value from a decoded file. `resized` is set when a picture had another size. Throws BAD_INPUT. */
export function fileToFeature(
  file: Exclude<DecodedFile, { readonly kind: "audio" }>,
  description: FeatureDescription,
  options: FeatureFileOptions = {},
): { readonly value: FeatureValue; readonly resized: FittedPicture["resized"] } {
  if (file.kind === "image") return pictureToFeature(file.picture, description, options);
  const { limits, convert = convertFeature } = options;
  const value =
    file.kind === "json"
      ? fromJson(file.value, description, { limits, convert })
      : convert(file.kind === "npy" ? file.tensor : pick(file.tensors, description, options), description);
  return { value, resized: undefined };
}

/** File endings that encodeFile knows, with the dot. */
export const writtenEndings = [".npz", ".safetensors", ".json", ".npy", ".png"] as const;

/**
 * All values in one file, its format by the ending of `name`. `.json` holds everything, whole; `.npz` and `.safetensors` hold arrays
 * and numbers (as arrays without axes); `.npy` and `.png` hold one array. Throws USAGE for another ending, BAD_INPUT for
 * values that the format cannot hold.
 */
export function encodeFile(name: string, values: SteppedValues): Uint8Array<ArrayBuffer> {
  const ending = endingOf(name);
  if (ending === ".json") return new TextEncoder().encode(encodeJson(values, { inlineElements: Infinity }));
  if (ending === ".npz") return encodeNpz(arraysOf(values, ending));
  if (ending === ".safetensors") return encodeSafetensors(arraysOf(values, ending));
  if (ending === ".npy" || ending === ".png") {
    const [tensor, ...others] = arraysOf(values, ending).values();
    if (tensor === undefined || others.length > 0)
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot write "${name}": a ${ending} file holds one array, got ${values.size}`,
        {
          hint: "Write .npz, .safetensors or .json",
        },
      );
    return ending === ".npy" ? encodeNpy(tensor) : encodePng(tensor);
  }
  throw new CoremlxError("USAGE", `Cannot write "${name}": the ending "${ending}" names no format`, {
    hint: `Use one of ${writtenEndings.join(", ")}`,
  });
}

const kindByEnding: ReadonlyMap<string, FileKind> = new Map([
  [".npy", "npy"],
  [".npz", "npz"],
  [".safetensors", "safetensors"],
  [".json", "json"],
  ...(
    [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"] as const
  ).map((ending) => [ending, "image"] as const),
  [".wav", "audio"],
]);

function kindOf(name: string, bytes: Uint8Array): FileKind {
  const ending = endingOf(name);
  const stated = kindByEnding.get(ending);
  // A safetensors file begins with a length, which may happen to read "BM" as a bitmap does.
  const found = stated === "safetensors" ? undefined : sniffKind(name, bytes);
  if (found !== undefined && stated !== undefined && found !== stated)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read "${name}": its content is ${describeKind[found]}, its ending "${ending}" says otherwise`,
      {
        hint: "Rename the file after what it holds",
        details: { expected: stated, actual: found },
      },
    );
  const kind = stated ?? found ?? guessKind(bytes);
  if (kind === undefined)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read "${name}": ${bytes.length === 0 ? "it is empty" : "its content is of no known format"}`,
      {
        hint: "Known are .npy, .npz, .safetensors, .json, .png, .jpg, .webp, .gif, .bmp and .wav",
      },
    );
  return kind;
}

const describeKind: Readonly<Record<FileKind, string>> = {
  npy: "an npy array",
  npz: "a zip archive",
  safetensors: "safetensors",
  json: "JSON",
  image: "a picture",
  audio: "WAV audio",
};

/** By signatures that nothing else begins with. */
function sniffKind(name: string, bytes: Uint8Array): FileKind | undefined {
  if (isAscii(bytes, 0, "\u0093NUMPY")) return "npy";
  if (isAscii(bytes, 0, "PK\u0003\u0004") || isAscii(bytes, 0, "PK\u0005\u0006")) return "npz";
  if (isAscii(bytes, 0, "RIFF") && isAscii(bytes, 8, "WAVE")) return "audio";
  const foreign = foreignAudio.find(([signature]) => isAscii(bytes, 0, signature));
  if (foreign !== undefined)
    throw new CoremlxError("UNSUPPORTED", `Cannot read "${name}": it is ${foreign[1]} audio`, {
      hint: "Convert it to WAV, for instance with: ffmpeg -i FILE FILE.wav",
    });
  return sniffImage(bytes) === undefined ? undefined : "image";
}

const foreignAudio = [
  ["fLaC", "FLAC"],
  ["OggS", "Ogg"],
  ["ID3", "MP3"],
  ["FORM", "AIFF"],
] as const;

/** Content without a signature, under a name that says nothing. */
function guessKind(bytes: Uint8Array): FileKind | undefined {
  if (bytes.length > 8 && bytes[8] === 0x7b && bytes[5] === 0 && bytes[6] === 0 && bytes[7] === 0)
    return "safetensors";
  const text = new TextDecoder().decode(bytes.subarray(0, 64).slice());
  return /^\s*[[{"\-0-9tfn]/.test(text) ? "json" : undefined;
}

function endingOf(name: string): string {
  return /\.[^./\\]*$/.exec(name)?.[0].toLowerCase() ?? "";
}

function pick(
  tensors: ReadonlyMap<string, Tensor>,
  description: FeatureDescription,
  { key, name = "archive" }: FeatureFileOptions,
): Tensor {
  const only = tensors.size === 1 ? [...tensors.values()][0] : undefined;
  const tensor = key === undefined ? (tensors.get(description.name) ?? only) : tensors.get(key);
  if (tensor !== undefined) return tensor;
  throw missingKey(
    `Cannot read ${nameOf(description)} from "${name}"`,
    key ?? description.name,
    tensors.keys(),
  );
}

function arraysOf(values: SteppedValues, ending: string): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [name, value] of values) tensors.set(name, toArray(name, value, ending));
  return tensors;
}

function toArray(name: string, value: SteppedValue, ending: string): Tensor {
  if (typeof value === "number") return tensorOf("float64", [value], []);
  if (typeof value === "bigint") return tensorOf("int64", [value], []);
  if (typeof value === "object" && isTensor(value)) return value;
  const what = typeof value === "string" ? "a string" : value instanceof Map ? "a dictionary" : "a sequence";
  throw new CoremlxError("BAD_INPUT", `Cannot write "${name}" to a ${ending} file: it is ${what}`, {
    hint: "Write .json, which holds every kind of value, or use --output-dir",
  });
}
