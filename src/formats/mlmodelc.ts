// .mlmodelc: a compiled model. An ML program is there as text and opens whole; what else Apple's compiler writes is
// private, so such a model opens with its interface alone.

import { realpathSync } from "node:fs";
import { dirname, posix, relative, sep } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { ClassLabels, FunctionDescription, ModelDescription, ModelKind } from "../core/model.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { badModel, quote } from "./bad-model.ts";
import {
  type CompiledData,
  type CompiledFacts,
  parseCompiledData,
  parseStageNames,
} from "./compiled-data.ts";
import { type CompiledMetadata, parseMetadata } from "./compiled-metadata.ts";
import { readDescription } from "./description.ts";
import { type Enclosure, fileError, listInside, openInside, readFile } from "./file-access.ts";
import type { ModelDescription as DescriptionMessage } from "./gen/Model_pb.ts";
import { limitsOf, newestSpecificationVersion, type OpenOptions } from "./limits.ts";
import { classLabelsOf } from "./mil-protobuf.ts";
import { parseMilText } from "./mil-text.ts";
import type { MilProgram } from "./mil.ts";
import type { Model, ModelBody, PipelineStage } from "./model.ts";
import { describeProgram, specificationVersionOf } from "./program-interface.ts";
import { lfsPointerError } from "./sniff.ts";
import { WeightFiles } from "./weight-files.ts";

/** Opens a compiled model. Throws BAD_MODEL with a reason without the path. */
export function openCompiledModel(path: string, options?: OpenOptions): Model {
  let root: string;
  try {
    root = realpathSync(path);
  } catch (error) {
    throw fileError(error, path);
  }
  const enclosure: Enclosure = {
    root,
    limits: limitsOf(options),
    allowOutsideLinks: options?.allowOutsideLinks ?? false,
  };
  const sizes = listInside(enclosure, ".");
  const weights = new WeightFiles({ enclosure, modelFolder: ".", fallbackFolders: ["weights"] });
  try {
    const names = [...sizes.keys()].map((file) => relative(root, file).replaceAll(sep, "/"));
    const reader = new CompiledReader({ enclosure, names, weights, telemetry: options?.telemetry });
    const contents = reader.read("", 0);
    return {
      path,
      container: "mlmodelc",
      ...contents,
      files: [...sizes.keys()].toSorted(),
      byteLength: sizes.values().reduce((sum, size) => sum + size, 0),
      [Symbol.dispose]: () => weights[Symbol.dispose](),
    };
  } catch (error) {
    weights[Symbol.dispose]();
    throw error;
  }
}

interface ReaderOptions {
  readonly enclosure: Enclosure;
  /** Every file, relative to the root, "/" between the parts. */
  readonly names: readonly string[];
  readonly weights: WeightFiles;
  readonly telemetry: Telemetry | undefined;
}

/** What the describing files of one folder say, agreed upon. */
interface Interface extends CompiledFacts {
  readonly metadata: CompiledMetadata | undefined;
}

interface Contents {
  readonly description: ModelDescription;
  readonly body: ModelBody;
}

/** Reads a compiled model and those nested in it. Folders are given relative to the root, "" being the root itself. */
class CompiledReader {
  readonly #options: ReaderOptions;
  readonly #files: ReadonlySet<string>;
  readonly #folders: ReadonlySet<string>;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#files = new Set(options.names);
    this.#folders = new Set(options.names.map((name) => dirname(name)));
  }

  read(folder: string, depth: number): Contents {
    const { limits } = this.#options.enclosure;
    if (depth > limits.maxPipelineDepth)
      throw badModel(`pipelines are nested more than ${limits.maxPipelineDepth} deep`);
    const found = this.#interface(folder);
    const program = mayBeProgram(found) ? this.#program(folder) : undefined;
    if (found === undefined && program === undefined)
      throw badModel(`${quote(posix.join(folder, dataName))} does not exist`);
    const kind = found?.kind ?? (program === undefined ? undefined : "mlProgram");
    if (kind === undefined) throw badModel("it does not say what kind of model it is");
    const version = found?.specificationVersion ?? (program && specificationVersionOf(program));
    refuseVersion(version);
    const body = this.#body(folder, depth, { kind, program });
    const description = readDescription(
      found?.description ?? (program && describeProgram(program)),
      {
        kind,
        specificationVersion: version,
        isUpdatable: found?.metadata?.isUpdatable ?? false,
        classLabels: undefined,
      },
      limits,
    );
    const functions =
      program === undefined ? description.functions : withProgramShapes(description.functions, program);
    const classLabels = labelsOf(body, description.defaultFunction, found?.metadata);
    return { body, description: { ...description, functions, classLabels } };
  }

  #interface(folder: string): Interface | undefined {
    const problems: CoremlxError[] = [];
    const attempt = <T>(read: () => T): T | undefined => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof CoremlxError)) throw error;
        problems.push(error);
        return undefined;
      }
    };
    const data = attempt(() => this.#data(folder));
    const metadata = attempt(() => this.#metadata(folder));
    const [problem] = problems;
    if (problem !== undefined && data === undefined && metadata === undefined) throw problem;
    if (problem !== undefined) this.#warn("a describing file of the model cannot be used", problem.message);
    return this.#agree(data, metadata);
  }

  /** coremldata.bin is what Core ML itself reads, and more exact; metadata.json vouches for it where it was searched. */
  #agree(data: CompiledData | undefined, metadata: CompiledMetadata | undefined): Interface | undefined {
    const other = data ?? metadata;
    if (other === undefined) return undefined;
    const doubt = data !== undefined && metadata !== undefined ? difference(data, metadata) : undefined;
    if (doubt !== undefined) this.#warn("coremldata.bin and metadata.json disagree", doubt);
    const isDoubtful = doubt !== undefined && data?.isExact === false;
    return {
      kind: data?.kind ?? metadata?.kind,
      specificationVersion: data?.specificationVersion ?? metadata?.specificationVersion,
      description: isDoubtful && metadata !== undefined ? metadata.description : other.description,
      metadata,
    };
  }

  #data(folder: string): CompiledData | undefined {
    const name = posix.join(folder, dataName);
    const bytes = this.#read(name, MAX_DATA_BYTES);
    return bytes && parseCompiledData(bytes, name, this.#options.enclosure.limits);
  }

  #metadata(folder: string): CompiledMetadata | undefined {
    const name = posix.join(folder, metadataName);
    const bytes = this.#read(name, MAX_METADATA_BYTES);
    return bytes && parseMetadata(textOf(bytes, name), name);
  }

  #program(folder: string): MilProgram | undefined {
    const { enclosure, weights } = this.#options;
    const name = posix.join(folder, programName);
    const bytes = this.#read(name, enclosure.limits.maxProgramTextBytes);
    if (bytes === undefined) return undefined;
    return parseMilText(textOf(bytes, name), {
      fileName: name,
      limits: enclosure.limits,
      resolveBlob: (fileName, offset, dtype, shape) =>
        weights.get(weightName(folder, fileName)).read(offset, dtype, shape),
    });
  }

  #body(folder: string, depth: number, found: BodyFacts): ModelBody {
    if (found.program !== undefined) return { kind: "mlProgram", program: found.program };
    if (found.kind === "mlProgram") {
      throw badModel(`${quote(posix.join(folder, programName))} does not exist`, {
        hint: "Copy the whole folder again, it is incomplete",
      });
    }
    if (pipelineKinds.has(found.kind)) return { kind: "pipeline", stages: this.#stages(folder, depth) };
    const isEspresso = this.#files.has(posix.join(folder, espressoName));
    const what = isEspresso
      ? `a neural network in Espresso's private format (${espressoName})`
      : `a compiled ${found.kind}`;
    return { kind: "private", reason: `it is ${what}, which only Core ML itself can read` };
  }

  #stages(folder: string, depth: number): PipelineStage[] {
    const { limits } = this.#options.enclosure;
    const namesFile = posix.join(folder, stageNamesName);
    const namesBytes = this.#read(namesFile, MAX_METADATA_BYTES);
    const names = namesBytes && parseStageNames(namesBytes, limits);
    const stages: PipelineStage[] = [];
    for (let index = 0; this.#folders.has(posix.join(folder, `model${index}`)); index++) {
      if (index >= limits.maxPipelineStages)
        throw badModel(`it is a pipeline of more than ${limits.maxPipelineStages} models`);
      const inner = posix.join(folder, `model${index}`);
      stages.push({ name: names?.[index] || `model${index}`, ...this.read(inner, depth + 1) });
    }
    const expected = names?.length ?? Math.max(stages.length, 1);
    if (stages.length === expected) return stages;
    throw badModel(
      `it is a pipeline of ${expected} models, of which the folders of ${stages.length} are there`,
      {
        hint: "Copy the whole folder again, it is incomplete",
      },
    );
  }

  #read(name: string, maxBytes: number): Uint8Array<ArrayBuffer> | undefined {
    if (!this.#files.has(name)) return undefined;
    using file = openInside(this.#options.enclosure, name);
    const bytes = readFile(file, maxBytes, name);
    const pointer = lfsPointerError(bytes, name);
    if (pointer !== undefined) throw pointer;
    return bytes;
  }

  #warn(event: DoubtEvent, reason: string): void {
    this.#options.telemetry?.log("warn", event, { reason });
  }
}

/** What a reader of a compiled model may have to say. */
type DoubtEvent =
  | "a describing file of the model cannot be used"
  | "coremldata.bin and metadata.json disagree";

interface BodyFacts {
  readonly kind: ModelKind;
  readonly program: MilProgram | undefined;
}

/** Should there be a model.mil? Of a model that says nothing of its kind, the text is looked for. */
function mayBeProgram(found: Interface | undefined): boolean {
  return found?.kind === undefined || found.kind === "mlProgram";
}

/** What the two descriptions say differently of the features, or undefined. */
function difference(data: CompiledData, metadata: CompiledMetadata): string | undefined {
  const ours = new Map(featuresOf(data.description));
  const theirs = new Map(featuresOf(metadata.description));
  for (const [name, type] of ours) {
    const other = theirs.get(name);
    if (other !== type) return `${name} is ${type} in one and ${other ?? "missing"} in the other`;
  }
  const extra = [...theirs.keys()].find((name) => !ours.has(name));
  return extra === undefined ? undefined : `${extra} is missing in one`;
}

/** Every feature of every function, with the kind of its type. */
function featuresOf(message: DescriptionMessage): [string, string][] {
  const functions = message.functions.length > 0 ? message.functions : [{ ...message, name: "main" }];
  return functions.flatMap((each) =>
    (["input", "output", "state"] as const).flatMap((role) =>
      each[role].map((feature): [string, string] => [
        `${role} ${quote(feature.name)} of ${quote(each.name)}`,
        feature.type?.Type.case ?? "untyped",
      ]),
    ),
  );
}

function refuseVersion(version: number | undefined): asserts version is number {
  if (version !== undefined && version >= 1 && version <= newestSpecificationVersion) return;
  if (version === undefined) throw badModel("it does not say which specification version it has");
  if (version < 1) throw badModel(`it has the specification version ${version}, so it is no Core ML model`);
  throw badModel(
    `it has specification version ${version}, the newest known is ${newestSpecificationVersion}`,
    {
      hint: "Use a newer coremlx, or compile the model for an older system",
      details: { specificationVersion: version },
    },
  );
}

/** A multi array that the description leaves without a shape has that of the program's input, if it is fixed. */
function withProgramShapes(
  functions: readonly FunctionDescription[],
  program: MilProgram,
): readonly FunctionDescription[] {
  return functions.map((each) => {
    const milFunction = program.functions.get(each.name);
    if (milFunction === undefined) {
      const names = [...program.functions.keys()].map((name) => quote(name)).join(", ");
      throw badModel(`it describes the function ${quote(each.name)}, its program has ${names}`, {
        details: { function: each.name },
      });
    }
    const inputs = each.inputs.map((input) => {
      const type = milFunction.inputs.find((parameter) => parameter.name === input.name)?.type;
      if (input.type.kind !== "multiArray" || input.type.shape.length > 0 || type?.kind !== "tensor")
        return input;
      const shape = type.shape ?? [];
      return shape.every((dim) => dim !== undefined) ? { ...input, type: { ...input.type, shape } } : input;
    });
    return { ...each, inputs };
  });
}

function labelsOf(
  body: ModelBody,
  defaultFunction: string,
  metadata: CompiledMetadata | undefined,
): ClassLabels | undefined {
  if (body.kind === "mlProgram") {
    const main = body.program.functions.get(defaultFunction);
    return (main && classLabelsOf(main)) ?? metadata?.classLabels;
  }
  if (body.kind !== "pipeline") return metadata?.classLabels;
  // The last one that has labels: the classifier, or the suppression stage of a detector.
  const stage = body.stages.findLast((each) => each.description.classLabels !== undefined);
  return stage?.description.classLabels ?? metadata?.classLabels;
}

/** What the program in `folder` calls a weight file, as seen from the root; ".." may lead to the root, no further. */
function weightName(folder: string, fileName: string): string {
  const inner = fileName.startsWith(`${modelPath}/`) ? fileName.slice(modelPath.length + 1) : fileName;
  if (inner.startsWith("/")) return inner; // refused by WeightFiles, as is what still begins with ".."
  return `${modelPath}/${posix.join(folder, inner)}`;
}

function textOf(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw badModel(`${quote(name)} is no UTF-8 text`, { cause: error });
  }
}

const modelPath = "@model_path";
const dataName = "coremldata.bin";
const metadataName = "metadata.json";
const programName = "model.mil";
const espressoName = "model.espresso.net";
const stageNamesName = "modelNames/coremldata.bin";
const pipelineKinds: ReadonlySet<ModelKind> = new Set([
  "pipeline",
  "pipelineClassifier",
  "pipelineRegressor",
]);
/** Of an ML program some hundred bytes; other kinds keep more in it. */
const MAX_DATA_BYTES = 2 ** 28;
/** User-defined metadata may hold whole vocabularies. */
const MAX_METADATA_BYTES = 2 ** 26;
