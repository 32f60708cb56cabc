import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseJson, type JsonNode } from "../../../src/codecs/json-text.ts";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { describeError, errorOf } from "../../support/codec-fixtures.ts";

const subject = "Cannot read it";

function parse(text: string): JsonNode {
  return parseJson(text, { subject });
}

/** What JSON.parse gives, with objects as maps. */
function toNode(value: unknown): JsonNode {
  if (Array.isArray(value)) return value.map(toNode);
  if (typeof value === "object" && value !== null)
    return new Map(Object.entries(value).map(([key, inner]) => [key, toNode(inner)]));
  // JSON.parse has rounded such a number already; ours is exact.
  return typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
    ? BigInt(value)
    : (value as JsonNode);
}

/** With every number beyond 2^53 a bigint, also those written as 1e300. */
function widen(node: JsonNode): JsonNode {
  if (Array.isArray(node)) return node.map(widen);
  if (node instanceof Map) return new Map(Array.from(node, ([key, value]) => [key, widen(value)]));
  if (typeof node === "bigint") return BigInt(Number(node));
  return typeof node === "number" && Number.isInteger(node) && !Number.isSafeInteger(node)
    ? BigInt(node)
    : node;
}

test("values come as JSON.parse gives them, objects as maps in the order of the text", () => {
  const text =
    ' {"b": [1, -2.5e3, true, false, null, "a\\"\\u00e9\\n\\\\"], "": {}, "a": [], "__proto__": [[]]}\r\n\t';
  expect(parse(text)).toEqual(
    new Map<string, JsonNode>([
      ["b", [1, -2500, true, false, null, 'a"é\n\\']],
      ["", new Map()],
      ["a", []],
      ["__proto__", [[]]],
    ]),
  );
});

test("whole numbers are exact, whatever their length", () => {
  expect(parse("[9007199254740991, 9007199254740993, -9223372036854775808, 18446744073709551615]")).toEqual([
    9007199254740991,
    9007199254740993n,
    -9223372036854775808n,
    18446744073709551615n,
  ]);
  expect(Object.is(parse("-0"), -0)).toBe(true);
  expect(parse("9007199254740993.0")).toBe(9007199254740992);
});

test("bytes are UTF-8, with or without a byte order mark", () => {
  expect(parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31), { subject })).toBe(1);
  expect(describeError(errorOf(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), { subject })))).toBe(
    "BAD_INPUT: Cannot read it: it is not UTF-8 text",
  );
});

describe("mistakes are named with their place", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["", "line 1, column 1, at the end: expected a value"],
    ["[1,\n 2,]", 'line 2, column 4, at "]": expected a value'],
    ["[1 2]", 'line 1, column 4, at "2]": expected "," or "]"'],
    ['{"a":1 "b":2}', 'line 1, column 8, at "\\"b\\":2}": expected "," or "}"'],
    ['{"a" 1}', 'line 1, column 6, at "1}": expected ":"'],
    ["{a:1}", 'line 1, column 2, at "a:1}": expected a name in quotes'],
    ['{"a":1,"a":2}', 'line 1, column 8, at "\\"a\\":2}": "a" is there twice'],
    ["1 2", 'line 1, column 3, at "2": more text follows the value'],
    ["NaN", 'line 1, column 1, at "NaN": expected a value'],
    ["-", 'line 1, column 1, at "-": expected a number'],
    ["01", 'line 1, column 2, at "1": more text follows the value'],
    ["1e999", 'line 1, column 1, at "1e999": 1e999 is beyond float64; infinity is written "Infinity"'],
    ['"abc', "line 1, column 5, at the end: the text ends within a string"],
    ['"abc\\', "line 1, column 6, at the end: the text ends within a string"],
    ['"a\nb"', 'line 1, column 3, at "\\nb\\"": a control character within a string'],
    ['"\\x"', 'line 1, column 2, at "\\\\x\\"": a string has an unknown escape'],
    ["[", "line 1, column 2, at the end: expected a value"],
    ["[1", 'line 1, column 3, at the end: expected "," or "]"'],
  ];
  for (const [text, reason] of cases)
    test(JSON.stringify(text), () => {
      expect(errorOf(() => parse(text)).message).toBe(`Cannot read it: ${reason}`);
    });
});

describe("limits hold", () => {
  test("250,000 nested lists, in closed and open form", () => {
    const open = "[".repeat(250_000);
    const reason = `Cannot read it: line 1, column 65, at ${JSON.stringify("[".repeat(20))}: more than 64 lists and objects within each other`;
    expect(errorOf(() => parse(open)).message).toBe(reason);
    expect(errorOf(() => parse(open + "]".repeat(250_000))).message).toBe(reason);
    expect(errorOf(() => parse('{"a":'.repeat(250_000))).message).toContain(
      "more than 64 lists and objects within each other",
    );
  });

  test("with the limit raised the same text is read without overflow", () => {
    const limits = { ...defaultLimits, jsonDepth: 300_000 };
    let node = parseJson("[".repeat(250_000) + "]".repeat(250_000), { subject, limits });
    let depth = 0;
    for (; Array.isArray(node); depth++) node = node[0] ?? 0;
    expect(depth).toBe(250_000);
  });

  test("bytes, containers and digits", () => {
    expect(
      errorOf(() => parseJson("[1,2]", { subject, limits: { ...defaultLimits, jsonBytes: 4 } })).message,
    ).toBe("Cannot read it: 5 bytes are more than the limit of 4");
    expect(
      errorOf(() => parseJson("[[],[],[]]", { subject, limits: { ...defaultLimits, jsonContainers: 3 } }))
        .message,
    ).toEndWith("more than 3 lists and objects");
    expect(errorOf(() => parse("1".repeat(1000))).message).toEndWith(
      "a number of 1000 digits is beyond the limit of 400",
    );
  });
});

test("any JSON text gives what JSON.parse gives", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(toNode(JSON.parse(text))).toEqual(widen(parse(text)));
    }),
  );
});

test("any other text is refused, and nothing JSON.parse refuses is read", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'{}[],:"\\0123e.-tn '.split("")) })),
      (text) => {
        let expected: JsonNode | undefined;
        try {
          expected = toNode(JSON.parse(text));
        } catch {
          expected = undefined; // no JSON
        }
        if (expected === undefined) expect(errorOf(() => parse(text)).code).toBe("BAD_INPUT");
      },
    ),
    { numRuns: 2000 },
  );
});
