// coremldata.bin of a compiled model. Apple documents none of it; this is what compilers' output has in common: the
// number of the model type, a target string, the specification version, and the model's description as protobuf.

import { fromBinary } from "@bufbuild/protobuf";
import type { ModelKind } from "../core/model.ts";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { badModel } from "./bad-model.ts";
import {
  type ModelDescription as DescriptionMessage,
  ModelDescriptionSchema,
  ModelSchema,
} from "./gen/Model_pb.ts";
import { type FormatLimits, newestSpecificationVersion } from "./limits.ts";
import { checkWire } from "./wire.ts";

/** What one source says of a compiled model; `undefined` where it says nothing. */
export interface CompiledFacts {
  readonly kind: ModelKind | undefined;
  readonly specificationVersion: number | undefined;
  readonly description: DescriptionMessage;
}

export interface CompiledData extends CompiledFacts {
  /** The description stood where compilers put it; otherwise it was searched for, and needs a second witness. */
  readonly isExact: boolean;
}

/** Throws BAD_MODEL, with a reason that names `fileName`, when no description can be found. */
export function parseCompiledData(bytes: Uint8Array, fileName: string, limits: FormatLimits): CompiledData {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < TARGET_AT + 8)
    throw badModel(`${fileName} has ${bytes.byteLength} bytes, its header alone needs ${TARGET_AT + 8}`);
  const kind = kindOfNumber(view.getUint32(0, true));
  const versionAt = TARGET_AT + 8 + Number(view.getBigUint64(TARGET_AT, true));
  const lengthAt = versionAt + VERSION_BYTES;
  const exact = descriptionAt(view, lengthAt, limits);
  if (exact.message !== undefined) {
    const version = view.getUint32(versionAt, true);
    return {
      kind,
      specificationVersion: version === 0 ? undefined : version,
      description: exact.message,
      isExact: true,
    };
  }
  const found = searchDescription(view, limits);
  if (found !== undefined) return { kind, ...found, isExact: false };
  throw badModel(`${fileName} holds no description of the model: ${messageOf(exact.error)}`, {
    cause: exact.error,
  });
}

/** The member of `Model.Type` with this name, or undefined. */
export function modelKindOf(name: string): ModelKind | undefined {
  return kinds.find((each) => each.kind === name)?.kind;
}

/** The names of a pipeline's stages, from modelNames/coremldata.bin; undefined when it is something else. */
export function parseStageNames(bytes: Uint8Array, limits: FormatLimits): readonly string[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 8) return undefined;
  const count = Number(view.getBigUint64(0, true));
  if (count > limits.maxPipelineStages) return undefined;
  const names: string[] = [];
  let at = 8;
  while (names.length < count) {
    if (at + 8 > bytes.byteLength) return undefined;
    const end = at + 8 + Number(view.getBigUint64(at, true));
    if (end > bytes.byteLength) return undefined;
    names.push(new TextDecoder().decode(bytes.subarray(at + 8, end)));
    at = end;
  }
  return names;
}

type Attempt =
  | { readonly message: DescriptionMessage; readonly error?: undefined }
  | { readonly message?: undefined; readonly error: CoremlxError };

/** The description whose length stands at `at`. */
function descriptionAt(view: DataView, at: number, limits: FormatLimits): Attempt {
  if (at + 8 > view.byteLength) return { error: badModel(`it ends after ${view.byteLength} bytes`) };
  const length = Number(view.getBigUint64(at, true));
  const left = view.byteLength - at - 8;
  if (length > left)
    return { error: badModel(`at byte ${at} ${length} bytes are announced, ${left} are there`) };
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + 8, length);
  try {
    checkWire(ModelDescriptionSchema, bytes, limits);
    const message = fromBinary(ModelDescriptionSchema, bytes, { recursionLimit: limits.maxNesting + 1 });
    if (message.input.length + message.output.length + message.functions.length > 0) return { message };
    return { error: badModel("the description has neither inputs nor outputs") };
  } catch (error) {
    if (error instanceof CoremlxError) return { error };
    return { error: badModel(`it is no well-formed protobuf: ${messageOf(error)}`, { cause: error }) };
  }
}

/** A length whose range is a description, anywhere near the beginning. */
function searchDescription(
  view: DataView,
  limits: FormatLimits,
): Pick<CompiledFacts, "specificationVersion" | "description"> | undefined {
  const end = Math.min(view.byteLength - 8, SEARCHED_BYTES);
  let attempts = 0;
  for (let at = 4; at < end && attempts < MAX_ATTEMPTS; at++) {
    if (view.getUint32(at + 4, true) !== 0) continue;
    const length = view.getUint32(at, true);
    // Shorter ones are counters and text lengths; a description begins with one of its members.
    if (length < MIN_DESCRIPTION_BYTES || length > view.byteLength - at - 8) continue;
    if (!firstTags.has(view.getUint8(at + 8))) continue;
    attempts++;
    const { message } = descriptionAt(view, at, limits);
    if (message === undefined || message.$unknown !== undefined) continue;
    const version = at < VERSION_BYTES ? 0 : view.getUint32(at - VERSION_BYTES, true);
    const isVersion = version >= 1 && version <= newestSpecificationVersion;
    return { specificationVersion: isVersion ? version : undefined, description: message };
  }
  return undefined;
}

function kindOfNumber(number: number): ModelKind | undefined {
  return kinds.find((each) => each.number === number)?.kind;
}

const kinds: readonly { readonly number: number; readonly kind: ModelKind }[] = (
  ModelSchema.oneofs.find((oneof) => oneof.name === "Type")?.fields ?? []
).map((field) => ({ number: field.number, kind: field.localName as ModelKind }));

/** Header: type, container version, zeros; then a length-prefixed target such as "generic". */
const TARGET_AT = 28;
/** The specification version and zeros, between the target and the description's length. */
const VERSION_BYTES = 32;
const SEARCHED_BYTES = 65_536;
const MAX_ATTEMPTS = 256;
const MIN_DESCRIPTION_BYTES = 8;
/** First bytes of the members 1, 10, 11, 12, 13 (as tags with a length), and of 20, 21, 50 and 100. */
const firstTags: ReadonlySet<number> = new Set([0x0a, 0x52, 0x5a, 0x62, 0x6a, 0xa2, 0xaa, 0x92]);
