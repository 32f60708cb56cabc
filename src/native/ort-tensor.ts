// Tensors on the way into and out of ONNX Runtime: element types, descriptions, checks, and the memory in between.

import type { Pointer } from "bun:ffi";
import { byteSize, type DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { onnxElementType } from "./element-type.ts";
import { copyMemory } from "./libc.ts";
import { addressOf, allocate, allocateAligned, canLend, PointerTable, readCString } from "./memory.ts";
import type { OrtApi } from "./ort-api.ts";

const dtypeOfOnnx = new Map(Object.entries(onnxElementType).map(([name, type]) => [type, name as DType]));

/** The size of an axis, the name the graph gives an open one, or undefined for an open one without a name. */
export type Dimension = number | string | undefined;

/** What a graph says about one of its inputs or outputs. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  /** undefined: the graph leaves the rank open. */
  readonly dims: readonly Dimension[] | undefined;
}

/** Reads an OrtTensorTypeAndShapeInfo that it borrows. */
export function readTensorInfo(api: OrtApi, info: Pointer, name: string): TensorInfo {
  const dtype = readDType(api, info, name);
  if (!api.functions.TensorTypeAndShape_HasShape(info)) return { name, dtype, dims: undefined };
  const shape = readShape(api, info);
  const names = new PointerTable(shape.length);
  api.check(
    api.functions.GetSymbolicDimensions(info, names.address, shape.length),
    `read the shape of ${quote(name)}`,
  );
  const dims = shape.map((size, axis) => {
    if (size >= 0) return size;
    const symbol = names.get(axis) === 0 ? "" : readCString(names.get(axis) as Pointer);
    return symbol === "" ? undefined : symbol;
  });
  return { name, dtype, dims };
}

function readDType(api: OrtApi, info: Pointer, name: string): DType {
  const type = api.takenInt(
    api.functions.GetTensorElementType(info, api.out),
    `read the type of ${quote(name)}`,
  );
  const dtype = dtypeOfOnnx.get(type);
  if (dtype !== undefined) return dtype;
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot use ${quote(name)}: ONNX element type ${type} has no equal here`,
  );
}

const highestRank = 64;

/** Open axes are -1. */
function readShape(api: OrtApi, info: Pointer): number[] {
  const rank = api.taken(api.functions.GetDimensionsCount(info, api.out), "read a rank");
  if (rank > highestRank) throw new CoremlxError("UNSUPPORTED", `Cannot use a tensor of rank ${rank}`);
  const sizes = new PointerTable(rank);
  api.check(api.functions.GetDimensions(info, sizes.address, rank), "read a shape");
  return Array.from({ length: rank }, (_, axis) => sizes.get(axis));
}

/** Throws BAD_INPUT unless the tensor is what the graph wants and has exactly the bytes that its shape needs. */
export function checkTensor(tensor: Tensor, info: TensorInfo, role: "input" | "output"): void {
  const { dtype, shape, bytes } = tensor;
  const refuse = (why: string, expected: unknown, actual: unknown) =>
    new CoremlxError("BAD_INPUT", `Cannot use ${role} ${quote(info.name)}: ${why}`, {
      details: { name: info.name, expected, actual },
    });
  if (dtype !== info.dtype) throw refuse(`it must be ${info.dtype}, got ${dtype}`, info.dtype, dtype);
  const { dims } = info;
  if (dims !== undefined && dims.length !== shape.length) {
    throw refuse(`it must have ${dims.length} axes, got [${shape.join(", ")}]`, dims.length, shape);
  }
  if (shape.length > highestRank)
    throw refuse(`${shape.length} axes are too many`, highestRank, shape.length);
  let count = byteSize(dtype);
  for (const [axis, size] of shape.entries()) {
    if (!Number.isSafeInteger(size) || size < 0)
      throw refuse(`axis ${axis} is ${size}`, "a whole number", size);
    const wanted = dims?.[axis];
    if (typeof wanted === "number" && wanted !== size) {
      throw refuse(`axis ${axis} must be ${wanted}, got ${size}`, wanted, size);
    }
    count *= size; // an overflow leaves the exact numbers, and no buffer is that long
  }
  if (count !== bytes.byteLength) {
    throw refuse(
      `${dtype} [${shape.join(", ")}] takes ${count} bytes, got ${bytes.byteLength}`,
      count,
      bytes.byteLength,
    );
  }
}

export function quote(name: string): string {
  return JSON.stringify(name);
}

/**
 * One tensor argument of a fixed type and shape, as ONNX Runtime sees it. Invariant: `#value` describes `#address`,
 * which is the scratch memory owned here, or memory a caller lent for the call under way (and between calls a place
 * that nobody reads).
 */
export class TensorBinding {
  readonly info: TensorInfo;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #api: OrtApi;
  readonly #memoryInfo: Pointer;
  #scratch: Uint8Array<ArrayBuffer> | undefined;
  #value = 0;
  #address = 0;

  constructor(api: OrtApi, memoryInfo: Pointer, tensor: Tensor, info: TensorInfo) {
    this.#api = api;
    this.#memoryInfo = memoryInfo;
    this.info = info;
    this.shape = [...tensor.shape];
    this.byteLength = tensor.bytes.byteLength;
  }

  /** The OrtValue of an input: over the bytes themselves where they lie still, else over a copy. */
  lend(bytes: Uint8Array<ArrayBuffer>): number {
    if (this.info.dtype !== "bool" && canLend(bytes)) return this.#valueAt(addressOf(bytes));
    const scratch = this.#ownScratch();
    if (this.info.dtype === "bool") {
      for (let i = 0; i < bytes.length; i++) scratch[i] = bytes[i] === 0 ? 0 : 1; // C++ knows no third bool
    } else {
      scratch.set(bytes);
    }
    return this.#valueAt(addressOf(scratch));
  }

  /** The OrtValue of an output that will land in `bytes`, at once or by `receive`. */
  lendForWriting(bytes: Uint8Array<ArrayBuffer>): number {
    return this.#valueAt(addressOf(canLend(bytes) ? bytes : this.#ownScratch()));
  }

  /** After a run: copies what did not land in `bytes` at once. */
  receive(bytes: Uint8Array<ArrayBuffer>): void {
    if (!canLend(bytes)) bytes.set(this.#ownScratch().subarray(0, bytes.byteLength));
  }

  release(): void {
    if (this.#value !== 0) this.#api.functions.ReleaseValue(this.#value as Pointer);
    this.#value = 0;
    this.#address = 0;
  }

  #ownScratch(): Uint8Array<ArrayBuffer> {
    this.#scratch ??= allocateAligned(this.byteLength);
    return this.#scratch;
  }

  #valueAt(address: Pointer): number {
    if (address === this.#address) return this.#value;
    this.release();
    const { shape, info } = this;
    const sizes = new PointerTable(shape.length);
    shape.forEach((size, axis) => sizes.set(axis, size));
    const result = this.#api.functions.CreateTensorWithDataAsOrtValue(
      this.#memoryInfo,
      address,
      this.byteLength,
      sizes.address,
      shape.length,
      onnxElementType[info.dtype],
      this.#api.out,
    );
    this.#value = this.#api.taken(result, `describe ${quote(info.name)} to ONNX Runtime`);
    this.#address = address;
    return this.#value;
  }
}

/** A copy of an OrtValue that ONNX Runtime allocated. Borrows the value. */
export function copyTensor(api: OrtApi, value: Pointer, name: string): Tensor {
  const { functions } = api;
  const action = `read output ${quote(name)}`;
  const info = api.taken(functions.GetTensorTypeAndShape(value, api.out), action) as Pointer;
  let dtype: DType;
  let shape: number[];
  try {
    dtype = readDType(api, info, name);
    shape = readShape(api, info);
  } finally {
    functions.ReleaseTensorTypeAndShapeInfo(info);
  }
  const bytes = allocate(shape.reduce((product, size) => product * size, byteSize(dtype)));
  if (bytes.byteLength > 0) {
    const data = api.taken(functions.GetTensorMutableData(value, api.out), action) as Pointer;
    copyMemory(addressOf(bytes), data, bytes.byteLength);
  }
  return { dtype, shape, bytes };
}
