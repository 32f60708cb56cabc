// A tape's bytes: what goes in comes out, and nothing that was tampered with does harm.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { inflateRawSync } from "node:zlib";
import { CoremlxError } from "../../../../src/core/errors.ts";
import type { FunctionDescription } from "../../../../src/core/model.ts";
import { f32, type FeatureValue, tensorOf } from "../../../../src/core/tensor.ts";
import type { Tape } from "../../../../src/engines/tape/content.ts";
import { decodeTape, encodeTape, encodeTapeContent } from "../../../../src/engines/tape/file.ts";
import { defaultTapeLimits } from "../../../../src/engines/tape/limits.ts";
import { digestValues } from "../../../../src/engines/tape/values.ts";
import { TapeEngine } from "../../../../src/engines/tape.ts";

const main: FunctionDescription = {
  name: "main",
  inputs: [
    {
      name: "x",
      description: "",
      isOptional: false,
      type: {
        kind: "multiArray",
        dtype: "float32",
        shape: [2],
        constraint: { kind: "range", axes: [{ lower: 1, upper: undefined }] },
        defaultValue: undefined,
      },
    },
  ],
  outputs: [
    {
      name: "y",
      description: "",
      isOptional: false,
      type: { kind: "dictionary", key: "string" },
    },
  ],
  states: [],
  predictedFeatureName: "y",
  predictedProbabilitiesName: undefined,
};

const one = { outputs: new Map([["y", new Map([["a", 0.5]])]]), states: new Map() };

const tape: Tape = {
  recordedAt: "2026-11-24T12:00:00.000Z",
  tool: "coremlx 0.1.0",
  label: "Core ML",
  engine: { name: "coreml", version: "Core ML of macOS 26.5 (25F71)" },
  model: {
    name: "m",
    digest: "ab".repeat(32),
    description: {
      kind: "mlProgram",
      specificationVersion: 9,
      functions: [main],
      defaultFunction: "main",
      metadata: {
        description: "d",
        version: "1",
        author: "",
        license: "",
        userDefined: new Map([["k", "v"]]),
      },
      isUpdatable: false,
      classLabels: [1n, 2n ** 62n],
    },
  },
  condition: { powerSource: "ac", isLowPowerMode: undefined, thermalState: "fair" },
  samples: [
    { inputs: new Map([["x", f32([1, 2])]]), states: new Map() },
    { inputs: new Map([["x", f32([3, 4])]]), states: new Map() },
  ],
  recordings: [
    {
      functionName: "main",
      requested: "ane",
      device: "cpu+ane",
      compileMs: 1,
      loadMs: 2.5,
      plan: {
        kind: "mlProgram",
        device: "cpu+ane",
        constants: 1,
        dispatched: 2,
        unknown: 0,
        dispatch: "planned",
        devices: { ane: { preferred: 2, preferredShare: 1, costShare: undefined, supported: 2 } },
        notOnAne: [],
        operations: [
          {
            op: "conv",
            name: "c",
            function: "main",
            isConstant: false,
            weight: 0.25,
            preferred: "ane",
            supported: ["ane", "cpu"],
          },
        ],
      },
      takes: [
        { sample: 0, outcome: one, runMs: 0.125 },
        { sample: 1, outcome: { code: "NATIVE", message: "It broke" }, runMs: 3 },
        { sample: 0, outcome: one, runMs: 0.25 },
      ],
    },
    {
      functionName: "main",
      requested: "gpu",
      device: "gpu",
      compileMs: 0,
      loadMs: 0,
      failure: { code: "UNSUPPORTED", message: "No GPU", hint: "Buy one" },
      takes: [],
    },
  ],
};

const bytes = encodeTape(tape);

function refusalOf(work: () => unknown): CoremlxError {
  try {
    work();
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("It was accepted");
}

test("what is written is read again, all of it", () => {
  expect(decodeTape(bytes)).toEqual(tape);
});

const item = fc.string({ unit: "binary" });
const whole = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const someValue: fc.Arbitrary<FeatureValue> = fc.oneof(
  fc.array(fc.float()).map((numbers) => f32(numbers)),
  fc.array(fc.integer({ min: -128, max: 127 })).map((numbers) => tensorOf("int8", numbers)),
  fc.double(),
  whole,
  item,
  fc.array(item),
  fc.array(whole, { minLength: 1 }),
  fc.dictionary(item, fc.double()).map((entries) => new Map(Object.entries(entries))),
  fc.array(fc.tuple(whole, fc.double()), { minLength: 1 }).map((entries) => new Map(entries)),
);

test("values of every kind come back as they are", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), someValue), (given) => {
      const inputs = new Map(Object.entries(given));
      const answered = { ...tape, samples: [{ inputs, states: new Map() }], recordings: [] };
      expect(decodeTape(encodeTape(answered)).samples).toEqual(answered.samples);
    }),
    { seed: 9, numRuns: 200 },
  );
});

test("inputs are recognised in any order, and by nothing but their names and values", () => {
  const [a, b] = [f32([1]), f32([2])];
  const digest = digestValues(
    new Map([
      ["a", a],
      ["b", b],
    ]),
  );
  expect(
    digestValues(
      new Map([
        ["b", b],
        ["a", a],
      ]),
    ),
  ).toBe(digest);
  expect(
    digestValues(
      new Map([
        ["a", b],
        ["b", a],
      ]),
    ),
  ).not.toBe(digest);
  expect(
    digestValues(
      new Map([
        ["a", { ...a, shape: [1, 1] }],
        ["b", b],
      ]),
    ),
  ).not.toBe(digest);
  expect(digestValues(new Map([["a", a]]), new Map([["b", b]]))).not.toBe(digest);
});

test("equal values are stored once", () => {
  const noise = tensorOf(
    "uint8",
    Array.from({ length: 20_000 }, (_, i) => (i * i * 48_271) % 251),
  );
  const samples = Array.from({ length: 50 }, (_, i) => ({
    inputs: new Map<string, FeatureValue>([
      ["x", noise],
      ["i", BigInt(i)],
    ]),
    states: new Map(),
  }));
  expect(encodeTape({ ...tape, samples }).byteLength).toBeLessThan(30_000);
});

describe("a tape is refused", () => {
  test.each([
    ["nothing", new Uint8Array(0), "it is no tape"],
    ["something else", new Uint8Array(100), "it is no tape"],
    ["half of one", bytes.slice(0, bytes.length / 2), "its digest is wrong"],
    ["one of another version", bytes.with(8, 2), "it is of version 2"],
    ["one with a changed length", bytes.with(20, bytes[20] === 0 ? 1 : 0), "its digest is wrong"],
  ])("that is %s", (_what, damaged, reason) => {
    const error = refusalOf(() => decodeTape(new Uint8Array(damaged)));
    expect(error).toMatchObject({ code: "BAD_INPUT", message: expect.stringContaining(reason) });
  });

  test.each([
    [{ tapeBytes: 100 }, "more than 100 bytes"],
    [{ tapeContentBytes: 100 }, "it holds more than 100 bytes"],
    [{ tapeHeadBytes: 100 }, "its description is too long"],
  ])("beyond %o", (limits, reason) => {
    const error = refusalOf(() => decodeTape(bytes, { ...defaultTapeLimits, ...limits }));
    expect(error.message).toContain(reason);
  });

  test("whose machine would write to a terminal", () => {
    const forged = { ...tape, engine: { name: "coreml", version: "\u001b[2J" } };
    expect(refusalOf(() => decodeTape(encodeTape(forged))).message).toContain("/engine/version");
  });

  test("that unpacks to more than it says, before it is unpacked", () => {
    const bomb = encodeTapeContent({ byteLength: 2 }, new Uint8Array(2 ** 26));
    new DataView(bomb.buffer).setUint32(20, 1_000, true);
    const hasher = new Bun.CryptoHasher("sha256");
    hasher.update(bomb.subarray(0, 24));
    hasher.update(bomb.subarray(56));
    bomb.set(hasher.digest(), 24);
    expect(refusalOf(() => decodeTape(bomb)).message).toContain("does not unpack to what it says");
  });
});

test("one changed byte anywhere is noticed", () => {
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.with(at, (bytes[at] ?? 0) ^ (1 << (at % 8)));
    expect(refusalOf(() => decodeTape(new Uint8Array(damaged))).code).toBe("BAD_INPUT");
  }
});

// A forger computes the digest too: then only the checks behind it are left.
test("2,500 forged tapes are refused or replayed, and nothing else happens", async () => {
  const content = new Uint8Array(inflateRawSync(bytes.subarray(56)));
  const length = new DataView(bytes.buffer).getUint32(16, true);
  const text = new TextDecoder().decode(content.subarray(0, length));
  const values = content.subarray(length);
  const next = sequenceOf(11);
  let accepted = 0;
  for (let round = 0; round < 2_500; round++) {
    const json = new TextEncoder().encode(forge(text, next));
    const blobs = next(8) === 0 ? values.slice(0, next(values.length)) : values;
    const forged = encodeTapeContent(json, Buffer.concat([json, blobs]));
    try {
      await replay(decodeTape(forged));
      accepted++;
    } catch (error) {
      if (!(error instanceof CoremlxError)) throw error;
      expect(error.code).not.toBe("INTERNAL");
    }
  }
  // Both kinds came up: a message may be changed at will.
  expect(accepted).toBeGreaterThan(100);
  expect(accepted).toBeLessThan(2_200);
});

async function replay(forged: Tape): Promise<void> {
  await using engine = new TapeEngine({ tapes: [forged] });
  const found = await engine.loadNamed(`/nowhere/${forged.model.name}`);
  await found?.loaded.predict(new Map([["x", f32([1, 2])]]));
}

function forge(text: string, next: (below: number) => number): string {
  switch (next(4)) {
    case 0: {
      const at = next(text.length);
      return text.slice(0, at) + String.fromCharCode(32 + next(95)) + text.slice(at + 1);
    }
    case 1: {
      const wild = ["-1", "0", "1e308", "4294967296", "null", "[]", "{}", '""', "9007199254740993"];
      const numbers = [...text.matchAll(/(?<=[:[,])-?\d+(?:\.\d+)?(?=[,\]}])/g)];
      const hit = numbers[next(numbers.length)];
      const at = hit?.index ?? 0;
      return text.slice(0, at) + (wild[next(wild.length)] ?? "") + text.slice(at + (hit?.[0].length ?? 0));
    }
    case 2: {
      const words = [...text.matchAll(/"[^"]*"/g)];
      const [from, to] = [words[next(words.length)], words[next(words.length)]];
      const at = from?.index ?? 0;
      return text.slice(0, at) + (to?.[0] ?? "") + text.slice(at + (from?.[0].length ?? 0));
    }
    default: {
      const at = next(text.length);
      return text.slice(0, at) + text.slice(at + 1 + next(20));
    }
  }
}

/** Lehmer's generator: the same forgeries each time. */
function sequenceOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % Math.max(below, 1);
  };
}
