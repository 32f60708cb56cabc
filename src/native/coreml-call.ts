// One way of calling a model, laid out in C's memory once and used again while element types and shapes stay the same.

import type { Pointer } from "bun:ffi";
import { byteSize, type DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { elementCount, isSameShape, type Tensor } from "../core/tensor.ts";
import { type CoremlLibrary, nanosecondsOf } from "./coreml.ts";
import type { CoremlModel, CoremlState } from "./coreml-model.ts";
import { coremlArrayElement, coremlElement, coremlStatus, coremlTensorFlags } from "./coreml-numbers.ts";
import { layoutOf, StructArray } from "./coreml-structs.ts";
import { copyMemory } from "./libc.ts";
import { addressOf, allocate, allocateAligned, canLend } from "./memory.ts";

/** A feature of a model that is an array or a picture. */
export interface CoremlPort {
  readonly name: string;
  /** Its place among the inputs or outputs of the model's description. */
  readonly feature: number;
  /** picture: uint8 [H, W, 3], uint8 [H, W] or float16 [H, W]. */
  readonly kind: "array" | "picture";
}

/** One call: the inputs that are given; the outputs that are wanted, and where each shall go if anywhere. */
export interface CoremlCall {
  readonly inputs: readonly (readonly [CoremlPort, Tensor])[];
  readonly outputs: readonly (readonly [CoremlPort, Tensor | undefined])[];
}

export interface CoremlRunOptions {
  readonly state?: CoremlState | undefined;
  /** JSON of inputs that are neither arrays nor pictures. */
  readonly values?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly canceller?: number | undefined;
}

export interface CoremlResult {
  /** By the call's outputs; one that had a place is that. */
  readonly tensors: readonly Tensor[];
  /** JSON of the outputs that are neither arrays nor pictures; empty where there are none. */
  readonly values: string;
}

/** Where one tensor of the call lies. */
interface Place {
  readonly port: CoremlPort;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** For bytes that cannot be lent. */
  scratch: Uint8Array<ArrayBuffer> | undefined;
}

/** Owns its structs and scratch memory. One call at a time, in the thread that made it. */
export class CoremlCallPlan {
  readonly #library: CoremlLibrary;
  readonly #inputs: readonly Place[];
  readonly #outputs: readonly (Place | CoremlPort)[];
  readonly #inputStructs: StructArray<"cmlx_tensor">;
  readonly #outputStructs: StructArray<"cmlx_tensor">;
  readonly #prediction = new StructArray("cmlx_prediction");

  constructor(model: CoremlModel, call: CoremlCall) {
    this.#library = model.library;
    this.#inputStructs = new StructArray("cmlx_tensor", call.inputs.length);
    this.#outputStructs = new StructArray("cmlx_tensor", call.outputs.length);
    this.#inputs = call.inputs.map(([port, tensor], i) => describe(this.#inputStructs, i, port, tensor));
    this.#outputs = call.outputs.map(([port, tensor], i) => {
      if (tensor !== undefined) return describe(this.#outputStructs, i, port, tensor);
      this.#outputStructs.set("feature", port.feature, i);
      return port;
    });
    this.#prediction.set("model", model.handle);
    this.#prediction.set("inputs", this.#inputStructs.address);
    this.#prediction.set("outputs", this.#outputStructs.address);
    this.#prediction.set("input_count", call.inputs.length);
    this.#prediction.set("output_count", call.outputs.length);
  }

  /** Whether `call` has the same features with the same types and shapes. Allocates nothing. */
  fits(call: CoremlCall): boolean {
    if (call.inputs.length !== this.#inputs.length || call.outputs.length !== this.#outputs.length)
      return false;
    for (const [i, [port, tensor]] of call.inputs.entries())
      if (!isLike(this.#inputs[i], port, tensor)) return false;
    for (const [i, [port, tensor]] of call.outputs.entries()) {
      const planned = this.#outputs[i];
      if (tensor === undefined ? planned !== port : !isLike(planned, port, tensor)) return false;
    }
    return true;
  }

  /**
   * Blocks until the results are there. Memory of the tensors is borrowed until it returns, also where a limit ends it. Throws as
   * `CoremlLibrary.check`; NATIVE with the needed shape for a result that does not fit its place.
   */
  run(call: CoremlCall, options: CoremlRunOptions = {}): CoremlResult {
    const { state, timeoutMs, canceller = 0 } = options;
    const prediction = this.#prediction;
    this.#inputs.forEach((place, i) => this.#lend(place, i, call.inputs[i]?.[1]));
    this.#outputs.forEach((place, i) => this.#offer(place, i, call.outputs[i]?.[1]));
    const values = options.values === undefined ? undefined : textBytes(options.values);
    prediction.set("values", values === undefined ? 0 : addressOf(values));
    prediction.set("values_size", values === undefined ? 0 : values.byteLength);
    prediction.set("state", state?.handle ?? 0);
    prediction.set("timeout_ns", nanosecondsOf(timeoutMs));
    prediction.set("canceller", canceller);
    const { functions, errorSlot } = this.#library;
    const status = functions.cmlx_predict(prediction.address, errorSlot.address);
    if (status !== coremlStatus.CMLX_OK) this.#fail(status);
    const tensors = this.#outputs.map((place, i) => this.#take(place, i, call.outputs[i]?.[1]));
    return { tensors, values: this.#takeValues() };
  }

  #lend(place: Place, index: number, tensor: Tensor | undefined): void {
    if (tensor === undefined) throw lostTensor();
    let { bytes } = tensor;
    if (!canLend(bytes)) {
      place.scratch ??= allocateAligned(place.byteLength);
      place.scratch.set(bytes);
      bytes = place.scratch;
    }
    this.#inputStructs.set("data", addressOf(bytes), index);
  }

  #offer(place: Place | CoremlPort, index: number, tensor: Tensor | undefined): void {
    const structs = this.#outputStructs;
    if (!("dtype" in place)) {
      // The result of the call before was written here.
      structs.set("flags", coremlTensorFlags.CMLX_T_ALLOCATE, index);
      structs.set("dtype", 0, index);
      structs.set("rank", 0, index);
      structs.set("data", 0, index);
      structs.set("buffer", 0, index);
      return;
    }
    if (tensor === undefined) throw lostTensor();
    if (!canLend(tensor.bytes)) place.scratch ??= allocateAligned(place.byteLength);
    structs.set("flags", 0, index);
    structs.set(
      "data",
      addressOf(canLend(tensor.bytes) ? tensor.bytes : (place.scratch ?? tensor.bytes)),
      index,
    );
  }

  #take(place: Place | CoremlPort, index: number, tensor: Tensor | undefined): Tensor {
    if (!("dtype" in place)) return this.#takeBuffer(place, index);
    if (tensor === undefined) throw lostTensor();
    if (!canLend(tensor.bytes) && place.scratch)
      tensor.bytes.set(place.scratch.subarray(0, place.byteLength));
    return tensor;
  }

  /** A copy of a result in memory of the library's, which is given back. */
  #takeBuffer(port: CoremlPort, index: number): Tensor {
    const structs = this.#outputStructs;
    const buffer = structs.get("buffer", index);
    try {
      const element = structs.get("dtype", index);
      const dtype = dtypeOfElement.get(element);
      if (dtype === undefined)
        throw new CoremlxError(
          "UNSUPPORTED",
          `Cannot read "${port.name}": Core ML gave elements of type ${element}`,
        );
      const sizes = structs.getMany("shape", structs.get("rank", index), index);
      const shape = element === coremlElement.CMLX_PIXEL_RGB8 ? [...sizes, 3] : sizes;
      const bytes = allocate(elementCount(shape) * byteSize(dtype));
      copyMemory(addressOf(bytes), structs.get("data", index) as Pointer, bytes.byteLength);
      return { dtype, shape, bytes };
    } finally {
      this.#library.release(buffer);
    }
  }

  #takeValues(): string {
    const [data = 0, byteLength = 0] = this.#prediction.getMany("output_values", 2);
    if (data === 0) return "";
    const place = layoutOf("cmlx_prediction").fields["output_values"]?.byteOffset ?? 0;
    return this.#library.takeBytes((this.#prediction.address + place) as Pointer, data, byteLength);
  }

  #fail(status: number): void {
    if (status !== coremlStatus.CMLX_E_BUFFER_TOO_SMALL) return this.#library.check(status, "predict");
    const needs: Record<string, readonly number[]> = {};
    this.#outputs.forEach((place, i) => {
      if (!("dtype" in place)) return;
      const sizes = this.#outputStructs.getMany("shape", this.#outputStructs.get("rank", i), i);
      const isPicture = place.port.kind === "picture";
      const planned = isPicture ? place.shape.slice(0, 2) : place.shape;
      if (!isSameShape(sizes, planned)) needs[place.port.name] = sizes;
      writeShape(this.#outputStructs, i, place); // the library wrote over it
    });
    try {
      this.#library.check(status, "predict");
    } catch (error) {
      if (!(error instanceof CoremlxError)) throw error;
      throw new CoremlxError(error.code, error.message, {
        cause: error,
        details: { ...error.details, needs },
      });
    }
  }
}

const dtypeOfElement: ReadonlyMap<number, DType> = new Map<number, DType>([
  ...Object.entries(coremlArrayElement).map(([dtype, element]): [number, DType] => [element, dtype as DType]),
  [coremlElement.CMLX_PIXEL_RGB8, "uint8"],
  [coremlElement.CMLX_PIXEL_GRAY8, "uint8"],
  [coremlElement.CMLX_PIXEL_GRAY16F, "float16"],
]);

function describe(
  structs: StructArray<"cmlx_tensor">,
  index: number,
  port: CoremlPort,
  { dtype, shape, bytes }: Tensor,
): Place {
  const place = { port, dtype, shape: [...shape], byteLength: bytes.byteLength, scratch: undefined };
  structs.set("feature", port.feature, index);
  structs.set("dtype", elementOf(port, dtype, shape), index);
  structs.set("byte_size", bytes.byteLength, index);
  writeShape(structs, index, place);
  return place;
}

function writeShape(
  structs: StructArray<"cmlx_tensor">,
  index: number,
  { port, shape, byteLength }: Place,
): void {
  // A picture's channels belong to its pixels.
  const sizes = port.kind === "picture" ? shape.slice(0, 2) : shape;
  structs.set("rank", sizes.length, index);
  structs.setMany("shape", sizes, index);
  structs.set("byte_size", byteLength, index);
}

function elementOf({ name, kind }: CoremlPort, dtype: DType, shape: readonly number[]): number {
  const element =
    kind === "array"
      ? coremlArrayElement[dtype]
      : dtype === "float16"
        ? coremlElement.CMLX_PIXEL_GRAY16F
        : shape.length === 3
          ? coremlElement.CMLX_PIXEL_RGB8
          : coremlElement.CMLX_PIXEL_GRAY8;
  if (element !== undefined) return element;
  throw new CoremlxError("UNSUPPORTED", `Cannot pass "${name}": Core ML has no arrays of ${dtype}`);
}

function isLike(
  planned: Place | CoremlPort | undefined,
  port: CoremlPort,
  { dtype, shape }: Tensor,
): boolean {
  return (
    planned !== undefined &&
    "dtype" in planned &&
    planned.port === port &&
    planned.dtype === dtype &&
    isSameShape(planned.shape, shape)
  );
}

function textBytes(text: string): Uint8Array<ArrayBuffer> {
  const encoded = new TextEncoder().encode(text);
  const bytes = allocate(encoded.byteLength);
  bytes.set(encoded);
  return bytes;
}

function lostTensor(): CoremlxError {
  return new CoremlxError("INTERNAL", "Cannot predict: the call is not the one that was planned");
}
