// The tensors of a run on shared memory, kept for the next run of the same names, types and shapes.

import type { Tensor } from "../../core/tensor.ts";
import type { MemoryViews } from "../../native/memory.ts";
import type { SharedTensor } from "./protocol.ts";

interface Place {
  readonly byteLength: number;
  address: number;
  readonly tensor: { -readonly [K in keyof Tensor]: Tensor[K] };
}

/** Borrows the memory behind its tensors, each time for one run. */
export class RepeatableRun {
  readonly inputs = new Map<string, Tensor>();
  readonly outputs = new Map<string, Tensor>();
  readonly #views: MemoryViews;
  readonly #places: readonly Place[];

  constructor(views: MemoryViews, inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]) {
    this.#views = views;
    this.#places = [
      ...inputs.map((shared) => this.#add(this.inputs, shared)),
      ...outputs.map((shared) => this.#add(this.outputs, shared)),
    ];
  }

  /** Where the tensors lie from now on: the inputs, then the outputs. */
  moveTo(addresses: Float64Array): void {
    for (const [index, place] of this.#places.entries()) {
      const address = addresses[index] ?? 0;
      if (address === place.address) continue;
      place.tensor.bytes = this.#views.at(address, place.byteLength);
      place.address = address;
    }
  }

  #add(tensors: Map<string, Tensor>, shared: SharedTensor): Place {
    const { name, dtype, shape, address, byteLength } = shared;
    const tensor = { dtype, shape, bytes: this.#views.at(address, byteLength) };
    tensors.set(name, tensor);
    return { byteLength, address, tensor };
  }
}
