// The outputs of a sequence: every step's value put into its place of one array, made once.

import { allocateBytes, formatShape } from "../../codecs/allocate.ts";
import { byteSize } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { type FeatureDescription, type FeatureType, isColor, pictureDType } from "../../core/model.ts";
import {
  elementCount,
  type FeatureValue,
  type FeatureValues,
  isTensor,
  type SteppedValue,
  type SteppedValues,
  type Tensor,
  tensorOf,
} from "../../core/tensor.ts";

/** Bytes of all stacked outputs of a sequence together. */
export const maxStackedBytes = 2 ** 32;

/** Strings, dictionary entries and items of sequences that an output's list may hold: each costs some 100 bytes. */
export const maxListedItems = 2 ** 24;

/** Every output over the steps of a sequence. Takes the steps in order; keeps no step's own memory of arrays. */
export class OutputStacks {
  readonly #steps: number;
  #stacks: ReadonlyMap<string, OutputStack> | undefined;

  /** Throws BAD_INPUT when what the outputs declare is too much over so many steps. */
  constructor(outputs: readonly FeatureDescription[], steps: number) {
    this.#steps = steps;
    checkTotal(
      outputs.map(({ type }) => steps * declaredBytes(type)),
      steps,
    );
  }

  /** Throws BAD_INPUT when it becomes too much, UNSUPPORTED for an output that changes its shape. */
  push(values: FeatureValues): void {
    if (this.#stacks === undefined) {
      checkTotal(
        [...values.values()].map((value) => this.#steps * bytesOf(value)),
        this.#steps,
      );
      this.#stacks = new Map([...values.keys()].map((name) => [name, new OutputStack(name, this.#steps)]));
    }
    for (const [name, stack] of this.#stacks) {
      const value = values.get(name);
      if (value === undefined) throw new CoremlxError("INTERNAL", `A step gave no output "${name}"`);
      stack.push(value);
    }
  }

  finish(): SteppedValues {
    return new Map([...(this.#stacks ?? [])].map(([name, stack]) => [name, stack.finish()]));
  }
}

/** One output, or one generated input, over the steps. Arrays and numbers become an array; others a list. */
export class OutputStack {
  readonly #name: string;
  readonly #steps: number;
  readonly #list: FeatureValue[] = [];
  #array: Tensor | undefined;
  #count = 0;
  #items = 0;

  constructor(name: string, steps: number) {
    this.#name = name;
    this.#steps = steps;
  }

  push(value: FeatureValue): void {
    const tensor = arrayOf(value);
    if (tensor === undefined) this.#append(value);
    else this.#copy(tensor);
    this.#count++;
  }

  /** undefined where no step came. */
  finish(): SteppedValue {
    return this.#array ?? this.#list;
  }

  #copy(tensor: Tensor): void {
    const { dtype, shape, bytes } = tensor;
    this.#array ??= {
      dtype,
      shape: [this.#steps, ...shape],
      bytes: allocateBytes(this.#steps * bytes.length, this.#subject),
    };
    const before = this.#array.shape.slice(1);
    if (dtype !== this.#array.dtype || shape.join() !== before.join()) {
      throw new CoremlxError(
        "UNSUPPORTED",
        `${this.#subject}: it is ${formatShape(shape)} after ${formatShape(before)} at the steps before`,
        {
          hint: "Give the steps as several FILEs with --keep-state: each step's outputs are then their own",
          details: { name: this.#name, expected: before, actual: shape },
        },
      );
    }
    this.#array.bytes.set(bytes, this.#count * bytes.length);
  }

  #append(value: FeatureValue): void {
    const size = value instanceof Map ? value.size : Array.isArray(value) ? value.length : 1;
    this.#items += Math.max(1, size);
    if (this.#items > maxListedItems) {
      throw new CoremlxError(
        "BAD_INPUT",
        `${this.#subject}: its list would hold more than ${maxListedItems} items`,
        { hint: "Run fewer steps at a time, with --save-state and --state in between" },
      );
    }
    this.#list.push(value);
  }

  get #subject(): string {
    return `Cannot stack "${this.#name}" over ${this.#steps} steps`;
  }
}

/** Numbers count as arrays without axes. */
function arrayOf(value: FeatureValue): Tensor | undefined {
  if (typeof value === "number") return tensorOf("float64", [value], []);
  if (typeof value === "bigint") return tensorOf("int64", [value], []);
  return isTensor(value) ? value : undefined;
}

function bytesOf(value: FeatureValue): number {
  return arrayOf(value)?.bytes.length ?? 0;
}

/** Of one step, as far as the interface says: 0 where only the run will tell. */
function declaredBytes(type: FeatureType): number {
  switch (type.kind) {
    case "multiArray":
      return type.constraint.kind === "fixed" && type.shape.length > 0
        ? elementCount(type.shape) * byteSize(type.dtype)
        : 0;
    case "image":
      if (type.constraint.kind !== "fixed") return 0;
      return type.width * type.height * (isColor(type) ? 3 : byteSize(pictureDType(type)));
    case "int64":
    case "double":
      return 8;
    default:
      return 0;
  }
}

function checkTotal(bytes: readonly number[], steps: number): void {
  const total = bytes.reduce((sum, each) => sum + each, 0);
  if (total <= maxStackedBytes) return;
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot run ${steps} steps: their outputs take ${total} bytes, more than the limit of ${maxStackedBytes}`,
    {
      hint: "Run fewer steps at a time, with --save-state and --state in between",
      details: { limit: maxStackedBytes, actual: total },
    },
  );
}
