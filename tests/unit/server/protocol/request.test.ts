// Requests byte by byte: what is taken, and what each wrong one is told. The vectors are written by hand.

import { describe, expect, test } from "bun:test";
import { isTensor, numbersOf, type Tensor } from "../../../../src/core/tensor.ts";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { defaultServerLimits, type ServerLimits } from "../../../../src/server/limits.ts";
import { dtypeOf, readDatatype } from "../../../../src/codecs/datatypes.ts";
import { type InputTensor, readInferRequest } from "../../../../src/server/protocol/request.ts";
import { readElements, readStrings, readTensor } from "../../../../src/server/protocol/tensor-data.ts";

const limits = defaultServerLimits;

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** A request of one input from the text of its JSON. */
function readText(text: string, own: Partial<ServerLimits> = {}): InputTensor {
  const [input] = readInferRequest(bytesOf(text), { limits: { ...limits, ...own } }).inputs;
  if (input === undefined) throw new Error("no input");
  return input;
}

function inputText(datatype: string, shape: string, data: string): string {
  return `{"inputs":[{"name":"x","datatype":"${datatype}","shape":${shape},"data":${data}}]}`;
}

/** JSON, then these bytes. */
function readBinary(datatype: string, shape: readonly number[], bytes: readonly number[]): InputTensor {
  const parameters = { binary_data_size: bytes.length };
  const head = bytesOf(JSON.stringify({ inputs: [{ name: "x", datatype, shape, parameters }] }));
  const body = new Uint8Array([...head, ...bytes]);
  const [input] = readInferRequest(body, { jsonLength: head.length, limits }).inputs;
  if (input === undefined) throw new Error("no input");
  return input;
}

function tensorIn(input: InputTensor): Tensor {
  if (input.datatype === "BYTES") throw new Error("no numbers");
  return readTensor(input, input.datatype);
}

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CoremlxError && error.code === "BAD_INPUT") return error.message;
    throw error;
  }
  throw new Error("Expected an error, got none");
}

describe("numbers in JSON", () => {
  const taken: readonly (readonly [datatype: string, data: string, bytes: readonly number[]])[] = [
    ["BOOL", "[true,false]", [1, 0]],
    ["BOOL", "[0,1]", [0, 1]],
    ["UINT8", "[0,255]", [0, 255]],
    ["INT8", "[-128,127]", [0x80, 0x7f]],
    ["UINT16", "[1,65535]", [1, 0, 0xff, 0xff]],
    ["INT16", "[-2,1]", [0xfe, 0xff, 1, 0]],
    ["INT32", "[-1,1]", [0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]],
    ["UINT32", "[4294967295,0]", [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]],
    ["INT64", "[-1,2]", [255, 255, 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 0, 0, 0]],
    [
      "INT64",
      "[9007199254740993,-9223372036854775808]",
      [1, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0x80],
    ],
    ["UINT64", "[18446744073709551615,0]", [255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]],
    ["FP32", "[1,-2]", [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]],
    ["FP32", '["NaN","-Infinity"]', [0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0xff]],
    ["FP64", "[0.5,-0]", [0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x80]],
  ];
  test.each(taken)("of %s: %s are these bytes", (datatype, data, bytes) => {
    const tensor = tensorIn(readText(inputText(datatype, "[2]", data)));
    const named = readDatatype(datatype);
    if (named === undefined || named === "BYTES") throw new Error("no numbers");
    expect(tensor).toEqual({ dtype: dtypeOf(named), shape: [2], bytes: new Uint8Array(bytes) });
  });

  test("may be nested in any way that keeps their order", () => {
    for (const data of ["[[1,2],[3,4]]", "[1,2,3,4]", "[[1,2,3,4]]", "[[1],[2],[3],[4]]"]) {
      const tensor = tensorIn(readText(inputText("UINT8", "[2,2]", data)));
      expect(tensor).toEqual({ dtype: "uint8", shape: [2, 2], bytes: new Uint8Array([1, 2, 3, 4]) });
    }
  });

  test("of no elements are none", () => {
    expect(tensorIn(readText(inputText("FP32", "[0,3]", "[]"))).bytes.length).toBe(0);
  });

  test("one may stand alone for an array without axes", () => {
    expect([...numbersOf(tensorIn(readText(inputText("FP32", "[]", "7"))))]).toEqual([7]);
  });

  const refused: readonly (readonly [datatype: string, shape: string, data: string, message: string])[] = [
    ["UINT8", "[1]", "[256]", 'element 0 of input "x" is 256, not within 0 to 255 for UINT8'],
    ["INT32", "[1]", "[0.5]", 'element 0 of input "x" is 0.5, not a whole number for INT32'],
    [
      "INT64",
      "[1]",
      "[9223372036854775808]",
      'element 0 of input "x" is 9223372036854775808, not within -9223372036854775808 to 9223372036854775807 for INT64',
    ],
    ["FP32", "[1]", "[1e39]", 'element 0 of input "x" is 1e+39, beyond its range for FP32'],
    ["FP32", "[1]", '["1"]', 'element 0 of input "x" is "1", no number for FP32'],
    ["FP32", "[1]", "[null]", 'element 0 of input "x" is null, no number for FP32'],
    ["FP32", "[2]", "[1,true]", 'element 1 of input "x" is true, no number for FP32'],
    ["BOOL", "[1]", "[2]", 'element 0 of input "x" is 2, not 0 or 1 for BOOL'],
    ["INT32", "[1]", '["NaN"]', 'element 0 of input "x" is "NaN", no number for INT32'],
    ["FP32", "[3]", "[1,2]", 'input "x" of FP32 [3] has 3 elements, got 2'],
    ["FP32", "[1]", "[1,2]", 'input "x" of FP32 [1] has 1 elements, got 2'],
    ["FP32", "[3,1]", "[[1],[2]]", 'input "x" of FP32 [3, 1] has 3 elements, got 2'],
    ["FP32", "[1000000000]", "[1]", 'input "x" of FP32 [1000000000] has 1000000000 elements, got 1'],
    ["FP32", "[1000000000,1]", "[[1]]", 'input "x" of FP32 [1000000000, 1] has 1000000000 elements, got 1'],
    ["FP32", "[2]", "[[[1]],2]", "its data are nested deeper than their shape"],
    ["FP32", "[2]", '{"a":1}', 'input "x" of FP32 [2] has 2 elements, got 1'],
  ];
  test.each(refused)("of %s %s: %s are refused", (datatype, shape, data, message) => {
    expect(messageOf(() => tensorIn(readText(inputText(datatype, shape, data))))).toBe(
      `Cannot read the request: ${message}`,
    );
  });
});

describe("binary tensors", () => {
  test("are views of the body", () => {
    const tensor = tensorIn(readBinary("FP32", [2], [0, 0, 128, 63, 0, 0, 0, 64]));
    expect(isTensor(tensor) && [...numbersOf(tensor)]).toEqual([1, 2]);
    expect(tensor.bytes.buffer.byteLength).toBeGreaterThan(8);
  });

  test("of BOOL hold 0 and 1, whatever was sent for true", () => {
    expect([...tensorIn(readBinary("BOOL", [3], [0, 1, 7])).bytes]).toEqual([0, 1, 1]);
  });

  test("of BYTES have the length of each element before it", () => {
    const input = readBinary("BYTES", [2], [1, 0, 0, 0, 65, 0, 0, 0, 0]);
    expect(readElements(input).map((element) => [...element])).toEqual([[65], []]);
    expect(readStrings(input)).toEqual(["A", ""]);
  });

  const wrong: readonly (readonly [string, readonly number[], readonly number[], string])[] = [
    ["FP32", [2], [1, 2, 3, 4], 'input "x" of FP32 [2] takes 8 bytes, got 4'],
    ["BYTES", [1], [1, 0, 0], 'input "x" ends within the length of element 0'],
    ["BYTES", [1], [9, 0, 0, 0, 65], 'element 0 of input "x" has 9 bytes, but 1 are left'],
    ["BYTES", [1], [255, 255, 255, 255, 65], 'element 0 of input "x" has 4294967295 bytes, but 1 are left'],
    ["BYTES", [3], [0, 0, 0, 0], 'input "x" of BYTES [3] has 3 elements, got 1'],
    ["FP32", [2 ** 31, 2 ** 31], [], 'input "x": shape'],
  ];
  test.each(wrong)("of %s %p: %p are refused", (datatype, shape, bytes, message) => {
    const input = () => readBinary(datatype, shape, bytes);
    expect(messageOf(() => (datatype === "BYTES" ? readElements(input()) : tensorIn(input())))).toContain(
      message,
    );
  });

  test("of BYTES that are no text are refused as text only", () => {
    const input = readBinary("BYTES", [1], [1, 0, 0, 0, 0xff]);
    expect(readElements(input).length).toBe(1);
    expect(messageOf(() => readStrings(input))).toContain('element 0 of input "x" is not UTF-8 text');
  });

  test("take the bytes behind the JSON in order, all of them", () => {
    const tensors = [2, 1].map((size, i) => ({
      name: `x${i}`,
      datatype: "UINT8",
      shape: [size],
      parameters: { binary_data_size: size },
    }));
    const head = bytesOf(JSON.stringify({ inputs: tensors }));
    const read = (tail: readonly number[], jsonLength = head.length) =>
      readInferRequest(new Uint8Array([...head, ...tail]), { jsonLength, limits });
    expect(read([1, 2, 3]).inputs.map((input) => [...tensorIn(input).bytes])).toEqual([[1, 2], [3]]);
    expect(messageOf(() => read([1, 2, 3, 4]))).toContain("1 bytes follow the last tensor");
    expect(messageOf(() => read([1, 2]))).toContain(
      'input "x1" has a binary_data_size of 1, but 0 bytes are left',
    );
    expect(messageOf(() => read([1, 2, 3], 10_000))).toContain("is 10000, but the body has");
    expect(messageOf(() => read([1, 2, 3], head.length - 1))).toContain("it is not JSON");
  });
});

describe("the envelope", () => {
  const x = '"name":"x","datatype":"FP32","shape":[1]';
  const wrong: readonly (readonly [string, string, string])[] = [
    ["nothing at all", "", "it is not JSON"],
    ["bytes that are no text", "\u0000", "it is not JSON"],
    ["null", "null", "Expected object"],
    ["inputs that are no list", '{"inputs":{}}', "inputs: Expected array"],
    [
      "a negative size",
      '{"inputs":[{"name":"x","datatype":"FP32","shape":[-1],"data":[]}]}',
      "inputs/0/shape/0: Expected integer to be greater or equal to 0",
    ],
    [
      "half a size",
      '{"inputs":[{"name":"x","datatype":"FP32","shape":[0.5],"data":[]}]}',
      "inputs/0/shape/0: Expected integer",
    ],
    [
      "a size beyond 2^53",
      '{"inputs":[{"name":"x","datatype":"FP32","shape":[1e300],"data":[]}]}',
      "inputs/0/shape/0: Expected integer",
    ],
    ["an id that is a number", `{"id":5,"inputs":[]}`, "id: Expected string"],
    [
      "a parameter that is a list",
      `{"parameters":{"a":[]},"inputs":[]}`,
      "parameters/a: Expected union value",
    ],
    ["no data", `{"inputs":[{${x}}]}`, 'input "x" has neither data nor a binary_data_size'],
    [
      "data twice",
      `{"inputs":[{${x},"data":[1],"parameters":{"binary_data_size":4}}]}`,
      'input "x" has both data and a binary_data_size',
    ],
    [
      "a size in text",
      `{"inputs":[{${x},"parameters":{"binary_data_size":"4"}}]}`,
      'parameter "binary_data_size" must be a whole number from 0 on, got "4"',
    ],
    [
      "a negative size of data",
      `{"inputs":[{${x},"parameters":{"binary_data_size":-4}}]}`,
      'parameter "binary_data_size" must be a whole number from 0 on, got -4',
    ],
    [
      "more bytes than there are",
      `{"inputs":[{${x},"parameters":{"binary_data_size":99999999999}}]}`,
      "but 0 bytes are left",
    ],
    [
      "a switch in text",
      `{"inputs":[],"parameters":{"binary_data_output":"yes"}}`,
      'parameter "binary_data_output" must be true or false, got "yes"',
    ],
    [
      "FP16 in JSON",
      '{"inputs":[{"name":"x","datatype":"FP16","shape":[1],"data":[1]}]}',
      'input "x" is FP16, which is sent in binary, not in JSON',
    ],
  ];
  test.each(wrong)("with %s is refused", (_, text, message) => {
    expect(messageOf(() => readInferRequest(bytesOf(text), { limits }))).toContain(message);
  });

  test("that is not UTF-8 is refused", () => {
    const body = new Uint8Array([0x22, 0xff, 0x22]);
    expect(messageOf(() => readInferRequest(body, { limits }))).toBe(
      "Cannot read the request: it is not UTF-8 text",
    );
  });

  test("may be nested as deep as anybody likes where nobody looks, and is refused where somebody does", () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const input = readText(inputText("FP32", "[1]", deep));
    expect(messageOf(() => tensorIn(input))).toBe(
      "Cannot read the request: its data are nested deeper than their shape",
    );
  });

  test("may have so many brackets, axes and tensors, and a name of such a length, and no more", () => {
    const many = inputText("FP32", "[1]", `[${"[],".repeat(50)}[]]`);
    expect(messageOf(() => readText(many, { maxJsonContainers: 50 }))).toContain(
      "its JSON has more than 50 brackets",
    );
    expect(readText(many, { maxJsonContainers: 60 }).name).toBe("x");
    const axes = inputText("FP32", "[1,1,1]", "[1]");
    expect(messageOf(() => readText(axes, { maxAxes: 2 }))).toContain("more than 2 axes");
    expect(messageOf(() => readText(axes, { maxTensors: 0 }))).toContain("more than 0 tensors");
    const id = '{"id":"12345","inputs":[]}';
    expect(messageOf(() => readText(id, { maxIdLength: 4 }))).toContain(
      "its id has 5 characters, more than 4",
    );
  });

  test("names outputs with what is wanted of each", () => {
    const text =
      '{"inputs":[],"parameters":{"binary_data_output":true},"outputs":[{"name":"a"},{"name":"b","parameters":{"binary_data":false,"classification":3}}]}';
    expect(readInferRequest(bytesOf(text), { limits }).outputs).toEqual([
      { name: "a", isBinary: true, classCount: 0 },
      { name: "b", isBinary: false, classCount: 3 },
    ]);
  });
});

test("a long list of numbers in one input leaves what the others hold alone", () => {
  const item = (name: string, data: string) =>
    `{"name":"${name}","datatype":"INT32","shape":[1],"data":${data}}`;
  const long = `[${Array.from({ length: 400 }, (_, i) => i).join(",")}]`;
  const text = `{"inputs":[${[item("a", long), item("b", "[[0]]"), item("c", '["0"]'), item("d", "[0]"), item("e", "0")].join(",")}]}`;
  const { inputs } = readInferRequest(bytesOf(text), { limits });
  const data = inputs.map(({ content }) => (content.kind === "json" ? content.data : undefined));
  const numbers = Float64Array.from({ length: 400 }, (_, i) => i);
  expect(data).toEqual([numbers, [[0]], ["0"], new Float64Array(1), 0]);
});
