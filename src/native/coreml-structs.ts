// The structs of coremlx.h, and arrays of them in memory that C sees. scripts/check-abi.ts compares names, order and types.

import { type Pointer, ptr } from "bun:ffi";
import { CoremlxError } from "../core/errors.ts";

/** `cmlx_bytes` stands inside other structs; a handle is a u64, an array says how long it is. */
export type FieldType = "u32" | "i32" | "u64" | "i64" | "ptr" | "cmlx_bytes" | "u64[2]" | "i64[8]";

/** Fields in C's order. */
export const coremlStructs = {
  cmlx_error: { status: "i32", reserved: "i32", code: "i64", domain: "ptr", message: "ptr", detail: "ptr" },
  cmlx_bytes: { data: "ptr", size: "u64" },
  cmlx_tensor: {
    struct_size: "u32",
    feature: "u32",
    dtype: "u32",
    rank: "u32",
    flags: "u32",
    reserved: "u32",
    data: "ptr",
    byte_size: "u64",
    buffer: "u64",
    offset: "u64",
    shape: "i64[8]",
    strides: "i64[8]",
  },
  cmlx_load_options: {
    struct_size: "u32",
    compute_units: "u32",
    max_in_flight: "u32",
    flags: "u32",
    reshape_frequency: "u32",
    specialization: "u32",
    gpu_registry_id: "u64",
    function_name: "ptr",
    display_name: "ptr",
    reserved: "u64[2]",
  },
  cmlx_control: {
    struct_size: "u32",
    reserved: "u32",
    timeout_ns: "i64",
    canceller: "u64",
    queued_ns: "u64",
    run_ns: "u64",
  },
  cmlx_prediction: {
    struct_size: "u32",
    reserved: "u32",
    model: "u64",
    state: "u64",
    canceller: "u64",
    timeout_ns: "i64",
    inputs: "ptr",
    outputs: "ptr",
    input_count: "u32",
    output_count: "u32",
    values: "ptr",
    values_size: "u64",
    output_values: "cmlx_bytes",
    queued_ns: "u64",
    run_ns: "u64",
    reserved2: "u64[2]",
  },
  cmlx_completion: {
    ticket: "u64",
    tag: "u64",
    op: "u32",
    status: "i32",
    result: "u64",
    error: "ptr",
    bytes: "cmlx_bytes",
    queued_ns: "u64",
    run_ns: "u64",
  },
  cmlx_buffer_options: {
    struct_size: "u32",
    kind: "u32",
    byte_size: "u64",
    dtype: "u32",
    width: "u32",
    height: "u32",
    reserved: "u32",
  },
  cmlx_buffer_info: {
    struct_size: "u32",
    kind: "u32",
    dtype: "u32",
    flags: "u32",
    base: "ptr",
    byte_size: "u64",
    row_bytes: "u64",
    width: "u32",
    height: "u32",
  },
  cmlx_model_stats: {
    struct_size: "u32",
    flags: "u32",
    max_in_flight: "u32",
    in_flight: "u32",
    waiting: "u32",
    quarantined: "u32",
    completed: "u64",
    failed: "u64",
    given_up: "u64",
    late: "u64",
  },
  cmlx_quarantine: {
    struct_size: "u32",
    flags: "u32",
    calls: "u64",
    bytes: "u64",
    entered: "u64",
    returned: "u64",
    limit_calls: "u64",
    limit_bytes: "u64",
  },
  cmlx_usage: {
    struct_size: "u32",
    reserved: "u32",
    footprint_bytes: "u64",
    footprint_peak_bytes: "u64",
    neural_footprint_bytes: "u64",
    neural_footprint_peak_bytes: "u64",
    energy_nj: "u64",
  },
  cmlx_thermal: { struct_size: "u32", state: "i32", changes: "u64", changed_at_ns: "u64" },
  cmlx_image: { struct_size: "u32", dtype: "u32", width: "u32", height: "u32", pixels: "cmlx_bytes" },
} as const satisfies Record<string, Readonly<Record<string, FieldType>>>;

export type StructName = keyof typeof coremlStructs;
type FieldName<S extends StructName> = keyof (typeof coremlStructs)[S] & string;

const fieldWords: Readonly<Record<FieldType, number>> = {
  u32: 1,
  i32: 1,
  u64: 2,
  i64: 2,
  ptr: 2,
  cmlx_bytes: 4,
  "u64[2]": 4,
  "i64[8]": 16,
};

export interface FieldPlace {
  readonly byteOffset: number;
  readonly type: FieldType;
}

export interface StructLayout {
  readonly byteLength: number;
  readonly fields: Readonly<Record<string, FieldPlace>>;
}

/** By C's rules: each field on a boundary of its own size, the whole a multiple of the largest. */
export function layOut(fields: Readonly<Record<string, FieldType>>): StructLayout {
  let words = 0;
  let widest = 1;
  const places: Record<string, FieldPlace> = {};
  for (const [name, type] of Object.entries(fields)) {
    const alignment = Math.min(fieldWords[type], 2);
    widest = Math.max(widest, alignment);
    words = Math.ceil(words / alignment) * alignment;
    places[name] = { byteOffset: 4 * words, type };
    words += fieldWords[type];
  }
  return { byteLength: 4 * Math.ceil(words / widest) * widest, fields: places };
}

const layouts = new Map<StructName, StructLayout>();

export function layoutOf(name: StructName): StructLayout {
  let layout = layouts.get(name);
  if (layout === undefined) layouts.set(name, (layout = layOut(coremlStructs[name])));
  return layout;
}

/**
 * One struct of C's or several in a row, zero at first, `struct_size` filled in. Owns its memory: keep it until the call
 * it was given to has returned. Numbers of 64 bits are exact up to 2^53.
 */
export class StructArray<S extends StructName> {
  readonly address: Pointer;
  readonly #layout: StructLayout;
  readonly #words: Uint32Array<ArrayBuffer>;

  constructor(name: S, length = 1) {
    this.#layout = layoutOf(name);
    this.#words = new Uint32Array(new ArrayBuffer(this.#layout.byteLength * Math.max(length, 1)));
    this.address = ptr(this.#words);
    if (this.#layout.fields["struct_size"] === undefined) return;
    for (let index = 0; index < length; index++) this.#words[this.#start(index)] = this.#layout.byteLength;
  }

  /** The address of one of them. */
  at(index: number): Pointer {
    return (this.address + this.#layout.byteLength * index) as Pointer;
  }

  get(field: FieldName<S>, index = 0): number {
    const { byteOffset, type } = this.#place(field);
    const word = this.#start(index) + byteOffset / 4;
    const low = this.#words[word] ?? 0;
    if (type === "u32") return low;
    if (type === "i32") return low | 0;
    return low + ((this.#words[word + 1] ?? 0) | 0) * 2 ** 32;
  }

  set(field: FieldName<S>, value: number, index = 0): void {
    const { byteOffset, type } = this.#place(field);
    this.#write(this.#start(index) + byteOffset / 4, value, type !== "u32" && type !== "i32");
  }

  /** `size` entries of a field that is an array. */
  getMany(field: FieldName<S>, size: number, index = 0): number[] {
    const start = this.#start(index) + this.#place(field).byteOffset / 4;
    return Array.from({ length: size }, (_, i) => {
      const low = this.#words[start + 2 * i] ?? 0;
      return low + ((this.#words[start + 2 * i + 1] ?? 0) | 0) * 2 ** 32;
    });
  }

  setMany(field: FieldName<S>, values: readonly number[], index = 0): void {
    const start = this.#start(index) + this.#place(field).byteOffset / 4;
    for (const [i, value] of values.entries()) this.#write(start + 2 * i, value, true);
  }

  #write(word: number, value: number, isWide: boolean): void {
    this.#words[word] = value >>> 0;
    if (isWide) this.#words[word + 1] = Math.floor(value / 2 ** 32);
  }

  #start(index: number): number {
    return (this.#layout.byteLength / 4) * index;
  }

  #place(field: string): FieldPlace {
    const place = this.#layout.fields[field];
    if (place === undefined) throw new CoremlxError("INTERNAL", `There is no field "${field}"`);
    return place;
  }
}
