// What a model of one function says of itself, where a test cares for nothing but the function.

import type { FunctionDescription, ModelDescription } from "../../src/core/model.ts";

export function describeProgram(main: FunctionDescription): ModelDescription {
  return {
    kind: "mlProgram",
    specificationVersion: 7,
    functions: [main],
    defaultFunction: "main",
    metadata: { description: "", version: "", author: "", license: "", userDefined: new Map() },
    isUpdatable: false,
    classLabels: undefined,
  };
}
