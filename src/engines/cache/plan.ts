// What an entry must say for a model to be used without its file: interface, graphs, and how features travel through
// them. As JSON, with the few values that JSON does not have.

import type { FunctionDescription, ModelDescription } from "../../core/model.ts";
import type { Model } from "../../formats/model.ts";
import type { GraphPorts } from "../engine.ts";

export const planName = "plan.json";

export interface CompiledPlan {
  readonly container: Model["container"];
  readonly byteLength: number;
  readonly description: ModelDescription;
  readonly body: PlannedBody;
}

/** What runs: one graph, or several in a row. */
export type PlannedBody =
  | {
      readonly kind: "graph";
      readonly function: FunctionDescription;
      readonly ports: GraphPorts;
      readonly graph: PlannedGraph;
    }
  | {
      readonly kind: "pipeline";
      readonly function: FunctionDescription;
      readonly stages: readonly PlannedBody[];
    };

export interface PlannedGraph {
  /** The file with the ONNX model. */
  readonly name: string;
  /**
   * optimized: as ONNX Runtime left it, for this kind of CPU, its weights in the entry. lowered: as lowering wrote it, its
   * weights in the model's own files, in `weightFolder` relative to the model's folder (undefined: in the graph itself).
   */
  readonly form: "optimized" | "lowered";
  readonly weightFolder: string | undefined;
}

export function encodePlan(plan: CompiledPlan): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(plan, encodeValue));
}

/** Only for bytes whose digest says that `encodePlan` made them. */
export function decodePlan(bytes: Uint8Array): CompiledPlan {
  return JSON.parse(new TextDecoder().decode(bytes), decodeValue) as CompiledPlan;
}

/** No object of a plan has a member of this name; everything named by a model is the key of a Map or a string. */
const tag = "$";

function encodeValue(_key: string, value: unknown): unknown {
  if (value instanceof Map) return { [tag]: "map", entries: [...value] };
  if (typeof value === "bigint") return { [tag]: "int", value: String(value) };
  if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { [tag]: "number", value: Object.is(value, -0) ? "-0" : String(value) };
  }
  return value;
}

interface Tagged {
  readonly [tag]: "map" | "int" | "number";
  readonly entries: readonly (readonly [unknown, unknown])[];
  readonly value: string;
}

function decodeValue(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !(tag in value)) return value;
  const tagged = value as Tagged;
  switch (tagged[tag]) {
    case "map":
      return new Map(tagged.entries);
    case "int":
      return BigInt(tagged.value);
    case "number":
      return Number(tagged.value);
  }
}
