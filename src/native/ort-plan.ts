// One way of calling a session, laid out in C's memory once and used again while names and shapes stay the same.

import type { Pointer } from "bun:ffi";
import { CoremlxError } from "../core/errors.ts";
import { isSameShape, type Tensor } from "../core/tensor.ts";
import { canLend, PointerTable } from "./memory.ts";
import type { OrtApi } from "./ort-api.ts";
import { copyTensor, quote, TensorBinding, type TensorInfo } from "./ort-tensor.ts";

/** An input or output of a session, with its name as C sees it (owned by the session). */
export interface Port extends TensorInfo {
  readonly cName: Pointer;
}

/** One call: a checked tensor per input, in the session's order; for each wanted output, where it shall go if anywhere. */
export interface Call {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Port[];
  readonly destinations: readonly (Tensor | undefined)[];
}

export interface PlanOptions {
  readonly api: OrtApi;
  /** Borrowed: an OrtMemoryInfo of the CPU. */
  readonly memoryInfo: Pointer;
  readonly inputs: readonly Port[];
}

/** Owns its OrtValues and scratch memory. Invariant: between calls no output slot holds an OrtValue of ORT's making. */
export class CallPlan implements Disposable {
  readonly #api: OrtApi;
  readonly #inputs: readonly TensorBinding[];
  readonly #outputs: readonly Port[];
  readonly #destinations: readonly (TensorBinding | undefined)[];
  readonly #inputNames: PointerTable;
  readonly #inputValues: PointerTable;
  readonly #outputNames: PointerTable;
  readonly #outputValues: PointerTable;

  constructor({ api, memoryInfo, inputs }: PlanOptions, call: Call) {
    this.#api = api;
    this.#outputs = call.outputs;
    this.#inputs = call.inputs.map(
      (tensor, i) => new TensorBinding(api, memoryInfo, tensor, portAt(inputs, i)),
    );
    this.#destinations = call.destinations.map((tensor, i) =>
      tensor === undefined ? undefined : new TensorBinding(api, memoryInfo, tensor, portAt(call.outputs, i)),
    );
    this.#inputNames = tableOf(inputs.map((port) => port.cName));
    this.#outputNames = tableOf(call.outputs.map((port) => port.cName));
    this.#inputValues = new PointerTable(inputs.length);
    this.#outputValues = new PointerTable(call.outputs.length);
  }

  /** Whether `call` has the same outputs and all the same shapes. Allocates nothing. */
  fits(call: Call): boolean {
    if (call.outputs.length !== this.#outputs.length) return false;
    for (let i = 0; i < this.#outputs.length; i++) {
      if (call.outputs[i] !== this.#outputs[i]) return false;
      const [given, planned] = [call.destinations[i], this.#destinations[i]];
      if ((given === undefined) !== (planned === undefined)) return false;
      if (given !== undefined && planned !== undefined && !isSameShape(given.shape, planned.shape))
        return false;
    }
    for (let i = 0; i < this.#inputs.length; i++) {
      const [given, planned] = [call.inputs[i], this.#inputs[i]];
      if (given === undefined || planned === undefined || !isSameShape(given.shape, planned.shape))
        return false;
    }
    return true;
  }

  /** Blocks until the run is over. Results follow the order of the call's outputs; a destination comes back itself. */
  run(session: Pointer, runOptions: Pointer, call: Call): Tensor[] {
    refuseOverlap(call);
    this.#inputs.forEach((binding, i) =>
      this.#inputValues.set(i, binding.lend(tensorAt(call.inputs, i).bytes)),
    );
    this.#destinations.forEach((binding, i) =>
      this.#outputValues.set(i, binding?.lendForWriting(tensorAt(call.destinations, i).bytes) ?? 0),
    );
    try {
      const result = this.#api.functions.Run(
        session,
        runOptions,
        this.#inputNames.address,
        this.#inputValues.address,
        this.#inputs.length,
        this.#outputNames.address,
        this.#outputs.length,
        this.#outputValues.address,
      );
      this.#api.check(result, "run the model");
      return this.#outputs.map((port, i) => this.#collect(port, i, call.destinations[i]));
    } finally {
      this.#releaseResults();
    }
  }

  [Symbol.dispose](): void {
    for (const binding of this.#inputs) binding.release();
    for (const binding of this.#destinations) binding?.release();
  }

  #collect(port: Port, index: number, destination: Tensor | undefined): Tensor {
    const value = this.#outputValues.get(index);
    const binding = this.#destinations[index];
    if (destination === undefined || binding === undefined)
      return copyTensor(this.#api, value as Pointer, port.name);
    binding.receive(destination.bytes);
    return destination;
  }

  #releaseResults(): void {
    for (let i = 0; i < this.#outputs.length; i++) {
      const value = this.#outputValues.get(i);
      if (this.#destinations[i] === undefined && value !== 0)
        this.#api.functions.ReleaseValue(value as Pointer);
      this.#outputValues.set(i, 0);
    }
  }
}

function tableOf(pointers: readonly Pointer[]): PointerTable {
  const table = new PointerTable(pointers.length);
  pointers.forEach((pointer, i) => table.set(i, pointer));
  return table;
}

function portAt(ports: readonly Port[], index: number): Port {
  const port = ports[index];
  if (port === undefined)
    throw new CoremlxError("INTERNAL", `Cannot plan a call: no input or output ${index}`);
  return port;
}

function tensorAt(tensors: readonly (Tensor | undefined)[], index: number): Tensor {
  const tensor = tensors[index];
  if (tensor === undefined)
    throw new CoremlxError("INTERNAL", `Cannot run a planned call: no tensor ${index}`);
  return tensor;
}

/** An output written in place while an input is still being read, or twice, would be silent nonsense. */
function refuseOverlap(call: Call): void {
  call.destinations.forEach((destination, i) => {
    if (destination === undefined || !canLend(destination.bytes)) return;
    const others = [...call.inputs, ...call.destinations.toSpliced(i, 1)];
    if (!others.some((other) => other !== undefined && overlap(destination.bytes, other.bytes))) return;
    const name = quote(portAt(call.outputs, i).name);
    throw new CoremlxError(
      "INTERNAL",
      `Cannot write output ${name} in place: its memory is in use in the same call`,
    );
  });
}

function overlap(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): boolean {
  if (a.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}
