// A tape's bytes: a header, then deflated JSON with the values behind it. Equal values are stored once.
//
//     0  "CMLXTAPE"          20  length of all that is deflated
//     8  version (1)         24  SHA-256 over bytes 0 to 23 and all from 56 on
//    12  reserved (0)        56  deflated
//    16  length of the JSON
//
// Numbers are little endian, of 32 bits.

import { deflateRawSync, inflateRawSync } from "node:zlib";
import { CoremlxError } from "../../core/errors.ts";
import type { ModelDescription } from "../../core/model.ts";
import type { FeatureValue, FeatureValues } from "../../core/tensor.ts";
import { isFailure, type Recording, type Tape, type TapeAnswer, type TapeFailure } from "./content.ts";
import { defaultTapeLimits, type TapeLimits } from "./limits.ts";
import { findHeadProblem, isHead, type TapeHead, type ValueRow } from "./schema.ts";
import { decodeValue, encodeValue, joinBytes, type ValueForm } from "./values.ts";

const magic = "CMLXTAPE";
const version = 1;
const digestAt = 24;
const contentAt = 56;

export function encodeTape(tape: Tape): Uint8Array<ArrayBuffer> {
  const blobs = new BlobStore();
  const rows = (values: FeatureValues) => [...values].map(([name, value]) => blobs.row(name, value));
  const answers = new Table((answer: TapeAnswer) => ({
    outputs: rows(answer.outputs),
    states: rows(answer.states),
  }));
  const failures = new Table((failure: TapeFailure) => failure);
  const { metadata, classLabels, ...description } = tape.model.description;
  const { userDefined, ...plainMetadata } = metadata;
  const head = {
    ...tape,
    model: {
      ...tape.model,
      description,
      metadata: plainMetadata,
      userDefined: [...userDefined],
      labels: classLabels && {
        element: typeof classLabels[0] === "bigint" ? "int64" : "string",
        values: classLabels.map(String),
      },
    },
    samples: tape.samples.map(({ inputs, states }) => ({ inputs: rows(inputs), states: rows(states) })),
    recordings: tape.recordings.map(({ takes, ...recording }) => ({
      ...recording,
      takes: takes.map(({ sample, outcome, runMs }) => [
        sample,
        isFailure(outcome) ? -1 - failures.indexOf(outcome) : answers.indexOf(outcome),
        Math.round(runMs * 1e6) / 1e6,
      ]),
    })),
    answers: answers.rows,
    failures: failures.rows,
    blobs: blobs.lengths,
  };
  const json = new TextEncoder().encode(JSON.stringify(head, finiteOnly));
  return encodeTapeContent(json, joinBytes([json, ...blobs.parts]));
}

/** JSON has no NaN: what is no number is left out. */
function finiteOnly(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? undefined : value;
}

/** The file around a content that begins with its JSON. */
export function encodeTapeContent(
  json: Pick<Uint8Array, "byteLength">,
  content: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const bytes = joinBytes([new Uint8Array(new ArrayBuffer(contentAt)), deflateRawSync(content)]);
  const view = new DataView(bytes.buffer);
  new TextEncoder().encodeInto(magic, bytes);
  view.setUint32(8, version, true);
  view.setUint32(16, json.byteLength, true);
  view.setUint32(20, content.byteLength, true);
  bytes.set(digestOf(bytes), digestAt);
  return bytes;
}

/** Throws BAD_INPUT for anything that is not a whole, undamaged tape of this version within the limits. */
export function decodeTape(bytes: Uint8Array<ArrayBuffer>, limits: TapeLimits = defaultTapeLimits): Tape {
  const { json, values } = openContent(bytes, limits);
  const head = readHead(json);
  const blobs = sliceBlobs(head.blobs, values);
  const reader = new BlobReader(blobs);
  const decode = (rows: readonly ValueRow[]) => decodeRows(rows, reader);
  const answers = head.answers.map(
    ({ outputs, states }): TapeAnswer => ({ outputs: decode(outputs), states: decode(states) }),
  );
  const samples = head.samples.map(({ inputs, states }) => ({
    inputs: decode(inputs),
    states: decode(states),
  }));
  const { recordedAt, tool, label, engine, host, condition } = head;
  const tape = { recordedAt, tool, label, engine, host, condition, samples };
  const { name, digest } = head.model;
  const recordings = head.recordings.map((recording): Recording => {
    const takes = recording.takes.map(([sample, outcome, runMs]) => {
      const found = outcome < 0 ? head.failures[-1 - outcome] : answers[outcome];
      if (found === undefined || samples[sample] === undefined)
        throw damaged("a take has no sample or outcome");
      return { sample, outcome: found, runMs };
    });
    return { ...recording, takes } as Recording; // as checked by the schema
  });
  return { ...tape, model: { name, digest, description: readDescription(head.model) }, recordings } as Tape; // as checked by the schema
}

function openContent(bytes: Uint8Array<ArrayBuffer>, limits: TapeLimits) {
  if (bytes.byteLength > limits.tapeBytes) throw damaged(`it has more than ${limits.tapeBytes} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < contentAt || new TextDecoder("latin1").decode(bytes.subarray(0, 8)) !== magic)
    throw damaged("it is no tape");
  const found = view.getUint32(8, true);
  if (found !== version) throw damaged(`it is of version ${found}, this coremlx reads ${version}`);
  const expected = digestOf(bytes);
  if (!expected.every((byte, i) => bytes[digestAt + i] === byte)) throw damaged("its digest is wrong");
  const [headLength, length] = [view.getUint32(16, true), view.getUint32(20, true)];
  if (length > limits.tapeContentBytes) throw damaged(`it holds more than ${limits.tapeContentBytes} bytes`);
  if (headLength > Math.min(length, limits.tapeHeadBytes)) throw damaged("its description is too long");
  const content = inflate(bytes.subarray(contentAt), length);
  return { json: content.subarray(0, headLength), values: content.subarray(headLength) };
}

function inflate(packed: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  try {
    const content = inflateRawSync(packed, { maxOutputLength: Math.max(length, 1) });
    if (content.byteLength === length) return joinBytes([content]);
  } catch {
    // More than it said, or no deflated bytes.
  }
  throw damaged("it does not unpack to what it says");
}

function digestOf(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const hasher = new Bun.CryptoHasher("sha256");
  hasher.update(bytes.subarray(0, digestAt));
  hasher.update(bytes.subarray(contentAt));
  return hasher.digest();
}

function readHead(json: Uint8Array): TapeHead {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    throw damaged("its description is not JSON");
  }
  if (isHead(value)) return value;
  throw damaged(findHeadProblem(value));
}

function sliceBlobs(lengths: readonly number[], values: Uint8Array<ArrayBuffer>) {
  let at = 0;
  const blobs = lengths.map((length) => {
    const blob = values.subarray(at, at + length);
    at += length;
    return blob;
  });
  if (at === values.byteLength) return blobs;
  throw damaged(`its values have ${at} bytes, ${values.byteLength} are there`);
}

function decodeRows(rows: readonly ValueRow[], reader: BlobReader): ReadonlyMap<string, FeatureValue> {
  const values = new Map<string, FeatureValue>();
  for (const { name, blob, ...form } of rows) {
    if (values.has(name)) throw damaged(`"${name.slice(0, 100)}" is there twice`);
    values.set(name, reader.read(form, blob));
  }
  return values;
}

function readDescription({
  description,
  metadata,
  userDefined,
  labels,
}: TapeHead["model"]): ModelDescription {
  return {
    ...description,
    metadata: { ...metadata, userDefined: new Map(userDefined) },
    classLabels: labels && (labels.element === "int64" ? labels.values.map(toBigint) : labels.values),
  } as ModelDescription; // as checked by the schema
}

function toBigint(text: string): bigint {
  if (/^-?\d{1,20}$/.test(text)) return BigInt(text);
  throw damaged("a label is no whole number");
}

function damaged(why: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot use the tape: ${why}`);
}

/** What a few bytes may blow up into objects. */
const mostObjectBytes = 2 ** 28;

/** Values by their blobs. Arrays stay where they are; what becomes objects is made once for all rows that name it. */
class BlobReader {
  readonly #blobs: readonly Uint8Array<ArrayBuffer>[];
  readonly #known = new Map<string, FeatureValue>();
  #objectBytes = 0;

  constructor(blobs: readonly Uint8Array<ArrayBuffer>[]) {
    this.#blobs = blobs;
  }

  read(form: ValueForm, blob: number): FeatureValue {
    const bytes = this.#blobs[blob];
    if (bytes === undefined) throw damaged("a value has no bytes");
    if (form.kind === "tensor") return decodeValue(form, bytes);
    const key = `${blob}/${form.kind}/${form.element}/${form.shape.join(",")}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#objectBytes += bytes.byteLength;
    if (this.#objectBytes > mostObjectBytes) throw damaged("its texts and dictionaries take too much memory");
    const value = decodeValue(form, bytes);
    this.#known.set(key, value);
    return value;
  }
}

/** Rows by identity: what is the same object is written once. */
class Table<T extends object, R> {
  readonly rows: R[] = [];
  readonly #known = new Map<T, number>();
  readonly #write: (item: T) => R;

  constructor(write: (item: T) => R) {
    this.#write = write;
  }

  indexOf(item: T): number {
    const known = this.#known.get(item);
    if (known !== undefined) return known;
    this.#known.set(item, this.rows.length);
    this.rows.push(this.#write(item));
    return this.rows.length - 1;
  }
}

/** Bytes by their digest: what is equal is stored once. */
class BlobStore {
  readonly parts: Uint8Array[] = [];
  readonly #known = new Map<string, number>();

  get lengths(): readonly number[] {
    return this.parts.map((part) => part.byteLength);
  }

  row(name: string, value: FeatureValue): ValueRow {
    const { bytes, kind, shape, dtype, element } = encodeValue(value);
    const digest = Bun.CryptoHasher.hash("sha256", bytes, "hex");
    let blob = this.#known.get(digest);
    if (blob === undefined) {
      blob = this.parts.push(bytes) - 1;
      this.#known.set(digest, blob);
    }
    return {
      name,
      kind,
      shape: [...shape],
      blob,
      ...(dtype && { dtype }),
      ...(element && { element }),
    };
  }
}
