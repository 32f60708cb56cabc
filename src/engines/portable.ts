// The portable engine: a model lowered to an ONNX graph and run by ONNX Runtime on the CPU.

import { existsSync } from "node:fs";
import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import type { MilFunction, MilProgram } from "../formats/mil.ts";
import type { Model, ModelBody, PipelineStage } from "../formats/model.ts";
import type { OnnxRuntime } from "../native/onnxruntime.ts";
import type { Precision } from "../lowering/scope.ts";
import { compileCacheFolder, tryOpenCompileCache } from "./cache.ts";
import { identifyLibrary } from "./cache/key.ts";
import { wantsFilling } from "./fill-cache.ts";
import { findFunction } from "./find-function.ts";
import { loadCompiled } from "./load-file.ts";
import type {
  CompiledModel,
  Engine,
  LoadCompiledOptions,
  LoadedModel,
  LoadOptions,
  WantsCompilingOptions,
} from "./engine.ts";
import { type GraphOptions, loadGraph } from "./portable-graph.ts";
import { PipelineModel } from "./portable-pipeline.ts";

export interface PortableOptions {
  /** Owned by the engine from now on. */
  readonly runtime: OnnxRuntime;
  readonly precision?: Precision | undefined;
  /** Where compiled models are kept, and which library they were compiled for; without it none is looked for. */
  readonly compiled?: { readonly cacheDir: string; readonly libraryPath: string } | undefined;
}

export class PortableEngine implements Engine {
  readonly name = "portable";
  readonly #runtime: OnnxRuntime;
  readonly #precision: Precision | undefined;
  readonly #compiled: PortableOptions["compiled"];

  constructor(options: PortableOptions) {
    this.#runtime = options.runtime;
    this.#precision = options.precision;
    this.#compiled = options.compiled;
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

  loadCompiled(path: string, options: LoadCompiledOptions = {}): CompiledModel | undefined {
    refuseDevice(options);
    if (this.#compiled === undefined) return undefined;
    const { cacheDir, libraryPath } = this.#compiled;
    const folder = compileCacheFolder(cacheDir);
    if (!existsSync(folder)) return undefined;
    return loadCompiled(path, {
      cache: tryOpenCompileCache({ folder, telemetry: options.telemetry }),
      runtime: this.#runtime,
      library: identifyLibrary(libraryPath),
      precision: this.#precision,
      functionName: options.functionName,
      threads: options.threads,
      withDigest: options.withDigest,
      telemetry: options.telemetry,
    });
  }

  wantsCompiling(path: string, options: WantsCompilingOptions): boolean {
    if (this.#compiled === undefined) return false;
    const { cacheDir, libraryPath } = this.#compiled;
    return wantsFilling(path, {
      ...options,
      cacheDir,
      precision: this.#precision,
      runtime: this.#runtime,
      library: identifyLibrary(libraryPath),
    });
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
      return loadGraph(programFunction(body.program, description), description, options);
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
    for (const stage of stages) {
      loaded.push(await loadBody(stage.body, stageFunction(stage), stage.description.kind, options));
    }
    return loaded;
  } catch (error) {
    for (const stage of loaded) await stage[Symbol.asyncDispose]();
    throw error;
  }
}

/** The function of a pipeline's stage, which has one. */
export function stageFunction({ name, description }: PipelineStage): FunctionDescription {
  const [fn] = description.functions;
  if (fn !== undefined) return fn;
  throw new CoremlxError("BAD_MODEL", `Cannot run stage "${name}": it has no function`);
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
