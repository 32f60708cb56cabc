// The cold half of the compile cache: a model's body becomes files that load without it.

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join, relative } from "node:path";
import { byteLengthOf } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import type { FunctionDescription } from "../../core/model.ts";
import { elementCount } from "../../core/tensor.ts";
import type { MilFunction } from "../../formats/mil.ts";
import type { ModelBody } from "../../formats/model.ts";
import { lower } from "../../lowering/lower.ts";
import { type Precision, precisionToRun } from "../../lowering/scope.ts";
import type { OnnxRuntime, OrtSession } from "../../native/onnxruntime.ts";
import type { Graph } from "../../onnx/graph.ts";
import { isGraph, prune } from "../../onnx/prune.ts";
import { commonFolder, serializeForExport, serializeModel } from "../../onnx/serialize.ts";
import { programFunction, stageFunction } from "../portable.ts";
import { removeTree } from "./files.ts";
import type { PlannedBody, PlannedGraph } from "./plan.ts";

export interface CompileOptions {
  readonly runtime: Pick<OnnxRuntime, "createSession">;
  readonly precision: Precision;
  /** Where the files go. */
  readonly folder: string;
  /** The model's folder, which weights outside of the entry lie in. */
  readonly modelFolder: string;
  /** Put all weights into the folder, also where the graph could use those of the model. */
  readonly isComplete?: boolean | undefined;
  /** Why so many bytes cannot be kept, if so. */
  readonly refusal: (byteLength: number) => string | undefined;
}

/** Shapes and other small constants stay in the graph, where ONNX Runtime sees their values. */
const minWeightBytes = 1024;

/**
 * Writes the graphs of a function. undefined: there is nothing in this kind of body that could be kept. Throws what
 * lowering throws; IO where the result cannot be kept; NATIVE where ONNX Runtime can neither load nor write it.
 */
export function compileBody(
  body: ModelBody,
  fn: FunctionDescription,
  options: CompileOptions,
): PlannedBody | undefined {
  let graphs = 0;
  const compile = (inner: ModelBody, description: FunctionDescription): PlannedBody | undefined => {
    if (inner.kind === "mlProgram") {
      const milFunction = programFunction(inner.program, description);
      return { kind: "graph", function: description, ...compileGraph(milFunction, graphs++, options) };
    }
    if (inner.kind !== "pipeline") return undefined;
    const stages: PlannedBody[] = [];
    for (const stage of inner.stages) {
      const planned = compile(stage.body, stageFunction(stage));
      if (planned === undefined) return undefined;
      stages.push(planned);
    }
    return { kind: "pipeline", function: description, stages };
  };
  return compile(body, fn);
}

function compileGraph(fn: MilFunction, index: number, options: CompileOptions) {
  const { graph, ...ports } = lower(fn, { precision: precisionToRun(options.precision) });
  const planned = hasBodies(graph) ? undefined : writeOptimized(graph, index, options);
  return { ports, graph: planned ?? writeLowered(graph, index, options) };
}

/**
 * ONNX Runtime does what it would do at every load, and writes down what came out: constants folded, half-precision
 * weights widened, convolutions laid out for this CPU. undefined where it writes what it cannot read.
 */
function writeOptimized(graph: Graph, index: number, options: CompileOptions): PlannedGraph | undefined {
  const { runtime, folder, refusal } = options;
  const refused = refusal(widenedBytes(graph));
  if (refused !== undefined) throw new CoremlxError("IO", `Cannot keep the compiled model: ${refused}`);
  const names = { graph: `${index}.onnx`, weights: `${index}.bin` };
  const weightFolder = commonFolder(graph);
  const external = weightFolder === undefined ? undefined : { folder: weightFolder };
  const { bytes } = serializeModel(graph, { external });
  using session = runtime.createSession(bytes, {
    externalDataFolder: weightFolder,
    saveOptimized: { folder, graphName: names.graph, weightsName: names.weights, minWeightBytes },
  });
  if (canLoad(session, names.graph, options)) {
    return { name: names.graph, form: "optimized", weightFolder: undefined };
  }
  for (const name of Object.values(names)) removeTree(join(folder, name));
  return undefined;
}

/** Whether what was written loads, and takes and gives the same. */
function canLoad(original: OrtSession, name: string, { runtime, folder }: CompileOptions): boolean {
  try {
    const bytes = new Uint8Array(readFileSync(join(folder, name)));
    using written = runtime.createSession(bytes, {
      externalDataFolder: folder,
      optimization: "none",
      threads: 1,
    });
    return describe(written) === describe(original);
  } catch {
    return false; // its reason is ONNX Runtime's own affair
  }
}

function describe({ inputs, outputs }: OrtSession): string {
  return JSON.stringify([inputs, outputs]);
}

/** Saves reading and lowering the model; its weights stay where they are. */
function writeLowered(graph: Graph, index: number, options: CompileOptions): PlannedGraph {
  const name = `${index}.onnx`;
  const place = (file: string) => join(options.folder, file);
  if (options.isComplete) {
    const { model, data } = serializeForExport(graph, String(index));
    keep(place(name), [model], options);
    if (data) keep(place(data.name), data.chunks, options);
    return { name, form: "lowered", weightFolder: undefined };
  }
  const folder = commonFolder(graph);
  const weightFolder = folder === undefined ? undefined : relative(options.modelFolder, folder);
  if (weightFolder?.startsWith("..")) {
    throw new CoremlxError("IO", "Cannot keep the compiled model: its weights lie outside of its folder");
  }
  const { bytes } = serializeModel(graph, { external: folder === undefined ? undefined : { folder } });
  keep(place(name), [bytes], options);
  return { name, form: "lowered", weightFolder };
}

function keep(path: string, chunks: Iterable<Uint8Array>, { refusal }: CompileOptions): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (const chunk of chunks) {
      const refused = refusal(chunk.byteLength);
      if (refused !== undefined) throw new CoremlxError("IO", `Cannot keep the compiled model: ${refused}`);
      for (let at = 0; at < chunk.byteLength; ) at += writeSync(fd, chunk, at);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Graphs within nodes (If, Loop): ONNX Runtime 1.27 writes some of them with names used twice, which it then refuses to
 * read. None of them is optimised ahead, so that no half-right one gets in.
 */
function hasBodies(graph: Graph): boolean {
  return graph.nodes.some((node) => Object.values(node.attributes).some(isGraph));
}

/** An upper bound for weights once every narrow number is a float32, graph not counted. */
function widenedBytes(graph: Graph): number {
  let sum = 0;
  for (const { dtype, shape } of prune(graph).initializers.values()) {
    const count = elementCount(shape);
    sum += Math.max(byteLengthOf(dtype, count), 4 * count);
  }
  return sum;
}
