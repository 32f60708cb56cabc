// A model that libcoremlx has loaded, and its states.

import type { Pointer } from "bun:ffi";
import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { type CallLimits, controlOf, type CoremlLibrary } from "./coreml.ts";
import { coremlArrayElement, coremlModelFlags, coremlUnits } from "./coreml-numbers.ts";
import { StructArray } from "./coreml-structs.ts";
import { addressOf, allocateAligned, canLend, cString } from "./memory.ts";

export type CoremlUnits = "all" | "cpu" | "cpuAndGpu" | "cpuAndAne";

export interface CoremlLoadOptions {
  readonly units: CoremlUnits;
  /** Default: the model's default function. */
  readonly functionName?: string | undefined;
  /** Shown in Instruments. */
  readonly displayName?: string | undefined;
}

const unitNumbers: Readonly<Record<CoremlUnits, number>> = {
  all: coremlUnits.CMLX_UNITS_ALL,
  cpu: coremlUnits.CMLX_UNITS_CPU,
  cpuAndGpu: coremlUnits.CMLX_UNITS_CPU_GPU,
  cpuAndAne: coremlUnits.CMLX_UNITS_CPU_ANE,
};

export interface CoremlModelStats {
  /** Core ML raised an exception inside it. */
  readonly isPoisoned: boolean;
  /** A call that was given up still holds it. */
  readonly isHung: boolean;
  readonly completed: number;
  readonly failed: number;
  readonly givenUp: number;
  /** Of those, completed since. */
  readonly late: number;
}

/** Owns its handle. A prediction under way, also one that was given up, keeps what it needs by itself. */
export class CoremlModel implements Disposable {
  readonly library: CoremlLibrary;
  readonly handle: number;
  #isDisposed = false;

  /** Loads a compiled model, and blocks for as long as that takes: minutes, where Core ML sees it for the first time. */
  static load(
    library: CoremlLibrary,
    path: string,
    options: CoremlLoadOptions,
    limits: CallLimits = {},
  ): CoremlModel {
    const { functions, errorSlot } = library;
    const loading = loadOptionsOf(options);
    const control = controlOf(limits);
    const cPath = cString(path);
    const handle = library.takeHandle(
      (out) =>
        functions.cmlx_model_load(
          addressOf(cPath),
          loading.struct.address,
          control.address,
          out,
          errorSlot.address,
        ),
      "load the model",
    );
    return new CoremlModel(library, handle);
  }

  private constructor(library: CoremlLibrary, handle: number) {
    this.library = library;
    this.handle = handle;
  }

  /** JSON: see cmlx_model_describe in coremlx.h. */
  describe(): string {
    const { functions, errorSlot } = this.library;
    return this.library.takeText(
      (out) => functions.cmlx_model_describe(this.handle, out, errorSlot.address),
      "describe the model",
    );
  }

  get stats(): CoremlModelStats {
    const stats = new StructArray("cmlx_model_stats");
    const { library } = this;
    const status = library.functions.cmlx_model_read_stats(
      this.handle,
      stats.address,
      library.errorSlot.address,
    );
    library.check(status, "read a model's statistics");
    const flags = stats.get("flags");
    return {
      isPoisoned: (flags & coremlModelFlags.CMLX_MODEL_POISONED) !== 0,
      isHung: (flags & coremlModelFlags.CMLX_MODEL_HUNG) !== 0,
      completed: stats.get("completed"),
      failed: stats.get("failed"),
      givenUp: stats.get("given_up"),
      late: stats.get("late"),
    };
  }

  /** Zero at first. */
  createState(): CoremlState {
    const { library } = this;
    const { functions, errorSlot } = library;
    const handle = library.takeHandle(
      (out) => functions.cmlx_state_create(this.handle, out, errorSlot.address),
      "make a state",
    );
    return new CoremlState(library, handle);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.library.release(this.handle);
  }
}

/** Owns its handle. Used by one call at a time: others are BAD_INPUT. */
export class CoremlState implements Disposable {
  readonly handle: number;
  readonly #library: CoremlLibrary;
  readonly #names = new Map<string, Uint8Array<ArrayBuffer>>();
  #isDisposed = false;

  constructor(library: CoremlLibrary, handle: number) {
    this.#library = library;
    this.handle = handle;
  }

  /** Into `tensor`, which has the state's shape and any element type of arrays. */
  read(name: string, { dtype, shape, bytes }: Tensor): void {
    const memory = canLend(bytes) ? bytes : allocateAligned(bytes.byteLength);
    const struct = tensorOf(dtype, shape, memory);
    const { functions, errorSlot } = this.#library;
    const status = functions.cmlx_state_read(
      this.handle,
      this.#name(name),
      struct.address,
      errorSlot.address,
    );
    this.#library.check(status, `read state "${name}"`);
    if (memory !== bytes) bytes.set(memory.subarray(0, bytes.byteLength));
  }

  write(name: string, { dtype, shape, bytes }: Tensor): void {
    let memory = bytes;
    if (!canLend(bytes)) {
      memory = allocateAligned(bytes.byteLength);
      memory.set(bytes);
    }
    const struct = tensorOf(dtype, shape, memory);
    const { functions, errorSlot } = this.#library;
    const status = functions.cmlx_state_write(
      this.handle,
      this.#name(name),
      struct.address,
      errorSlot.address,
    );
    this.#library.check(status, `write state "${name}"`);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#library.release(this.handle);
  }

  #name(name: string): Pointer {
    let text = this.#names.get(name);
    if (text === undefined) this.#names.set(name, (text = cString(name)));
    return addressOf(text);
  }
}

/** The compute plan of a compiled model, as JSON: see cmlx_plan_read in coremlx.h. Blocks. */
export function readPlanText(library: CoremlLibrary, path: string, options: CoremlLoadOptions): string {
  const { functions, errorSlot } = library;
  const loading = loadOptionsOf(options);
  const cPath = cString(path);
  const text = library.takeText(
    (out) => functions.cmlx_plan_read(addressOf(cPath), loading.struct.address, null, out, errorSlot.address),
    "plan the model",
  );
  return text;
}

/** A cmlx_load_options; the texts it points at must live as long. */
function loadOptionsOf({ units, functionName, displayName }: CoremlLoadOptions): {
  readonly struct: StructArray<"cmlx_load_options">;
  readonly texts: readonly Uint8Array<ArrayBuffer>[];
} {
  const struct = new StructArray("cmlx_load_options");
  struct.set("compute_units", unitNumbers[units]);
  const texts: Uint8Array<ArrayBuffer>[] = [];
  const point = (field: "function_name" | "display_name", text: string | undefined) => {
    if (text === undefined) return;
    const bytes = cString(text);
    texts.push(bytes);
    struct.set(field, addressOf(bytes));
  };
  point("function_name", functionName);
  point("display_name", displayName);
  return { struct, texts };
}

/** Dense, over memory that is borrowed until the call returns. */
function tensorOf(
  dtype: DType,
  shape: readonly number[],
  memory: Uint8Array<ArrayBuffer>,
): StructArray<"cmlx_tensor"> {
  const element = coremlArrayElement[dtype];
  if (element === undefined) throw new CoremlxError("UNSUPPORTED", `Core ML has no arrays of ${dtype}`);
  const tensor = new StructArray("cmlx_tensor");
  tensor.set("dtype", element);
  tensor.set("rank", shape.length);
  tensor.setMany("shape", shape);
  tensor.set("data", addressOf(memory));
  tensor.set("byte_size", memory.byteLength);
  return tensor;
}
