import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeNpy, encodeNpy } from "../../../src/codecs/npy.ts";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { tensorOf, zeros } from "../../../src/core/tensor.ts";
import {
  allDTypes,
  base64,
  damaged,
  describeError,
  errorOf,
  readFixture,
  tensors,
  toTensor,
  type StoredArray,
} from "../../support/codec-fixtures.ts";

const { cases, refused } = await readFixture<{
  cases: readonly (StoredArray & { name: string; file: string; isOurs: boolean })[];
  refused: readonly { name: string; file: string }[];
}>("npy.json");

/** A file with this header text and data. */
function file(header: string, data: Uint8Array = new Uint8Array(0), version: 1 | 2 | 3 = 1): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length =
    version === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.from([0x93, ...Buffer.from("NUMPY"), version, 0, ...length, ...text, ...data]);
}

const float3 = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n";

describe("what numpy wrote is read", () => {
  for (const stored of cases)
    test(stored.name, () => {
      expect(decodeNpy(base64(stored.file), "x.npy")).toEqual(toTensor(stored));
    });
});

describe("our files are numpy's to the byte", () => {
  for (const stored of cases.filter(({ isOurs }) => isOurs))
    test(stored.name, () => {
      expect(Buffer.from(encodeNpy(toTensor(stored))).toString("base64")).toBe(stored.file);
    });
});

describe("element types that no model takes are refused by name, with a way out", () => {
  for (const { name, file: stored } of refused)
    test(name, () => {
      const error = errorOf(() => decodeNpy(base64(stored), "x.npy"));
      expect(error.code).toBe("BAD_INPUT");
      expect(error.message).toStartWith(`Cannot read npy "x.npy": its elements are ${name}`);
      expect(error.hint).toBeDefined();
    });
});

test("bfloat16 is written as float32 of the same value", () => {
  const decoded = decodeNpy(encodeNpy(tensorOf("bfloat16", [1.5, -3])), "x.npy");
  expect(decoded).toEqual(tensorOf("float32", [1.5, -3]));
});

test("a bool stored as any non-zero byte becomes 1", () => {
  const bytes = file("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }\n", Uint8Array.of(0, 2, 255));
  expect(decodeNpy(bytes, "x")).toEqual(tensorOf("bool", [0, 1, 1]));
});

test("headers as other writers format them are read", () => {
  const data = new Uint8Array(12);
  const zero = zeros("float32", [3]);
  expect(decodeNpy(file(`{"shape":(3,),"fortran_order":False,"descr":"<f4"}`, data), "x")).toEqual(zero);
  expect(decodeNpy(file("{'descr': '=f4', 'fortran_order': False, 'shape': (3L,)}   \n", data), "x")).toEqual(
    zero,
  );
  expect(
    decodeNpy(file(" { 'descr' : '<f4' , 'fortran_order' : True , 'shape' : ( 3 , ) , } ", data), "x"),
  ).toEqual(zero);
});

test("the result owns its memory", () => {
  const bytes = encodeNpy(tensorOf("uint8", [1, 2, 3]));
  const tensor = decodeNpy(bytes, "x.npy");
  bytes.fill(0);
  expect(tensor).toEqual(tensorOf("uint8", [1, 2, 3]));
});

describe("damage is named", () => {
  const f3 = new Uint8Array(12);
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["no npy file", new TextEncoder().encode("hello"), "it does not begin as an npy file does"],
    ["an empty file", new Uint8Array(0), "it does not begin as an npy file does"],
    ["cut within the header", file(float3).slice(0, 8), "it ends after 8 bytes, within the header"],
    [
      "cut within the header text",
      file(float3).slice(0, 20),
      "the header has 58 bytes, the file only 10 more",
    ],
    [
      "an unknown version",
      Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 9, 1, 0, 0, 0, 0),
      "version 9.1 is unknown",
    ],
    ["too few data", file(float3, new Uint8Array(8)), "shape [3] of float32 takes 12 bytes, the file has 8"],
    [
      "too many data",
      file(float3, new Uint8Array(13)),
      "shape [3] of float32 takes 12 bytes, the file has 13",
    ],
    [
      "a shape that lies",
      file("{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000), }", f3),
      "shape [1000, 1000] of float64 takes 8000000 bytes, the file has 12",
    ],
    [
      "a shape beyond memory",
      file("{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }", f3),
      "shape [100000, 100000] of float64 takes 80000000000 bytes, more than the limit of 4294967296",
    ],
    [
      "a shape whose product overflows",
      file("{'descr': '|i1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 0), }"),
      "shape [4294967296, 4294967296, 0] has more elements than can be counted",
    ],
    [
      "an axis beyond all numbers",
      file("{'descr': '|i1', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
      "the header is malformed at character 71: a size of 99999999999999999999 is too large",
    ],
    [
      "a negative axis",
      file("{'descr': '|i1', 'fortran_order': False, 'shape': (-1,), }"),
      "the header is malformed at character 51: expected a size",
    ],
    [
      "a number for a shape",
      file("{'descr': '|i1', 'fortran_order': False, 'shape': (3), }"),
      "the header is malformed at character 53: (n) is a number in Python, expected (n,)",
    ],
    [
      "axes without commas",
      file("{'descr': '|i1', 'fortran_order': False, 'shape': (3 4), }"),
      `the header is malformed at character 53: expected "," or ")"`,
    ],
    [
      "a missing field",
      file("{'descr': '|i1', 'shape': (3,), }"),
      "the header is malformed at character 33: descr, fortran_order or shape is missing",
    ],
    [
      "a field twice",
      file("{'descr': '|i1', 'descr': '|i1', }"),
      `the header is malformed at character 26: "descr" is there twice`,
    ],
    [
      "an unknown field",
      file("{'os': 1}"),
      "the header is malformed at character 1: expected one of descr, fortran_order, shape",
    ],
    ["no dictionary", file("__import__('os')"), `the header is malformed at character 0: expected "{"`],
    [
      "an expression for a value",
      file("{'fortran_order': 1 == 1, }"),
      "the header is malformed at character 18: expected True or False",
    ],
    [
      "a call for a type",
      file("{'descr': open('x'), }"),
      "the header is malformed at character 10: expected a type",
    ],
    [
      "text behind the dictionary",
      file(`${float3} + 1`, f3),
      "the header is malformed at character 57: expected the end",
    ],
    [
      "no separator",
      file("{'descr': '|i1' 'shape': (3,)}"),
      `the header is malformed at character 16: expected "," or "}"`,
    ],
    [
      "an open field list",
      file("{'descr': [('a', '<f4')"),
      "the header is malformed at character 23: expected the end of the field list",
    ],
    [
      "an unknown type",
      file("{'descr': '<q9', 'fortran_order': False, 'shape': (3,), }", f3),
      `element type "<q9" is unknown`,
    ],
    [
      "a type from Object",
      file("{'descr': 'constructor', 'fortran_order': False, 'shape': (3,), }", f3),
      `element type "constructor" is unknown`,
    ],
    [
      "a multi-byte type without an order",
      file("{'descr': '|i4', 'fortran_order': False, 'shape': (3,), }", f3),
      `element type "|i4" is unknown`,
    ],
    [
      "a header that is no UTF-8",
      Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 3, 0, 2, 0, 0, 0, 0xff, 0xff),
      "the header is not UTF-8",
    ],
  ];
  for (const [name, bytes, reason] of cases)
    test(name, () => {
      expect(errorOf(() => decodeNpy(bytes, "x.npy")).message).toBe(`Cannot read npy "x.npy": ${reason}`);
    });

  test("a header longer than the limit", () => {
    const bytes = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 2, 0, 0, 0, 0, 0x10);
    expect(errorOf(() => decodeNpy(bytes, "x")).message).toBe(
      `Cannot read npy "x": a header of 268435456 bytes is more than the limit of ${defaultLimits.npyHeaderBytes}`,
    );
  });

  test("more axes than the limit", () => {
    const header = `{'descr': '|i1', 'fortran_order': False, 'shape': (${"1,".repeat(40)}), }`;
    expect(errorOf(() => decodeNpy(file(header, Uint8Array.of(1)), "x")).message).toBe(
      `Cannot read npy "x": 40 axes are more than the limit of ${defaultLimits.rank}`,
    );
  });
});

test("a shape too long for the header is not written", () => {
  const tensor = { ...zeros("uint8", []), shape: Array.from({ length: 40_000 }, () => 1) };
  expect(describeError(errorOf(() => encodeNpy(tensor)))).toBe(
    "BAD_INPUT: Cannot write npy: a shape of 40000 axes does not fit the header",
  );
});

test("any array survives writing and reading", () => {
  const dtypes = allDTypes.filter((dtype) => dtype !== "bfloat16");
  fc.assert(
    fc.property(tensors(dtypes), (tensor) => expect(decodeNpy(encodeNpy(tensor), "x")).toEqual(tensor)),
  );
});

test("damaged files throw only errors of ours", () => {
  const intact = file("{'descr': '>f4', 'fortran_order': True, 'shape': (3, 2), }", new Uint8Array(24));
  fc.assert(
    fc.property(damaged(intact), (bytes) => {
      try {
        decodeNpy(bytes, "x");
      } catch (error) {
        expect(error).toHaveProperty("name", "CoremlxError");
      }
    }),
    { numRuns: 500 },
  );
});
