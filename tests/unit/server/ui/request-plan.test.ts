// What a person gave for each input becomes one request, in the protocol's words.

import { describe, expect, test } from "bun:test";
import type { ModelForm, TensorForm } from "../../../../src/server/ui/page-data.ts";
import { InputProblem, type InputValue, planRequest } from "../../../../src/server/ui/request-plan.ts";

function tensor(own: Partial<TensorForm> & { readonly name: string }): TensorForm {
  const shape = own.shape ?? [2];
  return {
    datatype: "FP32",
    shape,
    defaultShape: shape,
    kind: "array",
    description: "",
    isOptional: false,
    takesPicture: false,
    ...own,
  };
}

function form(...inputs: readonly TensorForm[]): ModelForm {
  return {
    name: "a model/é",
    version: "2",
    isOnlyVersion: true,
    platform: "coreml_mlProgram",
    description: "",
    author: "",
    license: "",
    isStateful: false,
    inputs,
    outputs: [],
  };
}

const png: InputValue = {
  kind: "picture",
  fileName: "a.png",
  mediaType: "image/png",
  bytes: new Uint8Array([1, 2, 255]),
  fit: "",
};

function plan(model: ModelForm, values: Readonly<Record<string, InputValue>>) {
  return planRequest(model, new Map(Object.entries(values)));
}

function bodyOf(model: ModelForm, values: Readonly<Record<string, InputValue>>): unknown {
  const made = plan(model, values);
  return made.kind === "json" ? JSON.parse(made.text) : made;
}

test("names of models are escaped in the path, and the version is there where it has to be", () => {
  const model = form();
  expect(plan(model, {}).path).toBe("v2/models/a%20model%2F%C3%A9/infer");
  expect(plan({ ...model, isOnlyVersion: false }, {}).path).toBe(
    "v2/models/a%20model%2F%C3%A9/versions/2/infer",
  );
});

describe("values", () => {
  test("go out digit for digit, in one flat list", () => {
    const model = form(tensor({ name: "x", datatype: "INT64", shape: [2, 1] }));
    const made = plan(model, { x: { kind: "json", text: " [[9007199254740993],\n [1e2]] " } });
    expect(made).toEqual({
      kind: "json",
      path: "v2/models/a%20model%2F%C3%A9/infer",
      text: '{"inputs":[{"name":"x","datatype":"INT64","shape":[2,1],"data":[9007199254740993,1e2]}]}',
    });
  });

  test("of FP16 are sent as FP32, for it has no JSON form", () => {
    const model = form(tensor({ name: "x", datatype: "FP16" }));
    expect(bodyOf(model, { x: { kind: "json", text: "[1,2]" } })).toEqual({
      inputs: [{ name: "x", datatype: "FP32", shape: [2], data: [1, 2] }],
    });
  });

  test.each<[string, readonly number[], readonly number[], string, readonly number[]]>([
    ["as declared", [2, 2], [2, 2], "[1,2,3,4]", [2, 2]],
    ["as nested, where sizes may vary", [-1, -1], [1, 1], "[[1,2,3],[4,5,6]]", [2, 3]],
    ["worked out, where one may vary", [-1, 2], [1, 2], "[1,2,3,4,5,6]", [3, 2]],
    ["the default one, where it fits", [-1, -1], [2, 3], "[1,2,3,4,5,6]", [2, 3]],
    ["of a single value", [1], [1], "5", [1]],
    ["of nothing", [-1], [3], "[]", [0]],
    ["as nested, where it is none of the declared sizes", [2, 2], [2, 2], "[[1],[2],[3]]", [3, 1]],
  ])("have the shape %s", (_name, shape, defaultShape, text, expected) => {
    const model = form(tensor({ name: "x", shape, defaultShape }));
    expect(bodyOf(model, { x: { kind: "json", text } })).toMatchObject({ inputs: [{ shape: expected }] });
  });

  test.each<[string, readonly number[], string]>([
    ['The value of "x" is not JSON', [2], "[1,"],
    ['"x" takes a list of values, such as [1, 2, 3]', [2], '{"a":1}'],
    ['"x" takes 2 × 3 values, got 4', [2, 3], "[1,2,3,4]"],
    ['The lists in "x" differ in length', [2, 2], "[[1,2],[3]]"],
    [
      '"x" takes any × any values, got 5: give nested lists, so that the shape is known',
      [-1, -1],
      "[1,2,3,4,5]",
    ],
  ])("are refused: %s", (message, shape, text) => {
    const model = form(tensor({ name: "x", shape, defaultShape: shape.map((size) => Math.abs(size)) }));
    expect(() => plan(model, { x: { kind: "json", text } })).toThrow(new InputProblem("x", message));
  });

  test("that are missing are left out where the input is optional, and asked for where not", () => {
    const model = form(tensor({ name: "x", isOptional: true }), tensor({ name: "y" }));
    expect(bodyOf(model, { y: { kind: "json", text: "[1,2]" } })).toMatchObject({ inputs: [{ name: "y" }] });
    expect(() => plan(model, {})).toThrow(new InputProblem("y", '"y" needs a value'));
  });

  test("from a file keep their own shape and type", () => {
    const value: InputValue = { kind: "tensor", datatype: "FP64", shape: [1, 2], data: '[1.5,"NaN"]' };
    expect(bodyOf(form(tensor({ name: "x" })), { x: value })).toEqual({
      inputs: [{ name: "x", datatype: "FP64", shape: [1, 2], data: [1.5, "NaN"] }],
    });
  });

  test("that are text stay as they are", () => {
    const model = form(tensor({ name: "x", datatype: "BYTES", kind: "text", shape: [1] }));
    expect(bodyOf(model, { x: { kind: "text", text: '["no", \\list]' } })).toEqual({
      inputs: [{ name: "x", datatype: "BYTES", shape: [1], data: ['["no", \\list]'] }],
    });
  });

  test("with brackets and commas inside strings are not taken apart", () => {
    const model = form(
      tensor({ name: "x", datatype: "BYTES", kind: "list", shape: [-1], defaultShape: [1] }),
    );
    expect(bodyOf(model, { x: { kind: "json", text: '["a,,[b]", "\\"[ ]", ""]' } })).toMatchObject({
      inputs: [{ shape: [3], data: ["a,,[b]", '"[ ]', ""] }],
    });
  });
});

describe("a picture", () => {
  const image = tensor({ name: "image", kind: "image", datatype: "UINT8", takesPicture: true });

  test("alone is the body", () => {
    const model = form(image, tensor({ name: "x", isOptional: true }));
    expect(plan(model, { image: png })).toMatchObject({ kind: "picture", picture: { fileName: "a.png" } });
  });

  test("with a fit goes in base64", () => {
    expect(bodyOf(form(image), { image: { ...png, fit: "crop" } })).toEqual({
      inputs: [{ name: "image", datatype: "BYTES", shape: [1], parameters: { fit: "crop" }, data: ["AQL/"] }],
    });
  });

  test("beside another input goes in base64, and so does one that the server could not tell from another", () => {
    const withMore = form(image, tensor({ name: "x" }));
    expect(bodyOf(withMore, { image: png, x: { kind: "json", text: "[1,2]" } })).toMatchObject({
      inputs: [{ name: "image", datatype: "BYTES" }, { name: "x" }],
    });
    const withTwo = form(image, { ...image, name: "mask", isOptional: true });
    expect(bodyOf(withTwo, { image: png })).toMatchObject({ inputs: [{ name: "image", data: ["AQL/"] }] });
  });
});

test("a sequence is in the parameters where it has an id, and nowhere else", () => {
  const values = new Map<string, InputValue>([["x", { kind: "json", text: "[1,2]" }]]);
  const model = form(tensor({ name: "x" }));
  const made = planRequest(model, values, { id: "7", isStart: true, isEnd: false });
  expect(made).toMatchObject({
    text: '{"parameters":{"sequence_id":"7","sequence_start":true,"sequence_end":false},"inputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1,2]}]}',
  });
  expect(planRequest(model, values, { id: "", isStart: true, isEnd: false })).toEqual(
    planRequest(model, values),
  );
});
