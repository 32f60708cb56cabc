// The OpenAPI document with the names that this suite's models have, so that made-up requests come as far as the models.

const models = ["sum", "twice", "half", "picture", "digits", "nope"];
const names = ["left", "right", "x", "picture", "image", "nope"];
const outputs = ["sum", "y", "copy", "classLabel", "classLabel_probs", "classLabel_probs_keys", "nope"];
const shapes = [[2, 3], [4], [3, 4, 3], [28, 28], [1], [], [0], [2, -1], [2 ** 40, 2 ** 40]];
const datatypes = ["FP32", "INT32", "FP16", "UINT8", "INT64", "BOOL", "BYTES", "BF16"];

type Json = Readonly<Record<string, unknown>>;

export function narrowSchema(document: unknown): unknown {
  const { paths, components, ...rest } = document as {
    readonly paths: Readonly<Record<string, Json>>;
    readonly components: { readonly schemas: Json };
  };
  return {
    ...rest,
    paths: Object.fromEntries(
      Object.entries(paths).map(([path, methods]) => [path, narrowPath(path, methods)]),
    ),
    components: { ...components, schemas: { ...components.schemas, InferRequest: requestSchema } },
  };
}

function narrowPath(path: string, methods: Json): Json {
  const choices: Readonly<Record<string, readonly string[]>> = {
    // What one request unloads is missed by others.
    model: path.startsWith("/v2/repository/") ? ["spare", "nope"] : models,
    version: ["1", "2"],
  };
  return Object.fromEntries(
    Object.entries(methods).map(([method, operation]) => {
      const { parameters = [], ...rest } = operation as {
        readonly parameters?: readonly { readonly name: string }[];
      };
      const narrowed = parameters.map((parameter) => ({
        ...parameter,
        schema: { type: "string", enum: choices[parameter.name] },
      }));
      return [method, { ...rest, parameters: narrowed }];
    }),
  );
}

const number = { type: ["number", "integer", "boolean", "string", "null"] };
const parameters = {
  type: "object",
  properties: {
    binary_data_size: { type: "integer" },
    binary_data: { type: "boolean" },
    binary_data_output: { type: "boolean" },
    classification: { type: "integer" },
    timeout: { type: "integer" },
    priority: { type: "integer" },
    sequence_id: { type: ["integer", "string"] },
    fit: { enum: ["stretch", "contain", "crop", "other"] },
  },
};

const requestSchema = {
  type: "object",
  required: ["inputs"],
  properties: {
    id: { type: "string" },
    parameters,
    inputs: {
      type: "array",
      maxItems: 3,
      items: {
        type: "object",
        required: ["name", "shape", "datatype"],
        properties: {
          name: { enum: names },
          shape: { anyOf: [{ enum: shapes }, { type: "array", items: { type: "integer" }, maxItems: 4 }] },
          datatype: { enum: datatypes },
          parameters,
          data: {
            anyOf: [
              {
                type: "array",
                items: { type: "integer", minimum: -5, maximum: 300 },
                minItems: 1,
                maxItems: 6,
              },
              { type: "array", items: { type: "integer", minimum: 0, maximum: 9 }, minItems: 4, maxItems: 4 },
              { type: "array", items: number, maxItems: 6 },
              { type: "array", items: { type: "array", items: number, maxItems: 3 }, maxItems: 2 },
              number,
            ],
          },
        },
      },
    },
    outputs: {
      type: "array",
      maxItems: 2,
      items: { type: "object", required: ["name"], properties: { name: { enum: outputs }, parameters } },
    },
  },
};
