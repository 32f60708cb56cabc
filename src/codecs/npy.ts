// numpy's array file: a text header, then raw elements. Format: numpy.lib.format, versions 1.0, 2.0 and 3.0.

import { byteSize, type DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { numbersOf, tensorOf, type Tensor } from "../core/tensor.ts";
import { allocateBytes, checkElementCount, formatShape, normalizeBools } from "./allocate.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";
import { parseNpyHeader } from "./npy-header.ts";
import { reorderFortran, swapBytes } from "./reorder.ts";
import { readZip, writeZip, type ZipEntry } from "./zip.ts";

/**
 * One array, copied out of `bytes`: row-major, little endian. `name` appears in errors. Throws BAD_INPUT, also for
 * element types that no model takes.
 */
export function decodeNpy(bytes: Uint8Array, name: string, limits: CodecLimits = defaultLimits): Tensor {
  const subject = `Cannot read npy ${JSON.stringify(name)}`;
  const { text, dataOffset } = readHeaderText(bytes, subject, limits);
  const header = parseNpyHeader(text, subject);
  const { dtype, isBigEndian } = parseDescr(header.descr, subject);
  const count = checkElementCount(header.shape, dtype, { subject, limits });
  const expected = count * byteSize(dtype);
  const actual = bytes.length - dataOffset;
  if (expected !== actual)
    throw bad(
      subject,
      `shape ${formatShape(header.shape)} of ${dtype} takes ${expected} bytes, the file has ${actual}`,
      {
        expected,
        actual,
      },
    );
  const data = allocateBytes(expected, subject, limits);
  data.set(bytes.subarray(dataOffset));
  if (isBigEndian) swapBytes(data, byteSize(dtype));
  const tensor: Tensor = { dtype, shape: header.shape, bytes: data };
  return normalizeBools(header.isFortranOrder ? reorderFortran(tensor) : tensor);
}

/**
 * Version 1.0, as numpy writes it, byte for byte. bfloat16, which numpy does not have, is written as float32 (exact).
 * Throws BAD_INPUT for a shape whose header would not fit.
 */
export function encodeNpy(tensor: Tensor): Uint8Array<ArrayBuffer> {
  const { dtype, shape, bytes } =
    tensor.dtype === "bfloat16" ? tensorOf("float32", numbersOf(tensor), tensor.shape) : tensor;
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  // numpy leaves room for the first axis to grow to 21 digits in place; so do we, to write what it writes.
  const room = shape[0] === undefined ? 0 : 21 - String(shape[0]).length;
  const text = `{'descr': '${descrOf[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }${" ".repeat(room)}`;
  const prefixLength = MAGIC.length + 4;
  const headerLength = Math.ceil((prefixLength + text.length + 1) / 64) * 64;
  if (headerLength - prefixLength > 0xffff)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot write npy: a shape of ${shape.length} axes does not fit the header`,
    );
  const out = new Uint8Array(new ArrayBuffer(headerLength + bytes.length));
  out.set(MAGIC);
  out.set([1, 0], MAGIC.length);
  new DataView(out.buffer).setUint16(MAGIC.length + 2, headerLength - prefixLength, true);
  out.set(new TextEncoder().encode(text.padEnd(headerLength - prefixLength - 1, " ")), prefixLength);
  out[headerLength - 1] = 0x0a;
  out.set(bytes, headerLength);
  return out;
}

export interface ArchiveOptions {
  /** Only these arrays; all when missing. Others are not decompressed, and may be anything. */
  readonly keys?: readonly string[] | undefined;
  /** Only those of the archive's names that it says yes to; `keys` go before it. */
  readonly select?: ((key: string) => boolean) | undefined;
  readonly limits?: CodecLimits | undefined;
}

/** All arrays of an npz archive by name (without ".npy"), in file order. Throws BAD_INPUT or UNSUPPORTED. */
export function decodeNpz(
  bytes: Uint8Array,
  name: string,
  options: ArchiveOptions = {},
): Map<string, Tensor> {
  const limits = options.limits ?? defaultLimits;
  const subject = `Cannot read npz ${JSON.stringify(name)}`;
  const entries = new Map<string, ZipEntry>();
  for (const entry of readZip(bytes, subject, limits)) {
    const key = entry.name.endsWith(".npy") ? entry.name.slice(0, -4) : entry.name;
    if (entries.has(key)) throw bad(subject, `it holds two arrays called ${JSON.stringify(key)}`);
    entries.set(key, entry);
  }
  const tensors = new Map<string, Tensor>();
  for (const key of options.keys ?? [...entries.keys()].filter(options.select ?? (() => true))) {
    const entry = entries.get(key);
    if (entry === undefined) throw missingKey(subject, key, entries.keys());
    tensors.set(key, decodeNpy(entry.read(), `${name}:${entry.name}`, limits));
  }
  return tensors;
}

/** An archive that `numpy.load` reads: stored, or deflated as `numpy.savez_compressed` does. Throws BAD_INPUT from 4 GiB on. */
export function encodeNpz(
  tensors: ReadonlyMap<string, Tensor>,
  options: { readonly compress?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const entries = Array.from(tensors, ([name, tensor]) => ({
    name: `${name}.npy`,
    bytes: encodeNpy(tensor),
  }));
  return writeZip(entries, { compress: options.compress ?? false });
}

/** The error for a name that an archive does not hold. */
export function missingKey(subject: string, key: string, known: Iterable<string>): CoremlxError {
  const names = [...known];
  const shown = names.slice(0, 20).map((name) => JSON.stringify(name));
  const rest = names.length > 20 ? ` and ${names.length - 20} more` : "";
  return new CoremlxError("BAD_INPUT", `${subject}: it holds no array called ${JSON.stringify(key)}`, {
    hint: names.length === 0 ? "The file holds no arrays at all" : `Choose one of ${shown.join(", ")}${rest}`,
    details: { name: key, known: names.slice(0, 100) },
  });
}

const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59);

function readHeaderText(
  bytes: Uint8Array,
  subject: string,
  limits: CodecLimits,
): { readonly text: string; readonly dataOffset: number } {
  if (!MAGIC.every((byte, i) => bytes[i] === byte))
    throw bad(subject, "it does not begin as an npy file does");
  const major = bytes[6] ?? 0;
  const start = major === 1 ? 10 : 12;
  if (bytes.length < start) throw bad(subject, `it ends after ${bytes.length} bytes, within the header`);
  if (major < 1 || major > 3) throw bad(subject, `version ${major}.${bytes[7]} is unknown`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > limits.npyHeaderBytes)
    throw bad(subject, `a header of ${length} bytes is more than the limit of ${limits.npyHeaderBytes}`);
  if (length > bytes.length - start)
    throw bad(subject, `the header has ${length} bytes, the file only ${bytes.length - start} more`);
  const header = bytes.subarray(start, start + length);
  try {
    const text =
      major === 3 ? new TextDecoder("utf-8", { fatal: true }).decode(header) : latin1.decode(header);
    return { text, dataOffset: start + length };
  } catch (cause) {
    throw new CoremlxError("BAD_INPUT", `${subject}: the header is not UTF-8`, { cause });
  }
}

const latin1 = new TextDecoder("latin1");

const dtypeOf: Readonly<Record<string, DType>> = {
  b1: "bool",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  f2: "float16",
  f4: "float32",
  f8: "float64",
};

const descrOf: Readonly<Record<Exclude<DType, "bfloat16">, string>> & { readonly bfloat16?: never } = {
  bool: "|b1",
  int8: "|i1",
  int16: "<i2",
  int32: "<i4",
  int64: "<i8",
  uint8: "|u1",
  uint16: "<u2",
  uint32: "<u4",
  uint64: "<u8",
  float16: "<f2",
  float32: "<f4",
  float64: "<f8",
};

/** What the letters of other numpy types mean, and what the user can do. */
const refused: Readonly<Record<string, readonly [string, string]>> = {
  O: ["Python objects", "Save a plain numeric array: x.astype(np.float32)"],
  c: ["complex numbers", "Save real and imaginary parts as two arrays"],
  U: ["text", "Give text as a literal or in a .json file"],
  S: ["byte strings", "Give text as a literal or in a .json file"],
  a: ["byte strings", "Give text as a literal or in a .json file"],
  V: ["raw bytes (so bfloat16 is stored)", "Convert before saving: x.astype(np.float32)"],
  M: ["dates", "Convert before saving: x.astype(np.int64)"],
  m: ["time spans", "Convert before saving: x.astype(np.int64)"],
  f: ["floats of an unknown width", "Convert before saving: x.astype(np.float64)"],
};

function parseDescr(
  descr: string | undefined,
  subject: string,
): { readonly dtype: DType; readonly isBigEndian: boolean } {
  if (descr === undefined)
    throw new CoremlxError("BAD_INPUT", `${subject}: its elements are structures with fields`, {
      hint: "Save each field as an array of its own",
    });
  const [, order = "", code = ""] = /^([<>=|]?)(.*)$/s.exec(descr) ?? [];
  const dtype = Object.hasOwn(dtypeOf, code) ? dtypeOf[code] : undefined;
  if (dtype !== undefined && !(order === "|" && byteSize(dtype) > 1))
    return { dtype, isBigEndian: order === ">" };
  const known = /^[OcUSaVMmf]\d*(\[.*\])?$/.test(code) ? refused[code.charAt(0)] : undefined;
  if (known === undefined) throw bad(subject, `element type ${JSON.stringify(descr)} is unknown`);
  throw new CoremlxError(
    "BAD_INPUT",
    `${subject}: its elements are ${known[0]}, dtype ${JSON.stringify(descr)}`,
    {
      hint: known[1],
    },
  );
}

function bad(subject: string, reason: string, details?: Readonly<Record<string, unknown>>): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${subject}: ${reason}`, { details });
}
