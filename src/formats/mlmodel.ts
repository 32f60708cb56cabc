// The serialized `Model` message, alone in a .mlmodel file or inside a package, into what the rest of the program sees.

import { fromBinary } from "@bufbuild/protobuf";
import { basename, dirname } from "node:path";
import { realpathSync } from "node:fs";
import { CoremlxError, messageOf, reworded } from "../core/errors.ts";
import type { ClassLabels, FunctionDescription, ModelDescription, ModelKind } from "../core/model.ts";
import { badModel, quote } from "./bad-model.ts";
import { readDescription } from "./description.ts";
import {
  type Enclosure,
  fileError,
  mapFile,
  openRegularFile,
  type OpenFile,
  readFile,
} from "./file-access.ts";
import type { Int64Vector, StringVector } from "./gen/DataStructures_pb.ts";
import { type Model as ModelMessage, ModelSchema, type Pipeline } from "./gen/Model_pb.ts";
import { type FormatLimits, limitsOf, newestSpecificationVersion, type OpenOptions } from "./limits.ts";
import type { MilProgram } from "./mil.ts";
import { classLabelsOf, readProgram } from "./mil-protobuf.ts";
import type { Model, ModelBody, PipelineStage } from "./model.ts";
import { foreignFileError, sniffBytes } from "./sniff.ts";
import { WeightFiles } from "./weight-files.ts";
import { packBulkFields } from "./wire-pack.ts";
import { checkWire, peekFields, type WireVerdict } from "./wire.ts";

/** Up to here a model is read; beyond, mapped. Reading is safe against a file that is truncated meanwhile. */
const maxReadBytes = 16 * 2 ** 20;

/** The specification version in which ML programs appeared. */
const firstProgramVersion = 6;

export interface ModelContents {
  readonly description: ModelDescription;
  readonly body: ModelBody;
}

export interface ModelContext {
  readonly limits: FormatLimits;
  readonly weights: WeightFiles;
}

/** Opens a .mlmodel file. Weights of an ML program lie beside it. Throws BAD_MODEL with a reason without the path. */
export function openModelFile(path: string, options?: OpenOptions): Model {
  const limits = limitsOf(options);
  using file = openRegularFile(path, basename(path));
  let root: string;
  try {
    root = realpathSync(dirname(path));
  } catch (error) {
    throw fileError(error, basename(path));
  }
  const enclosure: Enclosure = { root, limits, allowOutsideLinks: options?.allowOutsideLinks ?? false };
  const weights = new WeightFiles({ enclosure, modelFolder: "." });
  try {
    const contents = readModel(readModelBytes(file, path, limits), { limits, weights });
    const sizes = weights.sizes;
    return {
      path,
      container: "mlmodel",
      ...contents,
      files: [path, ...sizes.keys()].toSorted(),
      byteLength: sizes.values().reduce((sum, size) => sum + size, file.byteLength),
      [Symbol.dispose]: () => weights[Symbol.dispose](),
    };
  } catch (error) {
    weights[Symbol.dispose]();
    throw error;
  }
}

/** The bytes of the root model file, after a look at whether they are something else altogether. */
export function readModelBytes(file: OpenFile, path: string, limits: FormatLimits): Uint8Array<ArrayBuffer> {
  const isSmall = file.byteLength <= Math.min(maxReadBytes, limits.maxModelBytes);
  const bytes = isSmall ? readFile(file, limits.maxModelBytes, basename(path)) : undefined;
  const start = bytes ?? mapFile(file, 0, Math.min(file.byteLength, sniffBytes));
  const foreign = foreignFileError(start.subarray(0, sniffBytes), path);
  if (foreign !== undefined) throw foreign;
  if (bytes !== undefined) return bytes;
  if (file.byteLength > limits.maxModelBytes) {
    throw badModel(`the model has ${file.byteLength} bytes, more than the limit of ${limits.maxModelBytes}`);
  }
  return mapFile(file);
}

/** Tensors of the result borrow from `bytes` and from `context.weights`. Throws BAD_MODEL with a reason. */
export function readModel(bytes: Uint8Array, context: ModelContext): ModelContents {
  return readContents(decodeModel(bytes, context.limits), context, 0);
}

function decodeModel(bytes: Uint8Array, limits: FormatLimits): ModelMessage {
  const verdict = checkModelWire(bytes, limits);
  const plain = verdict === "plain" ? bytes : packBulkFields(ModelSchema, bytes);
  try {
    // Our own check has bounded the depth; the decoder counts less strictly.
    return fromBinary(ModelSchema, plain, { recursionLimit: limits.maxNesting + 1 });
  } catch (error) {
    // What is left to go wrong is text that is no UTF-8.
    throw badModel(`it is no well-formed protobuf: ${messageOf(error)}`, { cause: error });
  }
}

/** A newer or an unfinished schema can look like damage: say which it is where the version tells. */
function checkModelWire(bytes: Uint8Array, limits: FormatLimits): WireVerdict {
  try {
    return checkWire(ModelSchema, bytes, limits);
  } catch (error) {
    const fields = peekFields(bytes);
    const version = fields.get(1) ?? 0;
    if (version > newestSpecificationVersion && version < 1000) refuseVersion(version);
    if (version > 0 && version < firstProgramVersion && fields.has(ModelSchema.field.mlProgram.number)) {
      throw badModel(
        `it is an ML program of specification version ${version}, from before the format was final`,
        {
          cause: error,
          hint: `Convert it again with a released coremltools: ML programs begin with version ${firstProgramVersion}`,
        },
      );
    }
    throw error;
  }
}

function readContents(message: ModelMessage, context: ModelContext, depth: number): ModelContents {
  refuseVersion(message.specificationVersion);
  const type = message.Type;
  if (type.case === undefined) throw unknownKind(message);
  const body = readBody(message, context, depth);
  const description = readDescription(
    message.description,
    {
      kind: type.case satisfies ModelKind,
      specificationVersion: message.specificationVersion,
      isUpdatable: message.isUpdatable,
      classLabels: undefined,
    },
    context.limits,
  );
  if (body.kind === "mlProgram") refuseMissingFunctions(description.functions, body.program);
  return { body, description: { ...description, classLabels: labelsOf(message, body, description) } };
}

function refuseVersion(version: number): void {
  if (version >= 1 && version <= newestSpecificationVersion) return;
  if (version > newestSpecificationVersion) {
    throw badModel(
      `it has specification version ${version}, the newest known is ${newestSpecificationVersion}`,
      {
        hint: "Use a newer coremlx, or convert the model for an older system",
        details: { specificationVersion: version },
      },
    );
  }
  throw badModel(`it has the specification version ${version}, so it is no Core ML model`, {
    details: { specificationVersion: version },
  });
}

function unknownKind(message: ModelMessage): CoremlxError {
  const unknown = message.$unknown?.find((field) => field.no >= 200)?.no;
  return unknown === undefined
    ? badModel("it has no contents: the part that holds the model itself is missing")
    : badModel(`it is a kind of model that is not known (number ${unknown})`, {
        details: { modelType: unknown },
      });
}

function readBody(message: ModelMessage, context: ModelContext, depth: number): ModelBody {
  const type = message.Type;
  switch (type.case) {
    case "mlProgram":
      return { kind: "mlProgram", program: readProgram(type.value, context) };
    case "pipeline":
      return { kind: "pipeline", stages: readStages(type.value, context, depth) };
    case "pipelineClassifier":
    case "pipelineRegressor":
      return { kind: "pipeline", stages: readStages(type.value.pipeline, context, depth) };
    default:
      return { kind: "message", message };
  }
}

function readStages(pipeline: Pipeline | undefined, context: ModelContext, depth: number): PipelineStage[] {
  const { maxPipelineDepth, maxPipelineStages } = context.limits;
  if (depth >= maxPipelineDepth) throw badModel(`pipelines are nested more than ${maxPipelineDepth} deep`);
  const models = pipeline?.models ?? [];
  if (models.length === 0) throw badModel("it is a pipeline without models");
  if (models.length > maxPipelineStages) throw badModel(`it is a pipeline of ${models.length} models`);
  return models.map((model, index) => {
    const name = pipeline?.names[index] || `model${index}`;
    try {
      return { name, ...readContents(model, context, depth + 1) };
    } catch (error) {
      if (!(error instanceof CoremlxError)) throw error;
      throw reworded(error, `stage ${index} ${quote(name)}: ${error.message}`, { code: "BAD_MODEL" });
    }
  });
}

function refuseMissingFunctions(functions: readonly FunctionDescription[], program: MilProgram): void {
  for (const { name } of functions) {
    if (program.functions.has(name)) continue;
    const found = [...program.functions.keys()].map((each) => quote(each)).join(", ") || "none";
    throw badModel(`it describes the function ${quote(name)}, its program has ${found}`, {
      details: { function: name },
    });
  }
}

function labelsOf(
  message: ModelMessage,
  body: ModelBody,
  description: ModelDescription,
): ClassLabels | undefined {
  if (body.kind === "mlProgram") {
    const main = body.program.functions.get(description.defaultFunction);
    return main === undefined ? undefined : classLabelsOf(main);
  }
  if (body.kind === "pipeline") {
    // The last one that has labels: the classifier, or the suppression stage of a detector.
    return body.stages.findLast((stage) => stage.description.classLabels !== undefined)?.description
      .classLabels;
  }
  const type = message.Type;
  switch (type.case) {
    case "neuralNetworkClassifier":
    case "glmClassifier":
    case "supportVectorClassifier":
    case "treeEnsembleClassifier":
    case "kNearestNeighborsClassifier":
    case "nonMaximumSuppression":
    case "textClassifier":
    case "gazetteer":
      return vectorOf(type.value.ClassLabels.value);
    default:
      return undefined;
  }
}

function vectorOf(labels: StringVector | Int64Vector | undefined): ClassLabels | undefined {
  return labels === undefined || labels.vector.length === 0 ? undefined : labels.vector;
}
