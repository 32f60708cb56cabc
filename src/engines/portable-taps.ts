// A program with windows cut into it: its graph run once, with values from inside given out beside the results.

import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import { elementCount, type FeatureValues, isTensor, type Tensor, zeros } from "../core/tensor.ts";
import { byteLengthOf } from "../core/dtype.ts";
import type { MilFunction } from "../formats/mil.ts";
import { lowerTapped } from "../lowering/lower.ts";
import { precisionToRun } from "../lowering/scope.ts";
import { commonFolder, serializeModel } from "../onnx/serialize.ts";
import { FeaturePlan } from "./feature-plan.ts";
import type { GraphOptions } from "./portable-graph.ts";

export interface TapValue {
  readonly name: string;
  /** `undefined`: known only at the run. */
  readonly byteLength: number | undefined;
}

/** Which of these values of a function can be looked at, in the order given. */
export function listTaps(
  fn: MilFunction,
  names: readonly string[],
  { precision }: Pick<GraphOptions, "precision">,
): readonly TapValue[] {
  return lowerTapped(fn, names, { precision: precisionToRun(precision) }).taps.map(
    ({ feature, dtype, shape }) => {
      const isKnown = shape?.every((axis) => typeof axis === "number") ?? false;
      const count = isKnown
        ? elementCount((shape ?? []).filter((axis) => typeof axis === "number"))
        : undefined;
      return { name: feature, byteLength: count === undefined ? undefined : byteLengthOf(dtype, count) };
    },
  );
}

/** The values of these names for one set of inputs, states zero before it. Blocks this thread. */
export function runTapped(
  fn: MilFunction,
  description: FunctionDescription,
  call: { readonly names: readonly string[]; readonly inputs: FeatureValues },
  options: GraphOptions,
): ReadonlyMap<string, Tensor> {
  const { lowered, taps } = lowerTapped(fn, call.names, { precision: precisionToRun(options.precision) });
  const { graph, ...ports } = lowered;
  const plan = new FeaturePlan(description, ports);
  const folder = commonFolder(graph);
  const { bytes } = serializeModel(graph, { external: folder === undefined ? undefined : { folder } });
  using session = options.runtime.createSession(bytes, {
    externalDataFolder: folder,
    threads: options.threads,
  });
  const tensors = plan.encode(call.inputs);
  for (const port of ports.states) tensors.set(port.input, zeros(port.dtype, port.shape));
  const results = session.run(tensors);
  return new Map(taps.map(({ feature, name }) => [feature, takeTap(results, name)]));
}

function takeTap(results: FeatureValues, name: string): Tensor {
  const value = results.get(name);
  if (value !== undefined && isTensor(value)) return value;
  throw new CoremlxError("INTERNAL", `ONNX Runtime gave no "${name}"`);
}
