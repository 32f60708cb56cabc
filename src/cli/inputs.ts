// From the words of a command line to the values of a model's inputs: files, literals, generated values.

import { readFileSync, statSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import { type DecodedFile, decodeFile, type FeatureFileOptions, fileToFeature } from "../codecs/codec.ts";
import { type ConvertFeature, convertFeature } from "../codecs/convert.ts";
import type { Fit } from "../codecs/fit.ts";
import { generate } from "../codecs/generate.ts";
import { featuresFromJson, fromLiteral } from "../codecs/json.ts";
import { isJsonObject } from "../codecs/json-text.ts";
import { decodeWav, mixdown, resample } from "../codecs/wav.ts";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import { suggest } from "../core/suggest.ts";
import type { LogLevel } from "../core/telemetry.ts";
import { elementCount, type FeatureValue, f32, type Tensor } from "../core/tensor.ts";
import type { Io } from "./output.ts";
import { isMissing, missingHint, whyMissing } from "./paths.ts";

export interface InputOptions {
  readonly inputs: readonly FeatureDescription[];
  /** Those that nothing else gives a value: where only one is required, a value without a name is for it. Default: all. */
  readonly openInputs?: readonly FeatureDescription[] | undefined;
  readonly fit: Fit;
  /** What to do with WAV files that do not fit as they are. */
  readonly isMixdown: boolean;
  readonly resampleHz: number | undefined;
  readonly seed: number;
  /** In place of convertFeature and generate, where a value for each step of a sequence is welcome too. */
  readonly convert?: ConvertFeature | undefined;
  readonly generate?: typeof generate | undefined;
  readonly io: Io;
  readonly log: (level: LogLevel, message: string) => void;
}

const fillings = ["random", "zeros", "ones"] as const;
const fileEndings = /\.(npy|npz|safetensors|json|png|jpe?g|webp|gif|bmp|tiff?|heic|heif|avif|wav)(:[^/]*)?$/i;
/** Begins as JSON does, or is one of its numbers and words: never the name of a file. */
const jsonLiteral = /^\s*[[{"]|^[-+]?(\d+(\.\d+)?(e[-+]?\d+)?|NaN|Infinity)$|^(true|false|null)$/i;

/**
 * `--input` arguments, each NAME=VALUE, or VALUE where it is clear which input is meant. A filling without a name is for
 * the inputs that have no other value. Throws BAD_INPUT.
 */
export async function readInputs(
  specs: readonly string[],
  options: InputOptions,
): Promise<Map<string, FeatureValue>> {
  const values = new Map<string, FeatureValue>();
  const isFilling = (spec: string) => fillings.some((word) => word === spec);
  for (const spec of specs.filter((candidate) => !isFilling(candidate))) {
    const { name, text } = splitSpec(spec, options);
    for (const [key, value] of await readValue(name, text, options)) {
      if (values.has(key)) {
        throw new CoremlxError("BAD_INPUT", `Input "${key}" is given twice`, {
          hint: "Give several files without --input: each is a prediction of its own",
        });
      }
      values.set(key, value);
    }
  }
  const [filling, second] = specs.filter(isFilling);
  if (second !== undefined) {
    throw new CoremlxError("BAD_INPUT", `Cannot fill all inputs with "${filling}" and with "${second}"`);
  }
  const filled = filling === undefined ? [] : await readValue(undefined, filling, options);
  for (const [key, value] of filled) if (!values.has(key)) values.set(key, value);
  return values;
}

/** stdin can be read for one input only: the second would find it empty. */
export function readStdinOnce(io: Io): Io {
  let isTaken = false;
  return {
    ...io,
    async readStdin() {
      if (isTaken) {
        throw new CoremlxError("USAGE", 'Cannot read the standard input twice: "-" is given for two inputs', {
          hint: "Give one of them as a file, or both in one .npz",
        });
      }
      isTaken = true;
      return io.readStdin();
    },
  };
}

/** Every input that has no value yet, from seeded random numbers. */
export function fillMissing(values: Map<string, FeatureValue>, options: InputOptions): readonly string[] {
  const filled: string[] = [];
  for (const input of options.inputs) {
    if (values.has(input.name) || input.isOptional) continue;
    values.set(input.name, (options.generate ?? generate)(input, "random", { seed: options.seed }));
    filled.push(input.name);
  }
  return filled;
}

function splitSpec(spec: string, options: InputOptions): { name: string | undefined; text: string } {
  const { inputs } = options;
  const known = inputs.map((input) => input.name).toSorted((a, b) => b.length - a.length);
  const named = known.find((name) => spec.startsWith(`${name}=`));
  if (named !== undefined) return { name: named, text: spec.slice(named.length + 1) };
  const equals = spec.indexOf("=");
  const looksNamed =
    equals > 0 && /^[\w./-]+$/.test(spec.slice(0, equals)) && isMissing(resolve(options.io.cwd, spec));
  if (!looksNamed) return { name: undefined, text: spec };
  const name = spec.slice(0, equals);
  const names = inputs.map((input) => input.name);
  throw new CoremlxError("BAD_INPUT", `Unknown input "${name}"`, {
    hint: suggest(name, names, "The inputs are"),
    details: { name, inputs: names },
  });
}

async function readValue(
  name: string | undefined,
  text: string,
  options: InputOptions,
): Promise<ReadonlyMap<string, FeatureValue>> {
  const description = name === undefined ? undefined : options.inputs.find((input) => input.name === name);
  const filling = fillings.find((word) => word === text);
  if (filling !== undefined && description?.type.kind !== "string") {
    const targets = description ? [description] : options.inputs;
    const make = options.generate ?? generate;
    return new Map(targets.map((input) => [input.name, make(input, filling, { seed: options.seed })]));
  }
  if (text === "") return emptyValue(name, description, options);
  if (text === "-") {
    const bytes = await options.io.readStdin();
    return fromFile(await decodeFile("stdin", bytes), "stdin", undefined, description, options);
  }
  const isLiteralText = description?.type.kind === "string" && !text.startsWith("@");
  const file = isLiteralText ? undefined : findFile(text, options);
  if (file === undefined) {
    const target = description ?? onlyInput(text, options);
    return new Map([[target.name, fromLiteral(text, target, { convert: options.convert })]]);
  }
  return fromFile(await readFileValue(file.path), file.path, file.key, description, options);
}

/** `--input NAME=` is the empty string where a string is due, and a slip elsewhere. */
function emptyValue(
  name: string | undefined,
  description: FeatureDescription | undefined,
  options: InputOptions,
): ReadonlyMap<string, FeatureValue> {
  const target = description ?? onlyInput("", options);
  if (target.type.kind === "string") return new Map([[target.name, ""]]);
  throw new CoremlxError("BAD_INPUT", `Cannot read input "${target.name}": it is given no value`, {
    hint: `Write ${name === undefined ? "" : "--input "}${target.name}=VALUE, for instance ${target.name}=zeros`,
  });
}

interface FoundFile {
  readonly path: string;
  /** Of an array inside an archive. */
  readonly key: string | undefined;
}

/**
 * "picture.png", "arrays.npz:key", "@values.json". `undefined`: not a file but a literal; a number, a list or an object is
 * always that. Throws BAD_INPUT when it must be a file and is not there.
 */
function findFile(text: string, { io, inputs }: InputOptions): FoundFile | undefined {
  const marked = text.startsWith("@");
  const path = marked ? text.slice(1) : text;
  if (!marked && jsonLiteral.test(text)) return undefined;
  const absolute = resolve(io.cwd, path);
  if (!isMissing(absolute)) return { path: absolute, key: undefined };
  const keyed = /^(.+\.(?:npz|safetensors)):([^/]+)$/i.exec(path);
  if (keyed?.[1] !== undefined && !isMissing(resolve(io.cwd, keyed[1]))) {
    return { path: resolve(io.cwd, keyed[1]), key: keyed[2] };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) {
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read ${path}: it is an address, and inputs are read from disk`,
      {
        hint: "Download it, then give the path of the file",
      },
    );
  }
  const hint = missingHint(absolute, io.cwd);
  const isFileName = fileEndings.test(path) || path.includes("/");
  const [only, second] = inputs;
  const isText = only?.type.kind === "string" && second === undefined;
  if (!marked && (isText || (!isFileName && hint === undefined))) return undefined;
  throw new CoremlxError("BAD_INPUT", `Cannot read ${path}: ${whyMissing(absolute, io.cwd)}`, {
    hint,
    details: { path },
  });
}

async function readFileValue(path: string): Promise<DecodedFile> {
  return decodeFile(basename(path), readBytes(path));
}

/** Throws BAD_INPUT for what cannot be read as a file. */
export function readBytes(path: string): Uint8Array<ArrayBuffer> {
  try {
    const stats = statSync(path);
    // A disk or /dev/zero has no end. Pipes, as the shell's <(…) makes them, have.
    if (stats.isCharacterDevice() || stats.isBlockDevice()) {
      throw new CoremlxError("BAD_INPUT", `Cannot read ${path}: it is a device`, {
        hint: "Write - for the standard input",
      });
    }
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    const errno = errnoOf(error);
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: "there is no such file",
      EISDIR: "it is a folder",
      EACCES: "permission denied",
    };
    const reason = reasons[errno ?? ""] ?? messageOf(error);
    throw new CoremlxError("BAD_INPUT", `Cannot read ${path}: ${reason}`, {
      cause: error,
      details: { path },
      ...(errno === "EISDIR" ? { hint: "Name the files in it, as in FOLDER/*.png" } : {}),
    });
  }
}

function fromFile(
  file: DecodedFile,
  path: string,
  key: string | undefined,
  description: FeatureDescription | undefined,
  options: InputOptions,
): ReadonlyMap<string, FeatureValue> {
  if (description === undefined && key === undefined) {
    const all = allByName(file, path, options);
    if (all) return all;
  }
  const target = description ?? onlyInput(basename(path), options);
  if (file.kind === "audio") return new Map([[target.name, fromWav(file.bytes, path, target, options)]]);
  const { fit, convert } = options;
  const fileOptions: FeatureFileOptions = { key, fit, name: basename(path), convert };
  const { value, resized } = fileToFeature(file, target, fileOptions);
  if (resized) {
    const [from, to] = [resized.from.join("x"), resized.to.join("x")];
    options.log("info", `${basename(path)}: resized from ${from} to ${to} (--fit ${resized.fit})`);
  }
  return new Map([[target.name, value]]);
}

/** An archive or object that holds inputs by name; `undefined` when it is a value itself. */
function allByName(
  file: DecodedFile,
  path: string,
  options: InputOptions,
): ReadonlyMap<string, FeatureValue> | undefined {
  const { inputs } = options;
  const byName = new Map(inputs.map((input) => [input.name, input]));
  if (file.kind === "json") {
    if (!isJsonObject(file.value)) return undefined;
    const [only, second] = inputs;
    if (only?.type.kind === "dictionary" && second === undefined && !file.value.has(only.name))
      return undefined;
    return featuresFromJson(file.value, inputs, { convert: options.convert });
  }
  if (file.kind !== "npz" && file.kind !== "safetensors") return undefined;
  if (inputs.length === 1 && file.tensors.size === 1) return undefined;
  const values = new Map<string, FeatureValue>();
  for (const [name, tensor] of file.tensors) {
    const input = byName.get(name);
    if (input) values.set(name, (options.convert ?? convertFeature)(tensor, input));
  }
  const unused = [...file.tensors.keys()].filter((name) => !byName.has(name));
  if (values.size === 0) {
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot use ${basename(path)}: no array in it is named like an input`,
      {
        hint: `It holds ${unused.slice(0, 10).join(", ")}; choose one with --input NAME=${basename(path)}:KEY`,
      },
    );
  }
  if (unused.length > 0) {
    options.log("warn", `${basename(path)}: not used: ${unused.slice(0, 10).join(", ")}`);
  }
  return values;
}

/** Samples of a WAV file for an input with one long axis. */
function fromWav(
  bytes: Uint8Array,
  path: string,
  description: FeatureDescription,
  options: InputOptions,
): FeatureValue {
  const subject = `Cannot use ${basename(path)} for input "${description.name}"`;
  const { type } = description;
  if (
    type.kind !== "multiArray" ||
    !type.dtype.startsWith("float") ||
    type.shape.filter((axis) => axis !== 1).length > 1
  ) {
    throw new CoremlxError("BAD_INPUT", `${subject}: audio goes into a float array with one axis`);
  }
  const audio = decodeWav(bytes, basename(path));
  if (audio.channels > 1 && !options.isMixdown) {
    throw new CoremlxError(
      "BAD_INPUT",
      `${subject}: it has ${audio.channels} channels, the model takes one`,
      {
        hint: "Average the channels with --mixdown",
      },
    );
  }
  const mono = mixdown(audio);
  const samples =
    options.resampleHz === undefined ? mono : resample(mono, audio.sampleRate, options.resampleHz);
  return (options.convert ?? convertFeature)(shapeSignal(samples, type.shape), description);
}

/** One signal in the declared shape when the length agrees, else as it is (the shape check then says what is wrong). */
function shapeSignal(samples: Float32Array<ArrayBuffer>, shape: readonly number[]): Tensor {
  const fits = elementCount(shape) === samples.length;
  return {
    ...f32([]),
    shape: fits ? shape : [samples.length],
    bytes: new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength),
  };
}

/** The one input that a value without a name can be for: the only one, the only required one, the only one still open. */
function onlyInput(what: string, { inputs, openInputs = inputs }: InputOptions): FeatureDescription {
  const required = inputs.filter(({ isOptional }) => !isOptional);
  for (const candidates of [inputs, required, openInputs.filter((input) => required.includes(input))]) {
    const [only, second] = candidates;
    if (only && second === undefined) return only;
  }
  const names = inputs.map((input) => input.name);
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot tell which input "${what}" is for: the model has ${inputs.length} inputs`,
    {
      hint: `Write --input NAME=VALUE with one of ${names.join(", ")}`,
      details: { inputs: names },
    },
  );
}

/** A file's name without its ending and without the input it is for, for folders of results. */
export function stemOf(spec: string, inputs: readonly FeatureDescription[]): string {
  const named = inputs.find((input) => spec.startsWith(`${input.name}=`));
  const path = named === undefined ? spec : spec.slice(named.name.length + 1);
  return basename(path, extname(path));
}
