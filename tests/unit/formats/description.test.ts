import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { readDescription } from "../../../src/formats/description.ts";
import {
  ArrayFeatureType_ArrayDataType as ArrayDataType,
  type ArrayFeatureTypeSchema,
  type FeatureTypeSchema,
  ImageFeatureType_ColorSpace as ColorSpace,
} from "../../../src/formats/gen/FeatureTypes_pb.ts";
import { ModelDescriptionSchema } from "../../../src/formats/gen/Model_pb.ts";
import { defaultLimits } from "../../../src/formats/limits.ts";
import { openModel } from "../../../src/formats/open.ts";
import { failureOf, type ModelInit, readInit } from "../../support/model-files.ts";

const fixtures = resolve(import.meta.dir, "../../fixtures/formats");

type DescriptionInit = MessageInitShape<typeof ModelDescriptionSchema>;
type TypeInit = MessageInitShape<typeof FeatureTypeSchema>;
type ArrayInit = MessageInitShape<typeof ArrayFeatureTypeSchema>;

function describeInit(init: DescriptionInit | undefined) {
  const message = init === undefined ? undefined : create(ModelDescriptionSchema, init);
  const facts = {
    kind: "identity",
    specificationVersion: 4,
    isUpdatable: false,
    classLabels: undefined,
  } as const;
  return readDescription(message, facts, defaultLimits);
}

test("every kind of flexibility, default and type that coremltools writes", async () => {
  using model = await openModel(join(fixtures, "flexible.mlmodel"));
  const array = { kind: "multiArray", defaultValue: undefined } as const;
  const plain = { description: "", isOptional: false } as const;
  expect(model.description.functions[0]?.inputs).toEqual([
    {
      ...plain,
      name: "x",
      type: {
        ...array,
        dtype: "float32",
        shape: [1, 4],
        constraint: {
          kind: "range",
          axes: [
            { lower: 1, upper: 1 },
            { lower: 2, upper: undefined },
          ],
        },
      },
    },
    {
      ...plain,
      name: "enumerated",
      isOptional: true,
      type: {
        ...array,
        dtype: "int32",
        shape: [2, 3],
        constraint: {
          kind: "enumerated",
          shapes: [
            [2, 3],
            [4, 5],
          ],
        },
        defaultValue: -7,
      },
    },
    {
      ...plain,
      name: "picture",
      type: {
        kind: "image",
        width: 32,
        height: 16,
        colorSpace: "BGR",
        constraint: {
          kind: "range",
          axes: [
            { lower: 4, upper: 64 },
            { lower: 8, upper: undefined },
          ],
        },
      },
    },
    {
      ...plain,
      name: "gray",
      type: {
        kind: "image",
        width: 8,
        height: 9,
        colorSpace: "GRAYSCALE_FLOAT16",
        constraint: {
          kind: "enumerated",
          shapes: [
            [9, 8],
            [12, 10],
          ],
        },
      },
    },
    {
      ...plain,
      name: "half",
      isOptional: true,
      type: { ...array, dtype: "float16", shape: [5], constraint: { kind: "fixed" }, defaultValue: 0 },
    },
    {
      ...plain,
      name: "sequence",
      type: { kind: "sequence", element: "string", size: { lower: 1, upper: 9 } },
    },
    { ...plain, name: "words", type: { kind: "dictionary", key: "int64" } },
  ]);
  const { metadata } = model.description;
  expect([metadata.author, metadata.userDefined.get("note"), metadata.version]).toEqual([
    "nobody",
    "ünïcode",
    "",
  ]);
});

test("functions and states", async () => {
  using model = await openModel(join(fixtures, "stateful.mlpackage"));
  const { functions, defaultFunction } = model.description;
  expect(defaultFunction).toBe("accumulate");
  expect(functions.map((each) => each.name).toSorted()).toEqual(["accumulate", "reset"]);
  const array = {
    kind: "multiArray",
    dtype: "float16",
    shape: [16],
    constraint: { kind: "fixed" },
    defaultValue: undefined,
  } as const;
  expect(functions[0]?.states).toEqual([
    { name: "memory", description: "", isOptional: false, type: { kind: "state", array } },
  ]);
  expect(functions[0]?.inputs.map((each) => each.name)).toEqual(["x"]);
});

const array = (init: ArrayInit, isOptional = false): TypeInit => ({
  Type: { case: "multiArrayType", value: { dataType: ArrayDataType.FLOAT32, ...(init as object) } },
  isOptional,
});
const input = (type: TypeInit, name = "x"): DescriptionInit => ({ input: [{ name, type }] });

describe("an interface", () => {
  test("without functions has one called main", () => {
    expect(describeInit({ predictedFeatureName: "y" })).toMatchObject({
      defaultFunction: "main",
      functions: [{ name: "main", predictedFeatureName: "y", predictedProbabilitiesName: undefined }],
    });
  });

  test("with functions and no default takes main, else the first", () => {
    expect(describeInit({ functions: [{ name: "a" }, { name: "main" }] }).defaultFunction).toBe("main");
    expect(describeInit({ functions: [{ name: "a" }, { name: "b" }] }).defaultFunction).toBe("a");
  });

  test("may leave the shape of an output open", () => {
    const output = (shape: bigint[]) =>
      describeInit({ output: [{ name: "y", type: array({ shape }) }] }).functions[0]?.outputs[0]?.type;
    expect(output([])).toMatchObject({ shape: [] });
    expect(output([-1n, 3n])).toMatchObject({ shape: [] });
  });

  test("takes bounds that no axis can reach for none", () => {
    const shapeRange = { sizeRanges: [{ lowerBound: 0n, upperBound: 2n ** 62n }] };
    const type = array({ shape: [1n], ShapeFlexibility: { case: "shapeRange", value: shapeRange } });
    expect(describeInit(input(type)).functions[0]?.inputs[0]?.type).toMatchObject({
      constraint: { kind: "range", axes: [{ lower: 0, upper: undefined }] },
    });
  });

  test("takes empty lists of shapes, sizes and ranges for none", () => {
    const flexibilities: readonly ArrayInit[] = [
      { ShapeFlexibility: { case: "enumeratedShapes", value: {} } },
      { ShapeFlexibility: { case: "shapeRange", value: {} } },
    ];
    for (const each of flexibilities) {
      expect(describeInit(input(array(each))).functions[0]?.inputs[0]?.type).toMatchObject({
        constraint: { kind: "fixed" },
      });
    }
    const image: TypeInit = {
      Type: {
        case: "imageType",
        value: { colorSpace: ColorSpace.RGB, SizeFlexibility: { case: "enumeratedSizes", value: {} } },
      },
    };
    expect(describeInit(input(image)).functions[0]?.inputs[0]?.type).toMatchObject({
      constraint: { kind: "fixed" },
    });
  });

  test("reads int64, double, string, int8 and sequences of int64", () => {
    const types: readonly TypeInit[] = [
      { Type: { case: "int64Type", value: {} } },
      { Type: { case: "doubleType", value: {} } },
      { Type: { case: "stringType", value: {} } },
      { Type: { case: "sequenceType", value: { Type: { case: "int64Type", value: {} } } } },
      { Type: { case: "dictionaryType", value: { KeyType: { case: "stringKeyType", value: {} } } } },
      array({ dataType: ArrayDataType.INT8, shape: [0n] }),
    ];
    const init = { input: types.map((type, i) => ({ name: `x${i}`, type })) };
    expect(describeInit(init).functions[0]?.inputs.map((each) => each.type)).toEqual([
      { kind: "int64" },
      { kind: "double" },
      { kind: "string" },
      { kind: "sequence", element: "int64", size: { lower: 0, upper: undefined } },
      { kind: "dictionary", key: "string" },
      {
        kind: "multiArray",
        dtype: "int8",
        shape: [0],
        constraint: { kind: "fixed" },
        defaultValue: undefined,
      },
    ]);
  });
});

describe("an interface is refused with", () => {
  const range = (lowerBound: bigint, upperBound: bigint) =>
    array({
      shape: [1n],
      ShapeFlexibility: { case: "shapeRange", value: { sizeRanges: [{ lowerBound, upperBound }] } },
    });
  const cases: readonly (readonly [string, DescriptionInit | undefined, string])[] = [
    ["nothing at all", undefined, "it has no description of its inputs and outputs"],
    [
      "two inputs of one name",
      {
        input: [
          { name: "x", type: array({}) },
          { name: "x", type: array({}) },
        ],
      },
      'two inputs have the name "x"',
    ],
    [
      "two functions of one name",
      { functions: [{ name: "f" }, { name: "f" }] },
      'two functions have the name "f"',
    ],
    [
      "a default function that is none of them",
      { functions: [{ name: "f" }], defaultFunctionName: "g" },
      'its default function "g" is not among its functions: "f"',
    ],
    ["an input without a name", { input: [{ type: array({}) }] }, "one of its inputs has no name"],
    [
      "a name of 70,000 characters",
      { input: [{ name: "x".repeat(70_000), type: array({}) }] },
      "has a name that is too long",
    ],
    ["an input without a type", { input: [{ name: "x" }] }, 'input "x" has no type'],
    ["a type of no kind", input({}), 'input "x" has no type'],
    [
      "an array of no element type",
      input(array({ dataType: ArrayDataType.INVALID_ARRAY_DATA_TYPE })),
      'input "x" has the unknown element type 0',
    ],
    [
      "an image of no color space",
      input({ Type: { case: "imageType", value: { width: 1n, height: 1n } } }),
      'input "x" has the unknown color space 0',
    ],
    [
      "a dictionary without keys",
      input({ Type: { case: "dictionaryType", value: {} } }),
      'input "x" is a dictionary without a key type',
    ],
    [
      "a sequence of nothing",
      input({ Type: { case: "sequenceType", value: {} } }),
      'input "x" is a sequence without an element type',
    ],
    [
      "a negative axis",
      input(array({ shape: [2n, -1n] })),
      'input "x" has an axis of -1 in its shape [2, -1]',
    ],
    [
      "an axis of 2^60",
      input(array({ shape: [2n ** 60n] })),
      'input "x" has an axis of 1152921504606847000 in its shape',
    ],
    [
      "axes that multiply to 2^60",
      input(array({ shape: [2n ** 30n, 2n ** 30n] })),
      "elements in its shape [1073741824, 1073741824]",
    ],
    [
      "33 axes",
      input(array({ shape: Array.from({ length: 33 }, () => 1n) })),
      'input "x" has 33 axes, more than the limit of 32',
    ],
    [
      "ranges for another rank",
      input(
        array({ shape: [1n, 2n], ShapeFlexibility: { case: "shapeRange", value: { sizeRanges: [{}] } } }),
      ),
      'input "x" has ranges for 1 axes and a default shape of 2',
    ],
    [
      "ranges for 33 axes",
      input(
        array({
          ShapeFlexibility: {
            case: "shapeRange",
            value: { sizeRanges: Array.from({ length: 33 }, () => ({ upperBound: -1n })) },
          },
        }),
      ),
      'input "x" has 33 axes',
    ],
    ["a range upside down", input(range(3n, 2n)), 'input "x" has a size range from 3 to 2'],
    [
      "a range that begins at 2^60",
      input(range(2n ** 60n, -1n)),
      'input "x" has a size range from 1152921504606847000 to -1',
    ],
    [
      "a state that is none",
      { state: [{ name: "s", type: array({}) }] },
      'state "s" has the type multiArray, expected a state',
    ],
    [
      "a state of nothing",
      { state: [{ name: "s", type: { Type: { case: "stateType", value: {} } } }] },
      'state "s" is a state without a type',
    ],
    [
      "a state of variable shape",
      {
        state: [
          {
            name: "s",
            type: {
              Type: {
                case: "stateType",
                value: {
                  Type: {
                    case: "arrayType",
                    value: {
                      dataType: ArrayDataType.FLOAT16,
                      shape: [1n],
                      ShapeFlexibility: { case: "enumeratedShapes", value: { shapes: [{ shape: [1n] }] } },
                    },
                  },
                },
              },
            },
          },
        ],
      },
      'state "s" is a state of variable shape',
    ],
  ];
  for (const [name, init, message] of cases) {
    test(name, async () => {
      const failure = await failureOf(() => describeInit(init));
      expect([failure.code, failure.message]).toEqual(["BAD_MODEL", expect.stringContaining(message)]);
    });
  }

  test("more features or functions than the limits allow", async () => {
    const identity = { case: "identity", value: {} } as const;
    const features = {
      specificationVersion: 4,
      description: { input: [{ name: "x", type: array({}) }] },
      Type: identity,
    };
    expect((await failureOf(() => readInit(features, { limits: { maxFeatures: 0 } }))).message).toBe(
      "it has 1 inputs, more than the limit of 0",
    );
    const functions = {
      specificationVersion: 9,
      description: { functions: [{ name: "f" }] },
      Type: identity,
    };
    expect((await failureOf(() => readInit(functions, { limits: { maxFunctions: 0 } }))).message).toBe(
      "it has 1 functions, more than the limit of 0",
    );
  });
});

describe("labels of a classifier come from the model's own kind:", () => {
  const strings = { case: "stringClassLabels" as const, value: { vector: ["a", "b"] } };
  const integers = { case: "int64ClassLabels" as const, value: { vector: [5n, -6n] } };
  const labelsOf = (type: NonNullable<Parameters<typeof readInit>[0]["Type"]>) =>
    readInit({ specificationVersion: 4, description: {}, Type: type }).description.classLabels;

  test("strings and integers", () => {
    expect(labelsOf({ case: "glmClassifier", value: { ClassLabels: strings } })).toEqual(["a", "b"]);
    expect(labelsOf({ case: "treeEnsembleClassifier", value: { ClassLabels: integers } })).toEqual([5n, -6n]);
    expect(labelsOf({ case: "supportVectorClassifier", value: { ClassLabels: integers } })).toEqual([
      5n,
      -6n,
    ]);
    expect(labelsOf({ case: "kNearestNeighborsClassifier", value: { ClassLabels: strings } })).toEqual([
      "a",
      "b",
    ]);
    expect(labelsOf({ case: "nonMaximumSuppression", value: { ClassLabels: strings } })).toEqual(["a", "b"]);
    expect(labelsOf({ case: "neuralNetworkClassifier", value: { ClassLabels: strings } })).toEqual([
      "a",
      "b",
    ]);
    expect(labelsOf({ case: "gazetteer", value: { ClassLabels: strings } })).toEqual(["a", "b"]);
  });

  test("a detector's pipeline has those of its suppression stage", () => {
    const stage: ModelInit = {
      specificationVersion: 3,
      description: {},
      Type: { case: "nonMaximumSuppression", value: { ClassLabels: strings } },
    };
    const network: ModelInit = {
      specificationVersion: 3,
      description: {},
      Type: { case: "neuralNetwork", value: {} },
    };
    expect(labelsOf({ case: "pipeline", value: { models: [network, stage] } })).toEqual(["a", "b"]);
  });

  test("none where there are none", () => {
    expect(labelsOf({ case: "glmClassifier", value: {} })).toBeUndefined();
    expect(
      labelsOf({ case: "glmClassifier", value: { ClassLabels: { case: "stringClassLabels", value: {} } } }),
    ).toBeUndefined();
    expect(labelsOf({ case: "normalizer", value: {} })).toBeUndefined();
  });
});
