// metadata.json of a compiled model: the interface as the compiler tells it to people, brought into the form in which
// coremldata.bin has it, so that both pass the same checks. Numbers and flags are strings in it.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ClassLabels, ModelKind } from "../core/model.ts";
import { messageOf } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import { type CompiledFacts, modelKindOf } from "./compiled-data.ts";
import {
  ArrayFeatureType_ArrayDataType as ArrayDataType,
  type ArrayFeatureTypeSchema,
  type FeatureTypeSchema,
  ImageFeatureType_ColorSpace as ColorSpace,
  type ImageFeatureTypeSchema,
  type SequenceFeatureTypeSchema,
} from "./gen/FeatureTypes_pb.ts";
import { type FeatureDescriptionSchema, ModelDescriptionSchema } from "./gen/Model_pb.ts";

export interface CompiledMetadata extends CompiledFacts {
  readonly isUpdatable: boolean;
  readonly classLabels: ClassLabels | undefined;
  /** Operations by name as the compiler counted them: "Ios16.mul", "Conv". Constants are left out. */
  readonly histogram: ReadonlyMap<string, number>;
}

/** Throws BAD_MODEL with a reason that names `fileName`. */
export function parseMetadata(text: string, fileName: string): CompiledMetadata {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw badModel(`${fileName} is no JSON: ${messageOf(error)}`, { cause: error });
  }
  const root = Array.isArray(json) ? json[0] : json;
  if (!isObject(root)) throw badModel(`${fileName} holds no object`);
  return new MetadataReader(fileName).read(root);
}

type Json = Readonly<Record<string, unknown>>;
type FeatureInit = MessageInitShape<typeof FeatureDescriptionSchema>;
interface FunctionInit {
  readonly name: string;
  readonly input: FeatureInit[];
  readonly output: FeatureInit[];
  readonly state: FeatureInit[];
  readonly predictedFeatureName: string;
  readonly predictedProbabilitiesName: string;
}
type TypeInit = NonNullable<MessageInitShape<typeof FeatureTypeSchema>["Type"]>;
type ArrayInit = MessageInitShape<typeof ArrayFeatureTypeSchema>;
type ImageInit = MessageInitShape<typeof ImageFeatureTypeSchema>;
type SequenceInit = MessageInitShape<typeof SequenceFeatureTypeSchema>;

class MetadataReader {
  readonly #fileName: string;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  read(root: Json): CompiledMetadata {
    const functions = objectsIn(root["functions"]).map((each) => this.#function(textOf(each, "name"), each));
    const { name: _, ...single } = this.#function("main", root);
    const metadata = {
      shortDescription: textOf(root, "shortDescription"),
      versionString: textOf(root, "version"),
      author: textOf(root, "author"),
      license: textOf(root, "license"),
      userDefined: stringsIn(root["userDefinedMetadata"]),
    };
    const description = create(
      ModelDescriptionSchema,
      functions.length > 0
        ? { functions, defaultFunctionName: textOf(root, "defaultFunctionName"), metadata }
        : { ...single, metadata },
    );
    if (single.input.length + single.output.length + functions.length === 0)
      throw badModel(`${this.#fileName} describes neither inputs nor outputs`);
    return {
      kind: this.#kind(root["modelType"]),
      specificationVersion: this.#version(root["specificationVersion"]),
      description,
      isUpdatable: isSet(root["isUpdatable"]),
      classLabels: labelsIn(root["classLabels"]),
      histogram: new Map(
        Object.entries(
          isObject(root["mlProgramOperationTypeHistogram"]) ? root["mlProgramOperationTypeHistogram"] : {},
        )
          .map(([name, count]) => [name, Number(count)] as const)
          .filter(([, count]) => Number.isSafeInteger(count)),
      ),
    };
  }

  #kind(modelType: unknown): ModelKind | undefined {
    const name = isObject(modelType) ? modelType["name"] : undefined;
    if (name === undefined) return undefined;
    const kind = typeof name === "string" ? modelKindOf(name.replace(/^MLModelType_/, "")) : undefined;
    if (kind === undefined) throw this.#bad(`the model type is ${shown(name)}, which is not known`);
    return kind;
  }

  #version(version: unknown): number | undefined {
    if (version === undefined) return undefined;
    return this.#integer(version, "the specification version");
  }

  #function(name: string, json: Json): FunctionInit {
    const output = this.#features(json["outputSchema"], "output");
    const guess = guessPredictions(output);
    return {
      name,
      input: this.#features(json["inputSchema"], "input"),
      output,
      state: this.#features(json["stateSchema"], "state"),
      predictedFeatureName: textOf(json, "predictedFeatureName") || guess.label,
      predictedProbabilitiesName: textOf(json, "predictedProbabilitiesName") || guess.probabilities,
    };
  }

  #features(schema: unknown, role: string): FeatureInit[] {
    return objectsIn(schema).map((json) => {
      const name = textOf(json, "name");
      const what = `${role} ${quote(name)}`;
      const Type = this.#type(json, what, role === "state");
      return {
        name,
        shortDescription: textOf(json, "shortDescription"),
        type: { Type, isOptional: isSet(json["isOptional"]) },
      };
    });
  }

  #type(json: Json, what: string, isState: boolean): TypeInit {
    const type = textOf(json, "type");
    switch (type) {
      case "MultiArray":
      case "State": {
        const array = this.#array(json, what);
        return isState || type === "State"
          ? { case: "stateType", value: { Type: { case: "arrayType", value: array } } }
          : { case: "multiArrayType", value: array };
      }
      case "Image":
        return { case: "imageType", value: this.#image(json, what) };
      case "Dictionary": {
        const keyType = isInt64(json["keyType"]) ? "int64KeyType" : "stringKeyType";
        return { case: "dictionaryType", value: { KeyType: { case: keyType, value: {} } } };
      }
      case "Sequence":
        return { case: "sequenceType", value: this.#sequence(json, what) };
      case "Double":
        return { case: "doubleType", value: {} };
      case "Int64":
        return { case: "int64Type", value: {} };
      case "String":
        return { case: "stringType", value: {} };
      default:
        throw this.#bad(`${what} has the type ${shown(json["type"])}, which is not known`);
    }
  }

  #array(json: Json, what: string): ArrayInit {
    const dataType = dataTypes.get(textOf(json, "dataType").toLowerCase());
    if (dataType === undefined)
      throw this.#bad(`${what} has the element type ${shown(json["dataType"])}, which is not known`);
    const array: ArrayInit = {
      dataType,
      shape: json["shape"] === undefined ? [] : this.#integers(json["shape"], `the shape of ${what}`),
    };
    if (json["enumeratedShapes"] !== undefined) {
      const shapes = this.#lists(json["enumeratedShapes"], `the shapes of ${what}`).map((shape) => ({
        shape,
      }));
      return { ...array, ShapeFlexibility: { case: "enumeratedShapes", value: { shapes } } };
    }
    if (json["shapeRange"] !== undefined) {
      const sizeRanges = this.#lists(json["shapeRange"], `the shape range of ${what}`).map(rangeOf);
      return { ...array, ShapeFlexibility: { case: "shapeRange", value: { sizeRanges } } };
    }
    return array;
  }

  #image(json: Json, what: string): ImageInit {
    const colorSpace = colorSpaces.get(
      textOf(json, "colorspace")
        .toLowerCase()
        .replaceAll(/[^a-z0-9]/g, ""),
    );
    if (colorSpace === undefined)
      throw this.#bad(`${what} has the color space ${shown(json["colorspace"])}, which is not known`);
    const image: ImageInit = {
      colorSpace,
      width: BigInt(this.#integer(json["width"], `the width of ${what}`)),
      height: BigInt(this.#integer(json["height"], `the height of ${what}`)),
    };
    if (json["enumeratedSizes"] !== undefined) {
      const sizes = this.#lists(json["enumeratedSizes"], `the sizes of ${what}`);
      const value = { sizes: sizes.map(([width = 0n, height = 0n]) => ({ width, height })) };
      return { ...image, SizeFlexibility: { case: "enumeratedSizes", value } };
    }
    if (json["sizeRange"] !== undefined) {
      const [width = [], height = []] = this.#lists(json["sizeRange"], `the size range of ${what}`);
      const value = { widthRange: rangeOf(width), heightRange: rangeOf(height) };
      return { ...image, SizeFlexibility: { case: "imageSizeRange", value } };
    }
    return image;
  }

  #sequence(json: Json, what: string): SequenceInit {
    const sizeRange = rangeOf(this.#integers(json["sizeRange"] ?? "[0, -1]", `the size range of ${what}`));
    const element = isInt64(json["valueType"]) ? "int64Type" : "stringType";
    return { Type: { case: element, value: {} }, sizeRange };
  }

  /** "[[1, 2], [3, -1]]" */
  #lists(value: unknown, what: string): bigint[][] {
    const lists = this.#json(value, what);
    if (!Array.isArray(lists)) throw this.#bad(`${what} is ${shown(value)}, expected lists of integers`);
    return lists.map((each) => this.#integers(each, what));
  }

  /** "[1, 10]", or the same as a list. */
  #integers(value: unknown, what: string): bigint[] {
    const list = this.#json(value, what);
    if (!Array.isArray(list)) throw this.#bad(`${what} is ${shown(value)}, expected a list of integers`);
    return list.map((each) => BigInt(this.#integer(each, what)));
  }

  #json(value: unknown, what: string): unknown {
    if (typeof value !== "string") return value;
    try {
      return JSON.parse(value);
    } catch (error) {
      throw badModel(`${this.#fileName}: ${what} is ${shown(value)}, which is no list`, { cause: error });
    }
  }

  /** 7 or "7" */
  #integer(value: unknown, what: string): number {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    if (typeof number === "number" && Number.isSafeInteger(number)) return number;
    throw this.#bad(`${what} is ${shown(value)}, expected an integer`);
  }

  #bad(reason: string): Error {
    return badModel(`${this.#fileName}: ${reason}`);
  }
}

/** The compiler does not say which outputs of a classifier are its label and its probabilities; their types do. */
function guessPredictions(outputs: readonly FeatureInit[]): { label: string; probabilities: string } {
  const named = (...kinds: readonly string[]): string[] =>
    outputs.filter((each) => kinds.includes(each.type?.Type?.case ?? "")).map((each) => each.name ?? "");
  const [probabilities, anotherDictionary] = named("dictionaryType");
  const [label, anotherLabel] = named("stringType", "int64Type");
  const isOnePair = anotherDictionary === undefined && anotherLabel === undefined;
  if (!isOnePair || probabilities === undefined || label === undefined)
    return { label: "", probabilities: "" };
  return { label, probabilities };
}

function rangeOf([lowerBound = 0n, upperBound = -1n]: readonly bigint[]): {
  lowerBound: bigint;
  upperBound: bigint;
} {
  return { lowerBound: lowerBound < 0n ? 0n : lowerBound, upperBound };
}

function objectsIn(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function stringsIn(value: unknown): Record<string, string> {
  const strings: [string, string][] = [];
  for (const [key, each] of Object.entries(isObject(value) ? value : {}))
    if (typeof each === "string") strings.push([key, each]);
  return Object.fromEntries(strings);
}

function labelsIn(value: unknown): ClassLabels | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  if (value.every((each) => typeof each === "string")) return value;
  if (value.every((each) => typeof each === "number" && Number.isSafeInteger(each))) return value.map(BigInt);
  return undefined;
}

function textOf(json: Json, key: string): string {
  const value = json[key];
  return typeof value === "string" ? value : "";
}

function isSet(flag: unknown): boolean {
  return flag === "1" || flag === 1 || flag === true || flag === "true";
}

function isInt64(name: unknown): boolean {
  return typeof name === "string" && name.toLowerCase() === "int64";
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  return typeof value === "string" ? quote(value) : quote(JSON.stringify(value));
}

const dataTypes: ReadonlyMap<string, ArrayDataType> = new Map<string, ArrayDataType>([
  ["float16", ArrayDataType.FLOAT16],
  ["float32", ArrayDataType.FLOAT32],
  ["float64", ArrayDataType.DOUBLE],
  ["double", ArrayDataType.DOUBLE],
  ["int32", ArrayDataType.INT32],
  ["int8", ArrayDataType.INT8],
]);

/** Only the first three are known from compilers; the half-float one is a guess at its spelling. */
const colorSpaces: ReadonlyMap<string, ColorSpace> = new Map<string, ColorSpace>([
  ["rgb", ColorSpace.RGB],
  ["bgr", ColorSpace.BGR],
  ["grayscale", ColorSpace.GRAYSCALE],
  ["grayscalefloat16", ColorSpace.GRAYSCALE_FLOAT16],
  ["grayscale16half", ColorSpace.GRAYSCALE_FLOAT16],
]);
