import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { decodeSafetensors, encodeSafetensors } from "../../../src/codecs/safetensors.ts";
import { f32, tensorOf } from "../../../src/core/tensor.ts";
import {
  base64,
  damaged,
  describeError,
  errorOf,
  readFixture,
  tensors,
  toTensor,
  type StoredArray,
} from "../../support/codec-fixtures.ts";

const fixture = await readFixture<{
  file: string;
  metadata: Readonly<Record<string, string>>;
  arrays: Readonly<Record<string, StoredArray>>;
  float8: string;
}>("safetensors.json");

const expected = new Map(Object.entries(fixture.arrays).map(([name, stored]) => [name, toTensor(stored)]));
const metadata = new Map(Object.entries(fixture.metadata));

/** A file with this header and as many zero bytes. */
function file(header: string, dataLength = 0): Uint8Array {
  const text = Buffer.from(header);
  const bytes = Buffer.alloc(8 + text.length + dataLength);
  bytes.writeBigUInt64LE(BigInt(text.length));
  text.copy(bytes, 8);
  return Uint8Array.from(bytes);
}

test("what the reference library wrote is read, all element types of it", () => {
  expect(decodeSafetensors(base64(fixture.file), "x.safetensors")).toEqual({ tensors: expected, metadata });
});

test("our file is the reference library's to the byte", () => {
  expect(Buffer.from(encodeSafetensors(expected, metadata)).toString("base64")).toBe(fixture.file);
});

test("float8 is refused by name, unless it is not asked for", () => {
  const error = errorOf(() => decodeSafetensors(base64(fixture.float8), "x"));
  expect(describeError(error)).toBe(
    'UNSUPPORTED: Cannot read safetensors "x": the elements of "x" are F8_E4M3',
  );
  expect(error.hint).toBe("Convert it to F16 or F32 first");
  expect(decodeSafetensors(base64(fixture.float8), "x", { keys: [] }).tensors.size).toBe(0);
});

test("only the arrays asked for are read, and a missing one is named", () => {
  expect(decodeSafetensors(base64(fixture.file), "x", { keys: ["z"] }).tensors).toEqual(
    new Map([["z", f32([1.5], [])]]),
  );
  expect(errorOf(() => decodeSafetensors(base64(fixture.file), "x", { keys: ["nope"] })).message).toBe(
    'Cannot read safetensors "x": it holds no array called "nope"',
  );
});

test("a null for metadata, padding and a bool of any non-zero byte are read", () => {
  const bytes = file('{"__metadata__":null,"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}   ', 2);
  bytes[bytes.length - 1] = 7;
  expect(decodeSafetensors(bytes, "x")).toEqual({
    tensors: new Map([["b", tensorOf("bool", [0, 1])]]),
    metadata: new Map(),
  });
});

describe("damage is named", () => {
  const entry = (fields: string): string => `{"a":{${fields}}}`;
  const a = entry('"dtype":"F32","shape":[2],"data_offsets":[0,8]');
  const huge = file("{}");
  huge[4] = 1;
  const long = file("{}");
  long[0] = 200;
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["an empty file", new Uint8Array(0), "it has 0 bytes, too few for a header"],
    [
      "a header beyond the limit",
      huge,
      `a header of 4294967298 bytes is more than the limit of ${defaultLimits.safetensorsHeaderBytes}`,
    ],
    ["a header beyond the file", long, "the header has 200 bytes, the file only 2 more"],
    ["no object", file("[1]"), 'the header does not begin with "{"'],
    ["no JSON", file("{1}"), 'line 1, column 2, at "1}": expected a name in quotes'],
    ["one name twice", file('{"a":1,"a":2}'), 'line 1, column 8, at "\\"a\\":2}": "a" is there twice'],
    ["an entry that is no object", file('{"a":1}'), '"a" is no JSON object'],
    ["metadata that are no object", file('{"__metadata__":1}'), '"__metadata__" is no JSON object'],
    [
      "metadata that are no strings",
      file('{"__metadata__":{"k":1}}'),
      '"__metadata__" holds "k", which is no string',
    ],
    [
      "a missing field",
      file(entry('"dtype":"F32","shape":[2]')),
      '"a" needs "dtype", "shape" and two "data_offsets"',
    ],
    [
      "a negative axis",
      file(entry('"dtype":"F32","shape":[-2],"data_offsets":[0,8]')),
      '"a" needs "dtype", "shape" and two "data_offsets"',
    ],
    [
      "three offsets",
      file(entry('"dtype":"F32","shape":[2],"data_offsets":[0,8,9]')),
      '"a" needs "dtype", "shape" and two "data_offsets"',
    ],
    [
      "an unknown type",
      file(entry('"dtype":"Q4","shape":[2],"data_offsets":[0,8]')),
      '"a" has the unknown dtype "Q4"',
    ],
    [
      "an end before the begin",
      file(entry('"dtype":"F32","shape":[2],"data_offsets":[8,0]'), 8),
      '"a" ends at byte 0, before it begins at 8',
    ],
    ["data beyond the file", file(a, 7), '"a" ends at byte 8 of 7'],
    ["data that belong to nothing", file(a, 12), "its last 4 bytes belong to no array"],
    [
      "a gap",
      file(entry('"dtype":"F32","shape":[2],"data_offsets":[4,12]'), 12),
      "bytes 0 to 4 belong to no array",
    ],
    [
      "a shape that lies",
      file(entry('"dtype":"F32","shape":[3],"data_offsets":[0,8]'), 8),
      '"a" of shape [3] and F32 takes 12 bytes, the header gives it 8',
    ],
    [
      "a shape beyond memory",
      file(entry('"dtype":"F32","shape":[99999,99999],"data_offsets":[0,8]'), 8),
      '"a": shape [99999, 99999] of float32 takes 39999200004 bytes, more than the limit of 4294967296',
    ],
    [
      "arrays that overlap",
      file(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[7,8]}}',
        8,
      ),
      '"b" begins at byte 7, within another array',
    ],
  ];
  for (const [name, bytes, reason] of cases)
    test(name, () => {
      expect(describeError(errorOf(() => decodeSafetensors(bytes, "x")))).toBe(
        `BAD_INPUT: Cannot read safetensors "x": ${reason}`,
      );
    });
});

test("the metadata's own name is not given to an array", () => {
  expect(errorOf(() => encodeSafetensors(new Map([["__metadata__", f32([1])]]))).message).toBe(
    'Cannot write safetensors: an array cannot be called "__metadata__"',
  );
});

test("any arrays survive writing and reading, and start at a multiple of their width", () => {
  const name = fc.string({ unit: "grapheme", maxLength: 8 }).map((text) => `${text}.`);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, tensors())), fc.dictionary(name, fc.string()), (arrays, pairs) => {
      const map = new Map(arrays);
      const bytes = encodeSafetensors(map, new Map(Object.entries(pairs)));
      expect(bytes[0]! % 8).toBe(0);
      const decoded = decodeSafetensors(bytes, "x");
      expect(decoded.metadata).toEqual(new Map(Object.entries(pairs)));
      expect(decoded.tensors).toEqual(map);
    }),
  );
});

test("damaged files throw only errors of ours", () => {
  fc.assert(
    fc.property(damaged(base64(fixture.file)), (bytes) => {
      try {
        decodeSafetensors(bytes, "x");
      } catch (error) {
        expect(error).toHaveProperty("name", "CoremlxError");
      }
    }),
    { numRuns: 1000 },
  );
});
