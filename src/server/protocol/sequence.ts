// The sequence extension: which sequence a request belongs to, and whether it is its first or its last.

import type { SequenceStep } from "../sequence-table.ts";
import { bad, booleanOf, type InferRequest } from "./request.ts";
import type { Parameters } from "./schemas.ts";

/** Undefined for a request that belongs to none. */
export function readSequenceStep(
  { parameters }: InferRequest,
  maxIdLength: number,
): SequenceStep | undefined {
  const id = parameters["sequence_id"];
  const isStart = booleanOf(parameters, "sequence_start") ?? false;
  const isEnd = booleanOf(parameters, "sequence_end") ?? false;
  if (id === undefined || id === 0 || id === "") {
    if (isStart || isEnd) throw bad("sequence_start and sequence_end need a sequence_id");
    return undefined;
  }
  if (typeof id === "number" && Number.isSafeInteger(id)) return { key: String(id), isStart, isEnd };
  if (typeof id === "string" && id.length <= maxIdLength) return { key: JSON.stringify(id), isStart, isEnd };
  throw bad(`sequence_id must be a whole number or a text of up to ${maxIdLength} characters`);
}

/** As the answer says it again. */
export function echoSequence({ parameters }: InferRequest, step: SequenceStep): Parameters {
  const id = parameters["sequence_id"] ?? "";
  return { sequence_id: id, sequence_start: step.isStart, sequence_end: step.isEnd };
}
