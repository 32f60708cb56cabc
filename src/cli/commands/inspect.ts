// coremlx inspect: what a model takes, gives, remembers and is made of, and which engine can run it.

import { formatBytes } from "../../core/quantity.ts";
import { resolve } from "node:path";
import type { FeatureDescription, FunctionDescription } from "../../core/model.ts";
import { describeType } from "../../codecs/convert.ts";
import { type InspectOptions, type Inspection, inspectModel } from "../../runtime/inspect.ts";
import type { DeviceRequest } from "../../engines/engine.ts";
import { command, engineFlags } from "../command.ts";
import { type Io, type Paint, painter, plain, plainLine, table, unlessInterrupted } from "../output.ts";
import { findModel } from "../paths.ts";
import { describePlan } from "../plan-text.ts";
import { cacheDirOf, type SessionFlags } from "../session.ts";

export const inspect = command({
  meta: { name: "inspect", description: "Show what a model takes, gives and is made of" },
  positionals: [{ name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true }],
  flags: {
    ops: { type: "boolean", description: "list every op in execution order" },
    digest: { type: "boolean", description: "compute the SHA-256 of the model's files" },
    plan: { type: "boolean", description: "ask Core ML where each op would run (on a Mac)" },
    device: { ...engineFlags.device, description: "where it may run, for --plan" },
    function: { ...engineFlags.function, description: "function of a multifunction model, for --plan" },
    coreml: engineFlags.coreml,
    "cache-dir": engineFlags["cache-dir"],
  },
  examples: [
    "coremlx inspect examples/digits/Digits.mlpackage",
    "coremlx inspect examples/digits/Digits.mlpackage --ops",
    "coremlx inspect examples/digits/Digits.mlpackage --json",
  ],
  async run({ flags, positionals, io }) {
    const [path = ""] = positionals;
    const options = {
      withOps: flags.ops,
      withDigest: flags.digest || flags.json,
      plan: flags.plan ? planOptions(flags, io) : undefined,
    };
    const inspection = await unlessInterrupted(inspectModel(findModel(path, io.cwd), options), io.signal);
    if (flags.json) io.stdout(`${JSON.stringify({ schemaVersion: 1, ...inspection }, jsonReplacer)}\n`);
    else io.stdout(`${describe(inspection, painter(io, flags.color, "stdout"))}\n`);
  },
});

function planOptions(
  flags: Pick<SessionFlags, "coreml" | "cache-dir"> & {
    readonly device: DeviceRequest;
    readonly function: string | undefined;
  },
  io: Io,
): NonNullable<InspectOptions["plan"]> {
  return {
    functionName: flags.function,
    device: flags.device,
    engine: {
      engine: "coreml",
      coremlPath: flags.coreml === undefined ? undefined : resolve(io.cwd, flags.coreml),
      cacheDir: cacheDirOf(flags["cache-dir"], io),
    },
  };
}

function describe(inspection: Inspection, paint: Paint): string {
  const { description, path, container, byteLength, digest } = inspection;
  const { metadata } = description;
  const facts: (readonly [string, string])[] = [
    ["kind", description.kind],
    ["specification", `version ${description.specificationVersion}`],
    ["file", `${container}, ${formatBytes(byteLength)}`],
    ["digest", digest ?? ""],
    ["description", metadata.description],
    ["version", metadata.version],
    ["author", metadata.author],
    ["license", metadata.license],
    ["updatable", description.isUpdatable ? "yes" : ""],
    ["classes", classText(inspection)],
  ];
  const sections = [paint("bold", plainLine(path)), table(nonEmpty(facts))];
  for (const fn of description.functions) sections.push(describeFunction(fn, inspection, paint));
  if (inspection.weights.length > 0) sections.push(describeWeights(inspection, paint));
  if (inspection.ops.length > 0) sections.push(describeOps(inspection, paint));
  if (inspection.plan) sections.push(describePlan(inspection.plan, paint));
  sections.push(describeEngines(inspection, paint));
  for (const warning of inspection.warnings)
    sections.push(`${paint("yellow", "note:")} ${plainLine(warning)}`);
  if (metadata.userDefined.size > 0) {
    const rows = [...metadata.userDefined].map(([key, value]) => [
      `  ${plainLine(key)}`,
      shorten(plainLine(value)),
    ]);
    sections.push(`${paint("bold", "metadata")}\n${table(rows)}`);
  }
  return sections.join("\n\n");
}

function describeFunction(fn: FunctionDescription, inspection: Inspection, paint: Paint): string {
  const { functions, defaultFunction } = inspection.description;
  const isAlone = functions.length === 1;
  const isDefault = fn.name === defaultFunction;
  const title = isAlone
    ? []
    : [paint("bold", `function ${plainLine(fn.name)}${isDefault ? " (default)" : ""}`)];
  const groups = [
    describeFeatures("inputs", fn.inputs, paint),
    describeFeatures("outputs", fn.outputs, paint),
    ...(fn.states.length > 0 ? [describeFeatures("states", fn.states, paint)] : []),
  ];
  return [...title, ...groups].join("\n");
}

function describeFeatures(title: string, features: readonly FeatureDescription[], paint: Paint): string {
  if (features.length === 0) return `${paint("bold", title)}: none`;
  const rows = features.map((feature) => [
    `  ${plainLine(feature.name)}`,
    `${describeType(feature.type)}${feature.isOptional ? " (optional)" : ""}`,
    paint("dim", plainLine(feature.description)),
  ]);
  return `${paint("bold", title)}\n${table(rows)}`;
}

function describeWeights({ weights }: Inspection, paint: Paint): string {
  const rows = weights.map(({ dtype, tensors, elements, bytes }) => [
    `  ${dtype}`,
    `${tensors} tensors`,
    `${elements.toLocaleString("en")} elements`,
    formatBytes(bytes),
  ]);
  return `${paint("bold", "weights")}\n${table(rows, { right: [1, 2, 3] })}`;
}

function describeOps({ ops, operations }: Inspection, paint: Paint): string {
  const total = ops.reduce((sum, row) => sum + row.count, 0);
  const rows = ops.map(({ type, count, isPortable }) => [
    `  ${plainLine(type)}`,
    String(count),
    isPortable ? paint("green", "portable") : paint("yellow", "Core ML only"),
  ]);
  const histogram = `${paint("bold", `ops (${total})`)}\n${table(rows, { right: [1] })}`;
  if (operations === undefined) return histogram;
  const list = operations.map(({ fn, name, type, outputs }, index) => [
    `  ${index}`,
    plainLine(type),
    plainLine(name),
    plainLine(outputs),
    paint("dim", plainLine(fn)),
  ]);
  return `${histogram}\n\n${paint("bold", "operations in order")}\n${table(list)}`;
}

function describeEngines({ engines }: Inspection, paint: Paint): string {
  const rows = Object.entries(engines).map(([name, { isSupported, reason }]) => [
    `  ${name}`,
    isSupported ? paint("green", "runs it") : paint("yellow", "cannot run it"),
    plain(reason),
  ]);
  return `${paint("bold", "engines")}\n${table(rows)}`;
}

function classText({ description }: Inspection): string {
  const labels = description.classLabels;
  if (labels === undefined) return "";
  const shown = labels.slice(0, 8).map(String);
  return `${labels.length}: ${shown.join(", ")}${labels.length > shown.length ? ", …" : ""}`;
}

function nonEmpty(rows: readonly (readonly [string, string])[]): readonly (readonly string[])[] {
  return rows
    .filter(([, value]) => value !== "")
    .map(([key, value]) => [`  ${key}`, shorten(plainLine(value))]);
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}

/** Maps become objects, exact integers beyond 2^53 strings. */
function jsonReplacer(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value);
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value;
}
