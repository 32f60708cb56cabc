// Everything a model's file says, without loading it into an engine.

import { CoremlxError } from "../core/errors.ts";
import type { ModelDescription } from "../core/model.ts";
import type { ComputePlan } from "../engines/compute-plan.ts";
import type { PlanOptions } from "../engines/engine.ts";
import { type EngineOptions, openEngine } from "../engines/select.ts";
import type { MilBlock, MilOp, MilProgram, MilType } from "../formats/mil.ts";
import type { Model, ModelBody, WeightSummary } from "../formats/model.ts";
import { computeDigest, openModel } from "../formats/open.ts";
import { countOps, summarizeWeights } from "../formats/summary.ts";
import { milOps } from "../lowering/registry.ts";

export interface InspectOptions {
  readonly withOps?: boolean | undefined;
  readonly withDigest?: boolean | undefined;
  /** Also asks this engine where the operations would run; blocks for as long as it takes to compile the model. */
  readonly plan?: (PlanOptions & { readonly engine: EngineOptions }) | undefined;
}

export interface OpCount {
  readonly type: string;
  readonly count: number;
  /** The portable engine has a lowering for it. */
  readonly isPortable: boolean;
}

export interface OperationRow {
  readonly fn: string;
  readonly type: string;
  readonly name: string;
  /** Declared types of the results: "float16 [1, 8]". */
  readonly outputs: string;
}

export interface EngineSupport {
  readonly isSupported: boolean;
  readonly reason: string;
}

export interface Inspection {
  readonly path: string;
  readonly container: Model["container"];
  readonly byteLength: number;
  readonly digest: string | undefined;
  readonly description: ModelDescription;
  readonly weights: readonly WeightSummary[];
  /** All functions together, most frequent first; constants are left out. */
  readonly ops: readonly OpCount[];
  readonly operations: readonly OperationRow[] | undefined;
  readonly engines: Readonly<Record<"coreml" | "portable", EngineSupport>>;
  readonly warnings: readonly string[];
  /** Where it was asked for. */
  readonly plan?: ComputePlan;
}

/** Errors: BAD_MODEL with the reason, for anything that is no model. */
export async function inspectModel(path: string, options: InspectOptions = {}): Promise<Inspection> {
  using model = await openModel(path);
  const ops = sumOps(model);
  return {
    path: model.path,
    container: model.container,
    byteLength: model.byteLength,
    digest: options.withDigest ? await computeDigest(model) : undefined,
    description: model.description,
    weights: summarizeWeights(model),
    ops,
    operations: options.withOps ? listOperations(model.body) : undefined,
    engines: {
      coreml: { isSupported: true, reason: "on a Mac with Apple silicon" },
      portable: portableSupport(model.body, model.description.kind, ops),
    },
    warnings: warningsOf(model.body),
    ...(options.plan && { plan: await planModel(model, options.plan) }),
  };
}

async function planModel(
  model: Model,
  { engine: options, ...wanted }: NonNullable<InspectOptions["plan"]>,
): Promise<ComputePlan> {
  await using engine = await openEngine(options);
  if (engine.plan) return await engine.plan(model, wanted);
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot plan the model: the ${engine.name} engine runs all of it on the CPU`,
    {
      hint: "Use --engine coreml on a Mac",
    },
  );
}

function sumOps(model: Model): readonly OpCount[] {
  const isProgram = hasOnlyPrograms(model.body);
  const counts = new Map<string, number>();
  for (const histogram of countOps(model).values()) {
    for (const [type, count] of histogram) {
      if (type !== "const") counts.set(type, (counts.get(type) ?? 0) + count);
    }
  }
  return [...counts]
    .map(([type, count]) => ({ type, count, isPortable: isProgram && milOps.has(type) }))
    .toSorted((a, b) => b.count - a.count || a.type.localeCompare(b.type));
}

function hasOnlyPrograms(body: ModelBody): boolean {
  if (body.kind === "pipeline") return body.stages.every((stage) => hasOnlyPrograms(stage.body));
  return body.kind === "mlProgram";
}

function portableSupport(body: ModelBody, kind: string, ops: readonly OpCount[]): EngineSupport {
  if (body.kind === "private") return { isSupported: false, reason: body.reason };
  if (!hasOnlyPrograms(body)) return { isSupported: false, reason: `a ${kind} is not an ML program` };
  const missing = ops.filter((op) => !op.isPortable);
  if (missing.length === 0) return { isSupported: true, reason: "every op has a lowering" };
  return {
    isSupported: false,
    reason: `no lowering for ${missing.map((op) => `${op.type} (${op.count})`).join(", ")}`,
  };
}

function listOperations(body: ModelBody): readonly OperationRow[] {
  if (body.kind === "pipeline") return body.stages.flatMap((stage) => listOperations(stage.body));
  return body.kind === "mlProgram" ? programOperations(body.program) : [];
}

function programOperations(program: MilProgram): readonly OperationRow[] {
  const rows: OperationRow[] = [];
  for (const fn of program.functions.values()) {
    visitOps(fn.block, (op) => {
      if (op.type === "const") return;
      const name = op.attributes.get("name");
      const ownName = name?.kind === "strings" ? name.values[0] : undefined;
      rows.push({
        fn: fn.name,
        type: op.type,
        name: op.outputs[0]?.name ?? ownName ?? "",
        outputs: op.outputs.map((output) => typeText(output.type)).join(", "),
      });
    });
  }
  return rows;
}

/**
 * Constants with infinities: IEEE makes NaN of 0 times infinity, where the source framework meant "masked". In single
 * precision the portable engine takes small ones for the largest number that fits, as the lowering says.
 */
function warningsOf(body: ModelBody): readonly string[] {
  if (body.kind === "pipeline") return body.stages.flatMap((stage) => warningsOf(stage.body));
  if (body.kind !== "mlProgram") return [];
  const names: string[] = [];
  for (const fn of body.program.functions.values()) {
    visitOps(fn.block, (op) => {
      if (op.type === "const" && hasInfinity(op)) names.push(op.outputs[0]?.name ?? "?");
    });
  }
  if (names.length === 0) return [];
  const list = names.slice(0, 5).join(", ");
  return [
    `infinite constants (${list}${names.length > 5 ? ", …" : ""}): where they meet a zero, engines may differ: IEEE makes NaN of it`,
  ];
}

/** Small constants only: large ones are weights, and stay unread. */
const scannedBytes = 4_096;

function hasInfinity(op: MilOp): boolean {
  const value = op.attributes.get("val");
  if (value?.kind !== "tensor" || value.bytes.byteLength > scannedBytes) return false;
  if (value.dtype === "float16") {
    for (let i = 0; i + 1 < value.bytes.length; i += 2) {
      if ((value.bytes[i] ?? 0) === 0 && ((value.bytes[i + 1] ?? 0) & 0x7f) === 0x7c) return true;
    }
  }
  if (value.dtype === "float32") {
    const view = new DataView(value.bytes.buffer, value.bytes.byteOffset, value.bytes.byteLength);
    for (let i = 0; i + 3 < view.byteLength; i += 4) {
      if (Math.abs(view.getFloat32(i, true)) === Number.POSITIVE_INFINITY) return true;
    }
  }
  return false;
}

function visitOps(block: MilBlock, visit: (op: MilOp) => void): void {
  for (const op of block.operations) {
    visit(op);
    for (const nested of op.blocks) visitOps(nested, visit);
  }
}

function typeText(type: MilType): string {
  switch (type.kind) {
    case "tensor":
      return `${type.dtype} [${type.shape === undefined ? "…" : type.shape.map((dim) => dim ?? "?").join(", ")}]`;
    case "state":
      return `state ${typeText(type.wrapped)}`;
    case "list":
      return `list of ${typeText(type.element)}`;
    case "tuple":
      return `(${type.elements.map(typeText).join(", ")})`;
    case "dictionary":
      return `dictionary of ${typeText(type.key)} to ${typeText(type.value)}`;
  }
}
