// The memory of one run of a graph: what it reads, where its results go, and who gets it back when.

import type { DType } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import type { FeatureValue, FeatureValues, Tensor } from "../../core/tensor.ts";
import type { FeaturePlan } from "../../engines/feature-plan.ts";
import { addressOf, allocate, canLend, stableByteLength } from "../../native/memory.ts";
import { type BufferLease, type BufferPool, checkByteLength } from "../buffers/buffer-pool.ts";
import type { OutputLease, OutputStore } from "../outputs/outputs.ts";
import type { SharedTensor } from "../worker/protocol.ts";
import { share } from "../worker/shared-tensor.ts";

export interface RunMemorySources {
  readonly buffers: BufferPool;
  readonly outputStore: OutputStore;
}

/** pooled: results are read before the run's memory goes back. owned: they stay with the caller, without a copy where that pays. */
export type ResultMemory = "pooled" | "owned";

interface SharedBytes {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Memory that native code is given. */
interface Place {
  readonly tensor: Tensor;
  readonly address: number;
}

interface NamedPlace {
  readonly name: string;
  readonly place: Place;
}

interface PooledPlace {
  readonly name: string;
  readonly lease: OutputLease;
}

/**
 * Owns what it takes from the pools until it is disposed or put into quarantine; borrows callers' arrays, and keeps them alive as long.
 * Both may be called again.
 */
export class RunMemory implements Disposable {
  readonly #sources: RunMemorySources;
  readonly #buffers: BufferLease[] = [];
  readonly #places: PooledPlace[] = [];
  /** Callers' arrays and results that will be theirs: no pool has them, but native code does. */
  readonly #others: SharedBytes[] = [];
  readonly #owned = new Map<string, Tensor>();

  constructor(sources: RunMemorySources) {
    this.#sources = sources;
  }

  /**
   * The inputs as the graph takes them. Arrays that need no change lie where the caller has them, from 64 KiB on, all others
   * in buffers of the pool.
   */
  encode(plan: FeaturePlan, inputs: FeatureValues): SharedTensor[] {
    const leases = new Map<Tensor, BufferLease>();
    const encoded = plan.encode(inputs, {
      allocate: (dtype, shape) => {
        const lease = this.#lend(dtype, shape);
        leases.set(lease.tensor, lease);
        return lease.tensor;
      },
      mayKeep: canLend,
    });
    const shared: SharedTensor[] = [];
    for (const [name, tensor] of encoded) {
      const lease = leases.get(tensor);
      if (lease) shared.push(share(name, lease));
      else if (canLend(tensor.bytes)) shared.push(this.#borrow(name, tensor));
      else shared.push(share(name, this.#copy(tensor)));
    }
    return shared;
  }

  /** Places for the results whose shape is known before the run. */
  placeResults(plan: FeaturePlan, memory: ResultMemory): SharedTensor[] {
    return this.#placesFor(plan, memory, 0).map(({ name, place }) => share(name, place));
  }

  /** The same for a run in this thread: of the large ones only, for small ones are copied in less time than places cost. */
  placeLargeResults(plan: FeaturePlan, memory: ResultMemory): ReadonlyMap<string, Tensor> {
    const places = this.#placesFor(plan, memory, stableByteLength);
    return new Map(places.map(({ name, place }) => [name, place.tensor]));
  }

  /**
   * All results by name: those that found their place, and those that came back. Throws BAD_INPUT where a caller's memory
   * went elsewhere during the run, for nobody knows what the engine has read.
   */
  collect(results: FeatureValues): Map<string, FeatureValue> {
    for (const { name, bytes } of this.#others) if (bytes.buffer.detached) throw wasTransferred(name);
    const all = new Map(results);
    for (const [name, tensor] of this.#owned) all.set(name, tensor);
    for (const { name, lease } of this.#places) {
      const { tensor } = lease; // its shape stays with the pool, for whom it is lent to next
      all.set(name, { ...tensor, shape: [...tensor.shape] });
    }
    return all;
  }

  /** Results in files that other processes can read. */
  get mapped(): ReadonlyMap<string, OutputLease> {
    const mapped = this.#places.filter(({ lease }) => lease.kind === "mapped");
    return mapped.length === 0 ? noneMapped : new Map(mapped.map(({ name, lease }) => [name, lease]));
  }

  /** Goes back to a pool, and with it what is read there. */
  isPooled(bytes: Uint8Array<ArrayBuffer>): boolean {
    return this.#places.some(({ lease }) => lease.tensor.bytes.buffer === bytes.buffer);
  }

  /** For a call that was given up: nothing goes back before the returned function is called, when native code is done with it. */
  quarantine(): () => void {
    const { buffers, outputStore } = this.#sources;
    const tickets = [
      ...this.#buffers.splice(0).map((buffer) => buffers.quarantine(buffer)),
      ...this.#places.splice(0).map(({ lease }) => outputStore.quarantine(lease)),
    ];
    const others = this.#others.splice(0);
    return () => {
      for (const ticket of tickets.splice(0)) ticket.release();
      others.length = 0;
    };
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers.splice(0)) buffer[Symbol.dispose]();
    for (const { lease } of this.#places.splice(0)) lease[Symbol.dispose]();
    this.#others.length = 0;
  }

  #placesFor(plan: FeaturePlan, memory: ResultMemory, leastBytes: number): NamedPlace[] {
    const places: NamedPlace[] = [];
    for (const { name, dtype, shape } of plan.results) {
      if (shape === undefined) continue;
      const byteLength = checkByteLength(dtype, shape, "hold a result");
      if (byteLength < leastBytes) continue;
      if (memory === "owned" && byteLength >= stableByteLength) {
        const tensor = { dtype, shape: [...shape], bytes: allocate(byteLength) };
        this.#owned.set(name, tensor);
        places.push({ name, place: this.#hold(name, tensor) });
      } else {
        const lease = this.#sources.outputStore.acquire(dtype, shape);
        this.#places.push({ name, lease });
        places.push({ name, place: lease });
      }
    }
    return places;
  }

  #lend(dtype: DType, shape: readonly number[]): BufferLease {
    const buffer = this.#sources.buffers.acquire(dtype, shape);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Default values of optional inputs are made elsewhere. */
  #copy(tensor: Tensor): BufferLease {
    const buffer = this.#lend(tensor.dtype, tensor.shape);
    buffer.bytes.set(tensor.bytes);
    return buffer;
  }

  #borrow(name: string, tensor: Tensor): SharedTensor {
    return share(name, this.#hold(name, tensor));
  }

  /** Keeps alive what no pool has. */
  #hold(name: string, { dtype, shape, bytes }: Tensor): Place {
    this.#others.push({ name, bytes });
    // A shape of our own: the caller may change its array, and runs are compared by shape.
    return { tensor: { dtype, shape: [...shape], bytes }, address: addressOf(bytes) };
  }
}

function wasTransferred(name: string): CoremlxError {
  return new CoremlxError(
    "BAD_INPUT",
    `Cannot use "${name}": its memory was transferred away during the run`,
    {
      hint: "Leave arrays as they are until the prediction settles",
      details: { name },
    },
  );
}

const noneMapped: ReadonlyMap<string, OutputLease> = new Map();
