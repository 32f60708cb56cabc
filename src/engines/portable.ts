// The portable engine: a model lowered to an ONNX graph and run by ONNX Runtime on the CPU.

import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import type { FeatureValues } from "../core/tensor.ts";
import type { MilFunction, MilProgram } from "../formats/mil.ts";
import type { Model, ModelBody, PipelineStage } from "../formats/model.ts";
import type { OnnxRuntime } from "../native/onnxruntime.ts";
import type { Precision } from "../lowering/scope.ts";
import type { Engine, LoadedModel, LoadOptions, PredictOptions, State } from "./engine.ts";
import { type GraphModel, type GraphOptions, loadGraph } from "./portable-graph.ts";
import { PipelineModel } from "./portable-pipeline.ts";

export interface PortableOptions {
  /** Owned by the engine from now on. */
  readonly runtime: OnnxRuntime;
  readonly precision?: Precision | undefined;
}

export class PortableEngine implements Engine {
  readonly name = "portable";
  readonly #runtime: OnnxRuntime;
  readonly #precision: Precision | undefined;

  constructor(options: PortableOptions) {
    this.#runtime = options.runtime;
    this.#precision = options.precision;
  }

  get version(): string {
    return `ONNX Runtime ${this.#runtime.version}`;
  }

  async load(model: Model, options: LoadOptions = {}): Promise<LoadedModel> {
    refuseDevice(options);
    const description = findFunction(model, options.functionName);
    const graphOptions = { runtime: this.#runtime, precision: this.#precision, threads: options.threads };
    return loadBody(model.body, description, model.description.kind, graphOptions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#runtime[Symbol.dispose]();
  }
}

/** Any body: a program as one graph, a pipeline as several in a row. */
export async function loadBody(
  body: ModelBody,
  description: FunctionDescription,
  kind: string,
  options: GraphOptions,
): Promise<LoadedModel> {
  switch (body.kind) {
    case "mlProgram":
      return new PortableModel(
        description,
        loadGraph(programFunction(body.program, description), description, options),
      );
    case "pipeline":
      return new PipelineModel(description, await loadStages(body.stages, options));
    case "message":
      throw new CoremlxError("UNSUPPORTED", `Cannot run this model on the portable engine: it is a ${kind}`, {
        hint: "The portable engine runs ML programs and pipelines of them; on a Mac use --engine coreml",
        details: { kind },
      });
    case "private":
      throw new CoremlxError("UNSUPPORTED", `Cannot run this model on the portable engine: ${body.reason}`, {
        hint: "Use the source .mlmodel or .mlpackage, or run it on a Mac with --engine coreml",
        details: { kind },
      });
  }
}

async function loadStages(
  stages: readonly PipelineStage[],
  options: GraphOptions,
): Promise<readonly LoadedModel[]> {
  const loaded: LoadedModel[] = [];
  try {
    for (const { name, description, body } of stages) {
      const [fn] = description.functions;
      if (fn === undefined)
        throw new CoremlxError("BAD_MODEL", `Cannot run stage "${name}": it has no function`);
      loaded.push(await loadBody(body, fn, description.kind, options));
    }
    return loaded;
  } catch (error) {
    for (const stage of loaded) await stage[Symbol.asyncDispose]();
    throw error;
  }
}

/** The description of a function by name, or of the default one. Throws NOT_FOUND with the names there are. */
export function findFunction(model: Model, name: string | undefined): FunctionDescription {
  const { functions, defaultFunction } = model.description;
  const wanted = name ?? defaultFunction;
  const found = functions.find((candidate) => candidate.name === wanted);
  if (found) return found;
  const names = functions.map((candidate) => `"${candidate.name}"`).join(", ");
  throw new CoremlxError("NOT_FOUND", `Cannot find function "${wanted}" in ${model.path}: it has ${names}`, {
    details: { function: wanted, functions: functions.map((candidate) => candidate.name) },
  });
}

/** The program's function for a description. */
export function programFunction(program: MilProgram, description: FunctionDescription): MilFunction {
  const fn = program.functions.get(description.name);
  if (fn) return fn;
  const [only, second] = [...program.functions.values()];
  if (only && second === undefined) return only;
  throw new CoremlxError(
    "BAD_MODEL",
    `Cannot run function "${description.name}": the program does not define it`,
  );
}

class PortableModel implements LoadedModel {
  readonly device = "cpu";
  readonly function: FunctionDescription;
  readonly #graph: GraphModel;

  constructor(description: FunctionDescription, graph: GraphModel) {
    this.function = description;
    this.#graph = graph;
  }

  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    options.signal?.throwIfAborted();
    return this.#graph.run(inputs, options.state);
  }

  newState(): State {
    return this.#graph.newState();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#graph[Symbol.dispose]();
  }
}

function refuseDevice(options: LoadOptions): void {
  const device = options.device ?? "auto";
  if (device === "auto" || device === "cpu") return;
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot load on device "${device}": the portable engine runs on the CPU`,
    {
      hint: "Leave --device out, or use --engine coreml on a Mac",
    },
  );
}
