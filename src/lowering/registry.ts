// All MIL ops that have a lowering, by op type.

import { activation } from "./mil/activation.ts";
import { classify } from "./mil/classify.ts";
import { compression } from "./mil/compression.ts";
import { controlFlow } from "./mil/control-flow.ts";
import { conv } from "./mil/conv.ts";
import { elementwiseBinary } from "./mil/elementwise-binary.ts";
import { elementwiseUnary } from "./mil/elementwise-unary.ts";
import { imageResizing } from "./mil/image-resizing.ts";
import { linear } from "./mil/linear.ts";
import { lists } from "./mil/lists.ts";
import { nonMaximumSuppression } from "./mil/non-maximum-suppression.ts";
import { normalization } from "./mil/normalization.ts";
import { pool } from "./mil/pool.ts";
import { random } from "./mil/random.ts";
import { recurrent } from "./mil/recurrent.ts";
import { reduction } from "./mil/reduction.ts";
import { scatterGather } from "./mil/scatter-gather.ts";
import { states } from "./mil/states.ts";
import { tensorOperation } from "./mil/tensor-operation.ts";
import { tensorTransformation } from "./mil/tensor-transformation.ts";
import { transformers } from "./mil/transformers.ts";
import type { Lowering, OpTable } from "./op.ts";

/** Merges the family tables; an op claimed by two families is a bug in this file. */
export function mergeFamilies(families: Readonly<Record<string, OpTable>>): ReadonlyMap<string, Lowering> {
  const merged = new Map<string, Lowering>();
  for (const [family, table] of Object.entries(families)) {
    for (const [type, lowering] of Object.entries(table)) {
      if (merged.has(type)) throw new Error(`Op "${type}" is registered twice, again by ${family}`);
      merged.set(type, lowering);
    }
  }
  return merged;
}

export const milOps = mergeFamilies({
  activation,
  classify,
  compression,
  controlFlow,
  conv,
  elementwiseBinary,
  elementwiseUnary,
  imageResizing,
  linear,
  lists,
  nonMaximumSuppression,
  normalization,
  pool,
  random,
  recurrent,
  reduction,
  scatterGather,
  states,
  tensorOperation,
  tensorTransformation,
  transformers,
});
