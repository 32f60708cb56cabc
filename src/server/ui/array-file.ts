// A file chosen for an input: JSON, or one of numpy's arrays.

import { datatypeOf } from "../../codecs/datatypes.ts";
import { decodeNpy } from "../../codecs/npy.ts";
import { numbersOf, elementsOf, type Tensor } from "../../core/tensor.ts";
import type { InputValue } from "./request-plan.ts";

const magic = "\u0093NUMPY";

/** Throws an Error that says what is wrong with it. */
export function readArrayFile(name: string, bytes: Uint8Array<ArrayBuffer>): InputValue {
  if (!String.fromCharCode(...bytes.subarray(0, magic.length)).startsWith(magic)) {
    return { kind: "json", text: new TextDecoder().decode(bytes) };
  }
  const tensor = decodeNpy(bytes, name);
  const datatype = datatypeOf(tensor.dtype);
  return {
    kind: "tensor",
    datatype: datatype === "FP16" ? "FP32" : datatype, // FP16 has no JSON form
    shape: tensor.shape,
    data: `[${itemsOf(tensor).join(",")}]`,
  };
}

function itemsOf(tensor: Tensor): readonly string[] {
  if (tensor.dtype === "bool") return Array.from(tensor.bytes, (byte) => String(byte !== 0));
  if (tensor.dtype.includes("int")) return Array.from(elementsOf(tensor), String);
  return Array.from(numbersOf(tensor), (value) => (Number.isFinite(value) ? String(value) : `"${value}"`));
}
