// Where two runs of a program part: the values between its operations, of both sides, compared in the order of the program.

import { CoremlxError } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { GivenTrace, TracedOperation } from "../../runtime/trace.ts";
import { comparePair } from "./compare.ts";
import type { ParityBisection, ParityOperation } from "./schema.ts";
import { pairValues } from "./values.ts";

export interface BisectOptions {
  /** What the values belong to, for the result. */
  readonly input: string;
  /** Share of a value's range. */
  readonly threshold: number;
  /** Of the values of one side that are held at once. */
  readonly memoryBytes: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

const greatestShown = 10;

/**
 * All values are looked at, in as few runs as memory allows: the distance of two runs is not monotonic, so that halving
 * could miss the place. Values of both sides go by their names. Throws BAD_INPUT where they share none, INTERRUPTED.
 */
export function bisect(subject: GivenTrace, reference: GivenTrace, options: BisectOptions): ParityBisection {
  const { threshold, input } = options;
  const theirs = new Map(reference.listValues().map((value) => [value.name, value.byteLength]));
  const shared = subject.listValues().filter(({ name }) => theirs.has(name));
  const differences = new Map<string, Difference>();
  const runs = splitByMemory(shared, options.memoryBytes);
  for (const [index, names] of runs.entries()) {
    if (options.signal?.aborted) throw new CoremlxError("INTERRUPTED", "Interrupted");
    const [left, right] = [subject.run(names), reference.run(names)];
    for (const name of names) {
      const [a, b] = [left.get(name), right.get(name)];
      const difference = a && b && differenceOf(name, a, b);
      if (difference) differences.set(name, difference);
    }
    options.onProgress?.({ done: index + 1, total: runs.length });
  }
  if (differences.size === 0) {
    throw new CoremlxError(
      "BAD_INPUT",
      "Cannot look for where the two sides part: they share no inner value",
      {
        hint: "Both sides must be the same program, or one with the same names",
      },
    );
  }
  const operations = subject.operations.flatMap((op) => findingOf(op, subject, differences));
  const added = (op: ParityOperation) => op.ofRange - op.inputOfRange;
  return {
    input,
    threshold,
    operations: operations.length,
    runs: runs.length,
    uncompared: subject.operations.length - operations.length,
    firstBeyond: operations.find((op) => op.odd > 0 || op.ofRange > threshold) ?? null,
    firstDifferent: operations.find((op) => op.odd > 0 || op.maxAbs > 0) ?? null,
    greatest: operations
      .filter((op) => added(op) > 0)
      .toSorted((a, b) => added(b) - added(a))
      .slice(0, greatestShown),
  };
}

interface Difference {
  readonly maxAbs: number;
  readonly ofRange: number;
  readonly odd: number;
}

/** `undefined`: another shape, so another value under the same name. */
function differenceOf(name: string, a: Tensor, b: Tensor): Difference | undefined {
  try {
    const { maxAbs, ofRange, odd } = comparePair(pairValues(name, a, b), 0);
    return { maxAbs, ofRange, odd };
  } catch (error) {
    if (error instanceof CoremlxError && error.code === "BAD_INPUT") return undefined;
    throw error;
  }
}

function findingOf(
  op: TracedOperation,
  { functionName, operationCount }: GivenTrace,
  differences: ReadonlyMap<string, Difference>,
): ParityOperation[] {
  const results = op.results.flatMap((value) => {
    const difference = differences.get(value);
    return difference ? [{ value, ...difference }] : [];
  });
  const [worst] = results.toSorted((a, b) => b.odd - a.odd || b.ofRange - a.ofRange);
  if (worst === undefined) return [];
  const inputOfRange = Math.max(0, ...op.inputs.map((name) => differences.get(name)?.ofRange ?? 0));
  const { index, type, name, inputs } = op;
  return [
    {
      function: functionName,
      index,
      of: operationCount,
      type,
      name,
      ...worst,
      inputOfRange,
      inputs: [...inputs],
    },
  ];
}

/** Values whose size nobody knows before the run that are asked for at once. */
const unknownPerRun = 16;

/** A value that is larger than the bound has a run to itself. */
function splitByMemory(
  values: readonly { readonly name: string; readonly byteLength: number | undefined }[],
  memoryBytes: number,
): readonly (readonly string[])[] {
  const runs: string[][] = [];
  let room = 0;
  for (const { name, byteLength = memoryBytes / unknownPerRun } of values) {
    if (byteLength > room || runs.length === 0) {
      runs.push([]);
      room = memoryBytes;
    }
    runs.at(-1)?.push(name);
    room -= byteLength;
  }
  return runs;
}
