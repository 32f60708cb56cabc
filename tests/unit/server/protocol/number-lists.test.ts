// Number lists read from bytes, held against JSON.parse.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type LiftedJson, liftNumberLists } from "../../../../src/server/protocol/number-lists.ts";

const pad = " ".repeat(512);
const bytes = (text: string) => new TextEncoder().encode(text);
const inputs = (list: string) => `{"inputs":[{"name":"x","data":${list}}]}${pad}`;

/** What the reader makes of it, put together again; undefined where it leaves all to JSON.parse. */
function read(text: string): unknown {
  const lifted = liftNumberLists(bytes(text));
  if (lifted === undefined) return undefined;
  const root = JSON.parse(lifted.text) as { inputs: { data: unknown }[] };
  for (const input of root.inputs) {
    const list = listAt(input.data, lifted);
    if (list !== undefined) input.data = [...list];
  }
  return root;
}

function listAt(value: unknown, { lists }: LiftedJson): Float64Array | undefined {
  if (!Array.isArray(value) || value.length !== 1) return undefined;
  const place: unknown = value[0];
  return typeof place === "number" ? lists[place] : undefined;
}

const space = fc.constantFrom("", " ", "\n\t", "\r\n ");
const plain = fc.oneof(
  fc.integer().map(String),
  fc.integer({ min: 0, max: 255 }).map(String),
  fc.tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.nat(999_999)).map(([a, b]) => `${a}.${b}`),
  fc.constantFrom("-0", "0", "0.0", "-0.5", "900719925474099", "0.000001", "1.50"),
);

describe("a list of numbers", () => {
  test("is what JSON.parse makes of it, to the last bit", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(space, plain, space), { minLength: 1, maxLength: 40 }), (items) => {
        const text = inputs(`[${items.map((parts) => parts.join("")).join(",")}]`);
        expect(read(text)).toEqual(JSON.parse(text));
      }),
      { seed: 1, numRuns: 2_000 },
    );
  });

  test("of any numbers is read right, or left to JSON.parse", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
        (values) => {
          const text = inputs(JSON.stringify(values));
          const found = read(text);
          if (found !== undefined) expect(found).toEqual(JSON.parse(text));
        },
      ),
      { seed: 2, numRuns: 2_000 },
    );
  });

  test("longer than the first room for it is whole", () => {
    const values = Array.from({ length: 5_000 }, (_, i) => i / 8);
    expect(read(inputs(JSON.stringify(values)))).toEqual({ inputs: [{ name: "x", data: values }] });
  });

  test.each([
    "01",
    "+1",
    "1.",
    ".5",
    "-",
    "--1",
    "1 2",
    "1,",
    ",1",
    "1e5",
    "0x10",
    "1,,2",
    "1.5.5",
    "9007199254740993",
    "1,true",
    "1,[2]",
  ])("[%s] is left to JSON.parse", (items) => {
    expect(liftNumberLists(bytes(inputs(`[${items}]`)))).toBeUndefined();
  });
});

test("bytes changed anywhere never read as something else than JSON.parse reads", () => {
  const text = inputs("[0, 12, 3.25, -7]").replace("}]}", `},{"name":"ä","data":[5]}],"outputs":[]}`);
  const original = bytes(text);
  const put = fc.tuple(fc.nat(100), fc.oneof(fc.nat(255), fc.constantFrom(...bytes('[]{}",:\\ 0-.de'))));
  fc.assert(
    fc.property(fc.array(put, { minLength: 1, maxLength: 3 }), (changes) => {
      const changed = original.slice();
      for (const [at, byte] of changes) changed[at] = byte;
      expect(outcome(() => readBytes(changed))).toEqual(outcome(() => parse(changed)));
    }),
    { seed: 3, numRuns: 5_000 },
  );
});

const utf8 = new TextDecoder("utf-8", { fatal: true });

function parse(head: Uint8Array): unknown {
  return JSON.parse(utf8.decode(head));
}

/** As a request reads it: with the lists where they were, whatever else the JSON is. */
function readBytes(head: Uint8Array): unknown {
  const lifted = liftNumberLists(head);
  if (lifted === undefined) return parse(head);
  return JSON.parse(lifted.text, (key, value: unknown) => {
    const list = key === "data" ? listAt(value, lifted) : undefined;
    return list === undefined ? value : [...list];
  });
}

function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return "an error";
  }
}

test.each([
  ["a name that only reads data", `{"inputs":[{"d\\u0061ta":[0],"data":[1,2]}]}${pad}`],
  ["lists in lists", inputs("[[1,2],[3,4]]")],
  ["texts", inputs('["1","2"]')],
  ["an empty list", inputs("[]")],
  ["a short request", '{"inputs":[{"name":"x","data":[1,2,3]}]}'],
])("%s: all of it is left to JSON.parse", (_, text) => {
  expect(liftNumberLists(bytes(text))).toBeUndefined();
});

test("lists at other depths stay where they are", () => {
  const text = `{"data":[1],"inputs":[{"parameters":{"data":[2]},"data":[3,4]}]}${pad}`;
  expect(liftNumberLists(bytes(text))?.text.trim()).toBe(
    `{"data":[1],"inputs":[{"parameters":{"data":[2]},"data":[0]}]}`,
  );
});
