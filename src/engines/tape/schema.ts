// The JSON of a tape, as a schema: a tape may come from anybody. What it says is bounded here; whether it fits together is
// checked by whoever reads it (file.ts).

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { dtypes } from "../../core/dtype.ts";
import { defaultTapeLimits } from "./limits.ts";

const { tapeRows: maxItems } = defaultTapeLimits;
const text = Type.String({ maxLength: 65_536 });
/** What is printed as part of a line: nothing in it moves the cursor of a terminal. */
const line = Type.String({ maxLength: 1_000, pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" });
const index = Type.Integer({ minimum: 0, maximum: maxItems });
const size = Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 });
const shape = Type.Array(size, { maxItems: 32 });
const ms = Type.Number({ minimum: 0, maximum: 1e9 });
const count = Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const share = Type.Optional(Type.Number());

function oneOf<const T extends string>(...words: readonly T[]) {
  return Type.Union(words.map((word) => Type.Literal(word)));
}

const dtype = oneOf(...dtypes);
const element = oneOf("int64", "string");
const range = Type.Object({ lower: size, upper: Type.Optional(size) });
const constraint = Type.Union([
  Type.Object({ kind: Type.Literal("fixed") }),
  Type.Object({ kind: Type.Literal("enumerated"), shapes: Type.Array(shape, { maxItems: 10_000 }) }),
  Type.Object({ kind: Type.Literal("range"), axes: Type.Array(range, { maxItems: 32 }) }),
]);
const multiArray = Type.Object({
  kind: Type.Literal("multiArray"),
  dtype,
  shape,
  constraint,
  defaultValue: Type.Optional(Type.Number()),
});
const featureType = Type.Union([
  Type.Object({ kind: oneOf("int64", "double", "string") }),
  Type.Object({
    kind: Type.Literal("image"),
    width: size,
    height: size,
    colorSpace: oneOf("GRAYSCALE", "RGB", "BGR", "GRAYSCALE_FLOAT16"),
    constraint,
  }),
  multiArray,
  Type.Object({ kind: Type.Literal("dictionary"), key: element }),
  Type.Object({ kind: Type.Literal("sequence"), element, size: range }),
  Type.Object({ kind: Type.Literal("state"), array: multiArray }),
]);
const features = Type.Array(
  Type.Object({ name: text, description: text, type: featureType, isOptional: Type.Boolean() }),
  { maxItems: 10_000 },
);
const description = Type.Object({
  kind: text,
  specificationVersion: size,
  functions: Type.Array(
    Type.Object({
      name: text,
      inputs: features,
      outputs: features,
      states: features,
      predictedFeatureName: Type.Optional(text),
      predictedProbabilitiesName: Type.Optional(text),
    }),
    { minItems: 1, maxItems: 1_000 },
  ),
  defaultFunction: text,
  isUpdatable: Type.Boolean(),
});

const device = oneOf("auto", "cpu", "gpu", "ane", "all");
const planDevice = oneOf("cpu", "gpu", "ane", "other");
const deviceShare = Type.Optional(
  Type.Object({ preferred: count, preferredShare: Type.Number(), costShare: share, supported: count }),
);
const plan = Type.Object({
  kind: text,
  device: text,
  constants: count,
  dispatched: count,
  unknown: count,
  dispatch: oneOf("planned", "not measured"),
  devices: Type.Object({ cpu: deviceShare, gpu: deviceShare, ane: deviceShare, other: deviceShare }),
  notOnAne: Type.Array(Type.Object({ op: text, count, costShare: share, reason: text }), { maxItems }),
  operations: Type.Array(
    Type.Object({
      op: text,
      name: text,
      function: Type.Optional(text),
      isConstant: Type.Boolean(),
      weight: share,
      preferred: Type.Optional(planDevice),
      supported: Type.Array(planDevice, { maxItems: 8 }),
    }),
    { maxItems },
  ),
});

const words = Type.Array(text, { maxItems: 1_000 });
const host = Type.Object({
  platform: line,
  kernel: line,
  arch: line,
  system: Type.Optional(line),
  osVersion: Type.Optional(line),
  osBuild: Type.Optional(line),
  model: Type.Optional(line),
  cpu: line,
  chip: Type.Optional(line),
  cores: count,
  cpuCores: Type.Optional(count),
  coreLevels: Type.Array(Type.Object({ name: text, cores: count }), { maxItems: 100 }),
  gpuCores: Type.Optional(count),
  isNeuralEngineCapable: Type.Boolean(),
  neuralEngineCores: Type.Optional(count),
  isAneAvailable: Type.Optional(Type.Boolean()),
  thermalSensors: words,
  cpuFeatures: words,
  memoryBytes: count,
  isVirtual: Type.Optional(Type.Boolean()),
});
const condition = Type.Object({
  powerSource: Type.Optional(oneOf("ac", "battery", "ups")),
  isLowPowerMode: Type.Optional(Type.Boolean()),
  thermalState: Type.Optional(oneOf("nominal", "fair", "serious", "critical")),
});

const failure = Type.Object({
  code: oneOf(
    "USAGE",
    "BAD_INPUT",
    "BAD_MODEL",
    "NOT_FOUND",
    "UNSUPPORTED",
    "CRITERIA_FAILED",
    "OVERLOADED",
    "UNAVAILABLE",
    "DEADLINE",
    "INTERRUPTED",
    "IO",
    "NATIVE",
    "INTERNAL",
  ),
  message: text,
  hint: Type.Optional(text),
});
const values = Type.Array(
  Type.Object({
    name: text,
    kind: oneOf("tensor", "double", "int64", "string", "sequence", "dictionary"),
    dtype: Type.Optional(dtype),
    element: Type.Optional(element),
    shape,
    blob: index,
  }),
  { maxItems: 10_000 },
);

const headSchema = Type.Object({
  recordedAt: Type.String({ pattern: "^\\d{4}-\\d\\d-\\d\\dT[0-9:.]{1,20}Z$" }),
  tool: line,
  label: oneOf("Core ML", "stand-in", "portable", "remote"),
  engine: Type.Object({ name: line, version: line }),
  model: Type.Object({
    name: line,
    digest: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
    description,
    metadata: Type.Object({ description: text, version: text, author: text, license: text }),
    userDefined: Type.Array(Type.Tuple([text, text]), { maxItems: 10_000 }),
    labels: Type.Optional(Type.Object({ element, values: Type.Array(text, { maxItems }) })),
  }),
  host: Type.Optional(host),
  condition: Type.Optional(condition),
  /** Lengths, in the order of the bytes behind this. */
  blobs: Type.Array(count, { maxItems: defaultTapeLimits.tapeBlobs }),
  samples: Type.Array(Type.Object({ inputs: values, states: values }), { maxItems }),
  answers: Type.Array(Type.Object({ outputs: values, states: values }), { maxItems }),
  failures: Type.Array(failure, { maxItems }),
  recordings: Type.Array(
    Type.Object({
      functionName: text,
      requested: device,
      device: line,
      compileMs: ms,
      loadMs: ms,
      failure: Type.Optional(failure),
      plan: Type.Optional(plan),
      /** Sample, answer or (from -1 downwards) failure, milliseconds. */
      takes: Type.Array(Type.Tuple([index, Type.Integer({ minimum: -maxItems, maximum: maxItems }), ms]), {
        maxItems,
      }),
    }),
    { maxItems: 1_000 },
  ),
});

export type TapeHead = Static<typeof headSchema>;
export type ValueRow = Static<typeof values>[number];

const check = TypeCompiler.Compile(headSchema);

export function isHead(value: unknown): value is TapeHead {
  return check.Check(value);
}

/** "/recordings/0/takes: Expected array" */
export function findHeadProblem(value: unknown): string {
  const first = check.Errors(value).First();
  return first === undefined ? "it has another form" : `${first.path.slice(0, 100)}: ${first.message}`;
}
