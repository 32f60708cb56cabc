// Types of an ONNX op's results: the element type always, the shape as well as it can be known. Opset 21.

import { CoremlxError } from "../core/errors.ts";
import { elementwiseRules } from "./infer-elementwise.ts";
import { layoutRules } from "./infer-layout.ts";
import { linearRules } from "./infer-linear.ts";
import { generatorRules } from "./infer-generator.ts";
import { indexRules } from "./infer-index.ts";
import type { Call, RuleTable } from "./infer-rule.ts";
import { sequenceRules } from "./infer-sequence.ts";
import { windowRules } from "./infer-window.ts";
import type { ValueType } from "./types.ts";

const rules: RuleTable = {
  ...elementwiseRules,
  ...layoutRules,
  ...indexRules,
  ...linearRules,
  ...windowRules,
  ...generatorRules,
  ...sequenceRules,
};

/**
 * The types of at least `call.count` results. A size that is not known is a fresh symbol; a shape is undefined only
 * where the rank is not known either. Throws INTERNAL for an op without a rule or a call ONNX does not allow,
 * BAD_MODEL for shapes that contradict each other.
 */
export function inferTypes(call: Call): readonly ValueType[] {
  const rule = Object.hasOwn(rules, call.op) ? rules[call.op] : undefined;
  if (rule === undefined) {
    throw new CoremlxError("INTERNAL", `ONNX op ${call.op} has no inference rule`, {
      hint: "Give the result types with the node",
      details: { op: call.op },
    });
  }
  return rule(call);
}

/** The ops that have a rule, sorted. */
export function inferableOps(): readonly string[] {
  return Object.keys(rules).toSorted();
}
