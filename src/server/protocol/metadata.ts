// What the server tells about itself and its models: metadata and, as Triton has it, configuration.

import { version } from "../../core/version.ts";
import type { SessionModel } from "../../runtime/session.ts";
import { configTypeOf } from "../../codecs/datatypes.ts";
import type { ModelInterface, TensorSpec } from "./interface.ts";
import type { ModelConfig, ModelMetadataAnswer, ServerMetadata } from "./schemas.ts";

const extensions = [
  "binary_tensor_data",
  "classification",
  "model_configuration",
  "model_repository",
  "parameters",
  "schedule_policy",
  "sequence",
  "statistics",
];

export function describeServer(): ServerMetadata {
  return { name: "coremlx", version, extensions };
}

interface DescribedModel {
  readonly name: string;
  readonly model: Pick<SessionModel, "description" | "stats">;
  readonly ports: ModelInterface;
}

export function describeMetadata(
  { name, model, ports }: DescribedModel,
  versions: readonly string[],
): ModelMetadataAnswer {
  const platform = platformOf(model);
  return {
    name,
    versions: [...versions],
    platform,
    inputs: tensors(ports.inputs),
    outputs: tensors(ports.outputs),
  };
}

export function describeConfig(
  { name, model, ports }: DescribedModel,
  { sequenceIdleMs }: { readonly sequenceIdleMs: number },
): ModelConfig {
  const config = ({ name: tensor, datatype, shape, feature }: TensorSpec) => ({
    name: tensor,
    data_type: configTypeOf(datatype),
    dims: [...shape],
    ...(feature.isOptional && { optional: true }),
  });
  const { device, instances } = model.stats;
  const kind = device === "gpu" ? "KIND_GPU" : device === "cpu" ? "KIND_CPU" : "KIND_AUTO";
  return {
    name,
    platform: platformOf(model),
    backend: "coremlx",
    max_batch_size: 0,
    input: ports.inputs.map(config),
    output: ports.outputs.map(config),
    instance_group: [{ name, kind, count: instances.limit }],
    ...(ports.isStateful && {
      sequence_batching: { max_sequence_idle_microseconds: Math.round(sequenceIdleMs * 1_000) },
    }),
  };
}

function platformOf({ description }: Pick<SessionModel, "description">): string {
  return `coreml_${description.kind}`;
}

function tensors(specs: readonly TensorSpec[]): ModelMetadataAnswer["inputs"] {
  return specs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] }));
}
