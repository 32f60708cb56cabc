// A command line that calls a model with zeros, ready to be copied: for the banner and the page.

import { byteSize } from "../core/dtype.ts";
import { isColor } from "../core/model.ts";
import { dtypeOf } from "../codecs/datatypes.ts";
import type { TensorSpec } from "./protocol/interface.ts";
import type { ServedModel } from "./repository/served-model.ts";

/** Up to this many elements an input is written out. */
const maxShownElements = 32;

/** For a POSIX shell. */
export function describeCurl({ name, ports }: Pick<ServedModel, "name" | "ports">, baseUrl: string): string {
  const call = curlOf(name, baseUrl);
  const inputs = ports.inputs.filter(({ feature }) => !feature.isOptional).map(exampleOf);
  const json = JSON.stringify({ inputs: inputs.map(({ head }) => head) });
  const zeros = inputs.reduce((total, { zeroBytes }) => total + zeroBytes, 0);
  if (zeros === 0) return `${call} -d ${quote(json)}`;
  const length = new TextEncoder().encode(json).length;
  return `{ printf %s ${quote(json)}; head -c ${zeros} /dev/zero; } | ${call} -H 'Inference-Header-Content-Length: ${length}' --data-binary @-`;
}

/** For a model that a picture file is enough for. */
export function describePictureCurl(
  { name, ports }: Pick<ServedModel, "name" | "ports">,
  baseUrl: string,
): string | undefined {
  const needed = ports.inputs.filter(({ feature }) => !feature.isOptional);
  if (needed.length !== 1 || needed[0]?.feature.type.kind !== "image") return undefined;
  return `${curlOf(name, baseUrl)} -H 'Content-Type: image/png' --data-binary @FILE.png`;
}

function curlOf(name: string, baseUrl: string): string {
  const path = `/v2/models/${encodeURIComponent(name)}/infer`;
  const socket = /^unix:\/\/(.*)$/.exec(baseUrl)?.[1];
  if (socket === undefined) return `curl -s ${baseUrl.replace(/\/$/, "")}${path}`;
  return `curl -s --unix-socket ${quote(socket)} http://localhost${path}`;
}

interface InputExample {
  readonly head: Readonly<Record<string, unknown>>;
  readonly zeroBytes: number;
}

function exampleOf(spec: TensorSpec): InputExample {
  const { name, datatype } = spec;
  const shape = defaultShapeOf(spec);
  const count = shape.reduce((product, size) => product * size, 1);
  if (datatype === "BYTES") {
    const data = Array.from({ length: count }, () => "text");
    return { head: { name, datatype, shape, data }, zeroBytes: 0 };
  }
  if (count <= maxShownElements) {
    const data = Array.from({ length: count }, () => 0);
    // FP16 has no JSON form: its numbers are sent as FP32, and converted.
    return { head: { name, datatype: datatype === "FP16" ? "FP32" : datatype, shape, data }, zeroBytes: 0 };
  }
  const zeroBytes = count * byteSize(dtypeOf(datatype));
  return { head: { name, datatype, shape, parameters: { binary_data_size: zeroBytes } }, zeroBytes };
}

function defaultShapeOf({ feature: { type }, shape }: TensorSpec): readonly number[] {
  if (type.kind === "multiArray") return type.shape;
  if (type.kind === "image") return isColor(type) ? [type.height, type.width, 3] : [type.height, type.width];
  return shape.map((size) => (size === -1 ? 1 : size));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
