// The protocol over a real socket: what a server says of itself and its models, and inference in each form.

import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { digitPicture, digitsPackage } from "../support/digits.ts";
import {
  writeHalfModel,
  writeIntegerModel,
  writePictureModel,
  writeSumModel,
} from "../support/program-models.ts";
import { binaryBody, binaryOutputs, serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const at = (name: string) => join(folder.path, `${name}.mlpackage`);
const served = await serveModels([
  { name: "digits", path: digitsPackage },
  { name: "sum", path: writeSumModel(at("sum")) },
  { name: "twice", path: writeIntegerModel(at("twice")) },
  { name: "half", path: writeHalfModel(at("half")) },
  { name: "picture", path: writePictureModel(at("picture")) },
]);
afterAll(() => served[Symbol.asyncDispose]());
const { get, post } = served;

/** 2 x 3, as JSON and as bytes. */
const six = [1, 2, 3, 4, 5, 6];
const sixBytes = new Uint8Array(new Float32Array(six).buffer);
const left = { name: "left", datatype: "FP32", shape: [2, 3] };
const right = { name: "right", datatype: "FP32", shape: [2, 3] };
const sumAnswer = {
  model_name: "sum",
  model_version: "1",
  outputs: [{ name: "sum", datatype: "FP32", shape: [2, 3], data: [2, 4, 6, 8, 10, 12] }],
};

describe("metadata", () => {
  test("of the server names it and its extensions, with and without a slash, whatever the query says", async () => {
    const { status, json } = await get("/v2");
    expect({ status, json }).toEqual({
      status: 200,
      json: {
        name: "coremlx",
        version: expect.any(String),
        extensions: expect.arrayContaining(["binary_tensor_data", "classification"]),
      },
    });
    expect((await get("/v2/?test_1=1&test_2=2")).json).toEqual(json);
  });

  test("of a model lists its features as tensors, a dictionary as two", async () => {
    const { status, json } = await get("/v2/models/digits");
    expect({ status, json }).toEqual({
      status: 200,
      json: {
        name: "digits",
        versions: ["1"],
        platform: "coreml_mlProgram",
        inputs: [{ name: "image", datatype: "UINT8", shape: [28, 28] }],
        outputs: [
          { name: "classLabel", datatype: "BYTES", shape: [1] },
          { name: "classLabel_probs", datatype: "FP64", shape: [10] },
          { name: "classLabel_probs_keys", datatype: "BYTES", shape: [10] },
        ],
      },
    });
    expect((await get("/v2/models/digits/versions/1")).json).toEqual(json);
  });

  test("the configuration has the names that Triton's has", async () => {
    expect((await get("/v2/models/picture/config")).json).toMatchObject({
      name: "picture",
      platform: "coreml_mlProgram",
      backend: "coremlx",
      max_batch_size: 0,
      input: [{ name: "picture", data_type: "TYPE_UINT8", dims: [3, 4, 3] }],
      output: [{ name: "copy", data_type: "TYPE_UINT8", dims: [3, 4, 3] }],
    });
  });

  test.each([
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/sum/ready",
    "/v2/models/sum/versions/1/ready",
  ])("%s says yes", async (path) => {
    expect((await get(path)).status).toBe(200);
  });

  test.each(["", "/ready", "/config"])(
    "of a model that is not there is an error in Triton's words (%s)",
    async (ending) => {
      const unknown = await get(`/v2/models/nope${ending}`);
      expect(unknown).toMatchObject({
        status: 404,
        json: { error: "Request for unknown model: 'nope' is not found" },
      });
      const version = await get(`/v2/models/sum/versions/7${ending}`);
      expect(version).toMatchObject({
        status: 404,
        json: { error: "Request for unknown model: 'sum' version 7 is not found" },
      });
    },
  );
});

describe("inference", () => {
  test("with JSON, flat or nested, gives JSON", async () => {
    const flat = {
      inputs: [
        { ...left, data: six },
        { ...right, data: six },
      ],
    };
    const nested = {
      inputs: [
        {
          ...left,
          data: [
            [1, 2, 3],
            [4, 5, 6],
          ],
        },
        { ...right, data: six },
      ],
    };
    for (const body of [flat, nested]) {
      const { status, headers, json } = await post("/v2/models/sum/infer", body);
      expect({ status, type: headers.get("content-type"), json }).toEqual({
        status: 200,
        type: "application/json",
        json: sumAnswer,
      });
    }
  });

  test("echoes the id, and answers for a version", async () => {
    const body = {
      id: 'a "1"',
      inputs: [
        { ...left, data: six },
        { ...right, data: six },
      ],
    };
    expect((await post("/v2/models/sum/versions/1/infer", body)).json).toEqual({ ...sumAnswer, id: 'a "1"' });
  });

  test("takes binary and JSON inputs in one request, and gives binary where it is asked for", async () => {
    const { body, headers } = binaryBody(
      {
        inputs: [
          { ...left, parameters: { binary_data_size: 24 } },
          { ...right, data: six },
        ],
        outputs: [{ name: "sum", parameters: { binary_data: true } }],
      },
      sixBytes,
    );
    const answer = await post("/v2/models/sum/infer", body, { headers });
    expect(answer.json).toEqual({
      model_name: "sum",
      model_version: "1",
      outputs: [{ name: "sum", datatype: "FP32", shape: [2, 3], parameters: { binary_data_size: 24 } }],
    });
    expect(answer.headers.get("content-type")).toBe("application/octet-stream");
    const sum = binaryOutputs(answer).get("sum");
    expect(new Float32Array(sum?.buffer ?? new ArrayBuffer(0))).toEqual(
      new Float32Array([2, 4, 6, 8, 10, 12]),
    );
  });

  test("gives every output in binary with binary_data_output, strings with their lengths before them", async () => {
    const image = await digitPicture(7);
    const input = {
      name: "image",
      datatype: "UINT8",
      shape: [28, 28],
      parameters: { binary_data_size: 784 },
    };
    const { body, headers } = binaryBody(
      { parameters: { binary_data_output: true }, inputs: [input] },
      image.bytes,
    );
    const outputs = binaryOutputs(await post("/v2/models/digits/infer", body, { headers }));
    expect([...outputs.keys()]).toEqual(["classLabel", "classLabel_probs", "classLabel_probs_keys"]);
    expect(outputs.get("classLabel")).toEqual(new Uint8Array([1, 0, 0, 0, "7".charCodeAt(0)]));
    expect(outputs.get("classLabel_probs")?.length).toBe(80);
  });

  test("only the chosen outputs are given, and one may differ from the rest", async () => {
    const image = await digitPicture(7);
    const answer = await post("/v2/models/digits/infer", {
      parameters: { binary_data_output: true },
      inputs: [{ name: "image", datatype: "UINT8", shape: [28, 28], data: [...image.bytes] }],
      outputs: [{ name: "classLabel", parameters: { binary_data: false } }],
    });
    expect(answer.json).toEqual({
      model_name: "digits",
      model_version: "1",
      outputs: [{ name: "classLabel", datatype: "BYTES", shape: [1], data: ["7"] }],
    });
  });

  test("of a raw body takes it for the only input, and answers in binary", async () => {
    const headers = { "inference-header-content-length": "0" };
    const body = new Uint8Array(new Int32Array([1, -2, 3, 4]).buffer);
    const answer = await post("/v2/models/twice/infer", body, { headers });
    const y = binaryOutputs(answer).get("y");
    expect(new Int32Array(y?.buffer ?? new ArrayBuffer(0))).toEqual(new Int32Array([2, -4, 6, 8]));
  });

  test("of a picture file finds the input for it", async () => {
    const png = new Uint8Array(readFileSync(resolve(import.meta.dir, "../../examples/digits/digit_7.png")));
    const { status, json } = await post("/v2/models/digits/infer", png, {
      headers: { "content-type": "image/png" },
    });
    expect({ status, json }).toMatchObject({
      status: 200,
      json: { outputs: [{ name: "classLabel", data: ["7"] }, {}, {}] },
    });
  });

  test("takes a picture file as the one element of a BYTES tensor, in binary or as base64", async () => {
    const png = new Uint8Array(readFileSync(resolve(import.meta.dir, "../../examples/digits/digit_3.png")));
    const frame = new Uint8Array(4 + png.length);
    new DataView(frame.buffer).setUint32(0, png.length, true);
    frame.set(png, 4);
    const input = { name: "image", datatype: "BYTES", shape: [1] };
    const { body, headers } = binaryBody(
      { inputs: [{ ...input, parameters: { binary_data_size: frame.length } }] },
      frame,
    );
    const label = { outputs: [{ name: "classLabel", data: ["3"] }, {}, {}] };
    expect((await post("/v2/models/digits/infer", body, { headers })).json).toMatchObject(label);
    const text = { inputs: [{ ...input, data: [png.toBase64()] }] };
    expect((await post("/v2/models/digits/infer", text)).json).toMatchObject(label);
  });

  test("classification gives the greatest values with index and label", async () => {
    const image = await digitPicture(7);
    const { json } = await post("/v2/models/digits/infer", {
      inputs: [{ name: "image", datatype: "UINT8", shape: [28, 28], data: [...image.bytes] }],
      outputs: [{ name: "classLabel_probs", parameters: { classification: 2 } }],
    });
    expect(json).toMatchObject({ outputs: [{ name: "classLabel_probs", datatype: "BYTES", shape: [2] }] });
    const { outputs } = json as { outputs: readonly { data: readonly string[] }[] };
    expect(outputs[0]?.data[0]).toMatch(/^0\.96\d+:7:7$/);
    expect(outputs[0]?.data[1]).toMatch(/^0\.01\d+:2:2$/);
  });

  test("FP16 travels in binary, and as FP32 where JSON is wanted", async () => {
    const input = { name: "x", datatype: "FP16", shape: [4], parameters: { binary_data_size: 8 } };
    const bytes = new Uint8Array(new Float16Array([1, 0.1, 65504, 0]).buffer);
    const { body, headers } = binaryBody({ inputs: [input] }, bytes);
    expect((await post("/v2/models/half/infer", body, { headers })).json).toMatchObject({
      outputs: [{ name: "y", datatype: "FP32", shape: [4], data: [1, 0.0999755859375, 65504, 0] }],
    });
    const both = binaryBody({ inputs: [input], parameters: { binary_data_output: true } }, bytes);
    const answer = await post("/v2/models/half/infer", both.body, { headers: both.headers });
    expect(answer.json).toMatchObject({ outputs: [{ name: "y", datatype: "FP16" }] });
    expect(binaryOutputs(answer).get("y")).toEqual(bytes);
    const text = { inputs: [{ name: "x", datatype: "FP16", shape: [4], data: [1, 2, 3, 4] }] };
    expect(await post("/v2/models/half/infer", text)).toMatchObject({ status: 400 });
  });
});

describe("an error", () => {
  const wrong: readonly (readonly [string, string, unknown, string])[] = [
    ["text that is no JSON", "sum", "{", "Cannot read the request: it is not JSON"],
    ["another JSON", "sum", [1], "Cannot read the request: Expected object"],
    ["no inputs", "sum", {}, "Cannot read the request: inputs: Expected required property"],
    [
      "an input too few",
      "sum",
      { inputs: [{ ...left, data: six }] },
      'Cannot predict: input "right" is missing',
    ],
    [
      "an unknown input",
      "sum",
      { inputs: [{ ...left, name: "lefd", data: six }] },
      'Unknown input "lefd". Did you mean "left"?',
    ],
    [
      "too few values",
      "twice",
      { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2] }] },
      'Cannot read the request: input "x" of INT32 [4] has 4 elements, got 2',
    ],
    [
      "a fraction for a whole number",
      "twice",
      { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3.5, 4] }] },
      'Cannot read the request: element 2 of input "x" is 3.5, not a whole number for INT32',
    ],
    [
      "BF16",
      "twice",
      { inputs: [{ name: "x", datatype: "BF16", shape: [4], data: [1, 2, 3, 4] }] },
      'Cannot read the request: input "x" has the datatype "BF16", which is none of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32, FP64, BYTES',
    ],
    [
      "an unknown output",
      "twice",
      {
        inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3, 4] }],
        outputs: [{ name: "z" }],
      },
      'Unknown output "z". Did you mean "y"?',
    ],
  ];
  test.each(wrong)("for %s says what is wrong", async (_, model, body, error) => {
    const { status, headers, json } = await post(`/v2/models/${model}/infer`, body);
    expect({ status, type: headers.get("content-type"), json }).toEqual({
      status: 400,
      type: "application/json",
      json: { error },
    });
  });

  test("for a model that is not there is in Triton's words", async () => {
    expect(await post("/v2/models/nope/infer", {})).toMatchObject({
      status: 404,
      json: { error: "Request for unknown model: 'nope' is not found" },
    });
  });

  test("for another method names those that are for the path", async () => {
    const { status, headers, json } = await get("/v2/models/sum/infer");
    expect({ status, allow: headers.get("allow"), json }).toEqual({
      status: 405,
      allow: "POST",
      json: { error: "GET is not for this path" },
    });
    expect((await get("/v2", { method: "TRACE" })).status).toBe(405);
  });

  test("for another path is JSON too", async () => {
    expect(await get("/v3")).toMatchObject({ status: 404, json: { error: "There is no such path" } });
  });

  test.each(["evil.example", "127.0.0.1.evil.example", "a, b", "localhost:8000 x"])(
    "for the name %s in the Host header is 421 on every path",
    async (host) => {
      for (const path of ["/v2/health/live", "/v2/models/sum", "/nowhere"]) {
        expect((await get(path, { headers: { host } })).status).toBe(421);
      }
    },
  );

  test.each(["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:8000", "10.0.0.7:80"])(
    "does not come for the name %s",
    async (host) => {
      expect((await get("/v2/health/live", { headers: { host } })).status).toBe(200);
    },
  );
});
