// Writes a graph as an ONNX model: IR version 10, opset 21. Weights stay out of the protobuf encoder: their bytes are
// laid between the encoded messages, so that nothing is copied more than once.

import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { dirname, isAbsolute, relative, sep } from "node:path";
import { joinBytes } from "../core/bytes.ts";
import { CoremlxError } from "../core/errors.ts";
import {
  GraphProtoSchema,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from "./gen/onnx_pb.ts";
import type { Graph } from "./graph.ts";
import { graphMessage, tensorMessage } from "./message.ts";
import { prune, type Pruned } from "./prune.ts";
import type { Constant } from "./types.ts";

export interface SerializeOptions {
  /** Versions of further operator domains, or other versions than the usual ones. */
  readonly opsets?: Readonly<Record<string, number>>;
  readonly producerVersion?: string;
  /** Weights that lie in files of `folder` are referenced there. Default: everything is written into the model. */
  readonly external?: ExternalOptions | undefined;
}

export interface ExternalOptions {
  /** Absolute. */
  readonly folder: string;
  /** Smaller weights are written into the model, where ONNX Runtime sees shapes in them. Default 1024. */
  readonly minBytes?: number;
}

export interface Serialized {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The folder that the model's references start from, if it has any. */
  readonly externalFolder: string | undefined;
}

export interface Exported {
  readonly model: Uint8Array<ArrayBuffer>;
  /** A second file to be written beside the model. Its chunks borrow from the graph's constants. */
  readonly data:
    | {
        readonly name: string;
        readonly byteLength: number;
        readonly chunks: Iterable<Uint8Array<ArrayBuffer>>;
      }
    | undefined;
}

/** Protobuf's own limit on one message. */
export const maxModelBytes = 2 ** 31 - 1;

const defaultMinExternalBytes = 1024;
const irVersion = 10n;
const opsetVersions: Readonly<Record<string, number>> = { "": 21, "ai.onnx.ml": 4, "com.microsoft": 1 };

/** Throws UNSUPPORTED when the model would be larger than protobuf allows. */
export function serializeModel(graph: Graph, options: SerializeOptions = {}): Serialized {
  const { external } = options;
  const minBytes = external?.minBytes ?? defaultMinExternalBytes;
  let isReferring = false;
  const locate = ({ source, bytes }: Constant): Location | undefined => {
    if (external === undefined || source === undefined || bytes.length < minBytes) return undefined;
    const location = pathInside(external.folder, source.path);
    if (location === undefined) return undefined;
    isReferring = true;
    return { location, offset: source.offset, length: bytes.length };
  };
  const bytes = layOut(encode(prune(graph), graph, locate, options));
  return { bytes, externalFolder: isReferring ? external?.folder : undefined };
}

/**
 * The model for a file called `fileName`, complete in itself. One too large for protobuf keeps its weights in a
 * second file, `<fileName>.data`.
 */
export function serializeForExport(
  graph: Graph,
  fileName: string,
  options: Pick<SerializeOptions, "opsets" | "producerVersion"> & { readonly maxBytes?: number } = {},
): Exported {
  const pruned = prune(graph);
  const whole = encode(pruned, graph, () => undefined, options);
  if (whole.byteLength <= (options.maxBytes ?? maxModelBytes))
    return { model: layOut(whole), data: undefined };
  const name = `${fileName}.data`;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let end = 0;
  const locate = ({ bytes }: Constant): Location | undefined => {
    if (bytes.length < defaultMinExternalBytes) return undefined;
    const offset = Math.ceil(end / dataAlignment) * dataAlignment;
    if (offset > end) chunks.push(new Uint8Array(new ArrayBuffer(offset - end)));
    chunks.push(bytes);
    end = offset + bytes.length;
    return { location: name, offset, length: bytes.length };
  };
  const model = layOut(encode(pruned, graph, locate, options));
  return { model, data: { name, byteLength: end, chunks } };
}

/** Readers map weights from page boundaries. */
const dataAlignment = 4096;

/** The deepest folder that holds every file the graph's weights lie in; undefined where none lies in a file. */
export function commonFolder(graph: Graph): string | undefined {
  const folders = new Set<string>();
  for (const { source } of graph.initializers.values()) {
    if (source !== undefined) folders.add(dirname(source.path));
  }
  let common: string | undefined;
  for (const folder of folders) {
    common ??= folder;
    while (pathInside(common, folder) === undefined && dirname(common) !== common) common = dirname(common);
  }
  return common;
}

interface Location {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** Where a constant's bytes are found outside the model; undefined writes them into it. */
type Locate = (constant: Constant) => Location | undefined;

/** An encoded model in pieces, to be laid end to end. The weights' pieces are borrowed. */
interface Encoded {
  readonly chunks: readonly Uint8Array<ArrayBuffer>[];
  readonly byteLength: number;
}

function encode(
  pruned: Pruned,
  graph: Graph,
  locate: Locate,
  options: Pick<SerializeOptions, "opsets" | "producerVersion">,
): Encoded {
  const body: Uint8Array<ArrayBuffer>[] = [
    toBinary(GraphProtoSchema, graphMessage(graph, pruned, "coremlx")),
  ];
  for (const [name, constant] of pruned.initializers) {
    body.push(...initializer(name, constant, locate(constant)));
  }
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: "coremlx",
    producerVersion: options.producerVersion ?? "",
    opsetImport: opsetsOf(pruned, options.opsets ?? {}).map(([domain, version]) => ({
      domain,
      version: BigInt(version),
    })),
  });
  const graphHeader = header(ModelProtoSchema.field.graph.number, byteLengthOfAll(body));
  const chunks = [toBinary(ModelProtoSchema, model), graphHeader, ...body];
  return { chunks, byteLength: byteLengthOfAll(chunks) };
}

/** One initializer as a field of the graph. */
function initializer(name: string, constant: Constant, at: Location | undefined): Uint8Array<ArrayBuffer>[] {
  const tensor = tensorMessage(name, constant);
  const { number } = GraphProtoSchema.field.initializer;
  if (at !== undefined) {
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    for (const [key, value] of Object.entries(at)) {
      tensor.externalData.push(create(StringStringEntryProtoSchema, { key, value: String(value) }));
    }
    const bytes = toBinary(TensorProtoSchema, tensor);
    return [header(number, bytes.length), bytes];
  }
  const bytes = toBinary(TensorProtoSchema, tensor);
  const raw = header(TensorProtoSchema.field.rawData.number, constant.bytes.length);
  return [header(number, bytes.length + raw.length + constant.bytes.length), bytes, raw, constant.bytes];
}

/** Tag and length of a field whose bytes follow. */
function header(field: number, length: number): Uint8Array<ArrayBuffer> {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint64(length).finish();
}

function opsetsOf(pruned: Pruned, extra: Readonly<Record<string, number>>): [string, number][] {
  const versions = new Map(Object.entries({ "": opsetVersions[""] ?? 0, ...extra }));
  for (const nodes of pruned.nodes.values()) {
    for (const { domain, op } of nodes) {
      const version = versions.get(domain) ?? opsetVersions[domain];
      if (version === undefined) {
        throw new CoremlxError("INTERNAL", `Cannot write ONNX op ${op}: domain "${domain}" has no version`);
      }
      versions.set(domain, version);
    }
  }
  return [...versions];
}

function byteLengthOfAll(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function layOut({ chunks, byteLength }: Encoded): Uint8Array<ArrayBuffer> {
  if (byteLength > maxModelBytes) {
    throw new CoremlxError(
      "UNSUPPORTED",
      `Cannot write the model: ${byteLength} bytes are more than an ONNX file may have`,
      {
        hint: "Keep the weights in files beside the model",
        details: { byteLength, maxBytes: maxModelBytes },
      },
    );
  }
  return joinBytes(chunks);
}

/** `path` relative to `folder`, with forward slashes; undefined where it lies outside. */
function pathInside(folder: string, path: string): string | undefined {
  const inside = relative(folder, path);
  if (isAbsolute(inside) || inside === ".." || inside.startsWith(`..${sep}`)) return undefined;
  return inside.replaceAll(sep, "/");
}
