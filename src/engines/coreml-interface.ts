// The interface of a model that Core ML has loaded, beside what the model's file says: which tensors go in and out, and where.

import { CoremlxError } from "../core/errors.ts";
import type { DType } from "../core/dtype.ts";
import type { FeatureDescription, FunctionDescription, ModelKind } from "../core/model.ts";
import { isColor, pictureDType } from "../core/model.ts";
import type { CoremlPort } from "../native/coreml-call.ts";
import type { FeaturePort, GraphPorts } from "./engine.ts";

/** A feature as cmlx_model_describe gives it; see coremlx.h. */
interface DescribedFeature {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly width?: number;
  readonly height?: number;
  readonly constraint?: { readonly kind: string };
}

interface DescribedModel {
  readonly inputs: readonly DescribedFeature[];
  readonly outputs: readonly DescribedFeature[];
  readonly states: readonly DescribedFeature[];
  readonly ignoredHints: readonly string[];
}

export interface CoremlInterface {
  /** By feature name: what travels as a tensor. */
  readonly inputs: ReadonlyMap<string, CoremlPort>;
  readonly outputs: ReadonlyMap<string, CoremlPort>;
  /** Neither arrays nor pictures. */
  readonly valueInputs: readonly FeatureDescription[];
  readonly ports: GraphPorts;
}

/** Names of a state before and after a run, which no feature has. */
export const stateInput = (name: string) => `state ${name}`;
export const stateOutput = (name: string) => `next state ${name}`;

/** Throws BAD_MODEL where Core ML does not know a feature of the file. */
export function readInterface(
  json: string,
  description: FunctionDescription,
  kind: ModelKind,
): CoremlInterface {
  const described = JSON.parse(json) as DescribedModel; // our own library wrote it
  const inputs = portsOf(description.inputs, described.inputs, "input");
  const outputs = portsOf(description.outputs, described.outputs, "output");
  const areInputsFixed = inputs.every(({ found }) => isFixed(found));
  // Neural networks declare three axes where they give five.
  const areResultsKnown = areInputsFixed && kind === "mlProgram";
  const states = description.states.map(({ name }) => {
    const { dtype, shape = [] } = requireFeature(described.states, name, "state");
    const [input, output] = [stateInput(name), stateOutput(name)];
    return { feature: name, dtype: dtypeOf(dtype, name), shape: [...shape], input, output };
  });
  return {
    inputs: new Map(inputs.map(({ port }) => [port.name, port])),
    outputs: new Map(outputs.map(({ port }) => [port.name, port])),
    valueInputs: description.inputs.filter(({ type }) => type.kind !== "multiArray" && type.kind !== "image"),
    ports: {
      inputs: inputs.map((input) => featurePort(input, true)),
      outputs: outputs.map((output) => featurePort(output, areResultsKnown)),
      states,
      classifier: undefined,
      carriesFeatures: true,
    },
  };
}

interface FoundPort {
  readonly description: FeatureDescription;
  readonly found: DescribedFeature;
  readonly port: CoremlPort;
}

function portsOf(
  features: readonly FeatureDescription[],
  described: readonly DescribedFeature[],
  role: string,
): FoundPort[] {
  return features.flatMap((description) => {
    const { name, type } = description;
    const found = requireFeature(described, name, role);
    if (type.kind !== "multiArray" && type.kind !== "image") return [];
    const kind = type.kind === "image" ? ("picture" as const) : ("array" as const);
    return [{ description, found, port: { name, feature: described.indexOf(found), kind } }];
  });
}

function requireFeature(
  described: readonly DescribedFeature[],
  name: string,
  role: string,
): DescribedFeature {
  const found = described.find((feature) => feature.name === name);
  if (found) return found;
  throw new CoremlxError("BAD_MODEL", `Cannot load the model: Core ML knows no ${role} "${name}" of it`, {
    details: { name, known: described.map((feature) => feature.name) },
  });
}

/** `isKnown`: the declared shape is the one there will be, where it is fixed. */
function featurePort({ description, found }: FoundPort, isKnown: boolean): FeaturePort {
  const { name, type } = description;
  const ends = isKnown && isFixed(found);
  if (type.kind !== "image") {
    const { shape = [] } = found;
    return {
      feature: name,
      name,
      dtype: dtypeOf(found.dtype, name),
      shape: ends && shape.length > 0 ? shape : undefined,
    };
  }
  const { width = 0, height = 0 } = found;
  const sizes = isColor(type) ? [height, width, 3] : [height, width];
  return { feature: name, name, dtype: pictureDType(type), shape: ends ? sizes : undefined, isWhole: true };
}

function isFixed({ constraint }: DescribedFeature): boolean {
  return constraint?.kind === "fixed";
}

const dtypes: readonly DType[] = ["float64", "float32", "float16", "int32", "int8"];

function dtypeOf(name: string | undefined, feature: string): DType {
  const dtype = dtypes.find((each) => each === name);
  if (dtype !== undefined) return dtype;
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot use "${feature}": its elements are of a type that coremlx does not know`,
    {
      details: { name: feature, dtype: name },
    },
  );
}
