// Behaviour every engine must have, the fake included.

import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { CoremlxError, type ErrorCode } from "../../src/core/errors.ts";
import { type FeatureValue, isTensor, numbersOf, tensorOf, zeros } from "../../src/core/tensor.ts";
import type { Engine, LoadedModel, LoadOptions } from "../../src/engines/engine.ts";
import { openModel } from "../../src/formats/open.ts";
import { digitPicture } from "../support/digits.ts";

/** What an engine cannot do yet. Each row is expected to fail; a row which passes fails the run until it is removed. */
export interface Limitation {
  readonly test: string;
  readonly because: string;
}

const root = resolve(import.meta.dir, "../..");
const digits = "examples/digits/Digits.mlpackage";
const stateful = "tests/fixtures/formats/stateful.mlpackage";

// The weight of stateful.mlpackage: sixteen halves from 0 to 1 (see scripts/fixtures/formats.py).
const scale = [
  ...numbersOf(
    tensorOf(
      "float16",
      Array.from({ length: 16 }, (_, i) => i / 15),
    ),
  ),
];

const half = (values: readonly number[]) => tensorOf("float16", values);
const ones = half(Array<number>(16).fill(1));

export function engineSuite(
  name: string,
  open: () => Promise<Engine>,
  limitations: readonly Limitation[] = [],
): void {
  describe(`engine ${name}`, () => {
    const it = (title: string, body: () => Promise<void>) =>
      (limitations.some((row) => row.test === title) ? test.failing : test)(title, body);

    async function withModel(
      path: string,
      body: (model: LoadedModel) => Promise<void>,
      options: LoadOptions = {},
    ): Promise<void> {
      await using engine = await open();
      using model = await openModel(resolve(root, path));
      await using loaded = await engine.load(model, options);
      await body(loaded);
    }

    it("classifies a picture into a label and a dictionary", () =>
      withModel(digits, async (model) => {
        const outputs = await model.predict(new Map([["image", await digitPicture(7)]]));
        const probabilities = outputs.get("classLabel_probs");
        expect(outputs.get("classLabel")).toBe("7");
        expect(probabilities).toBeInstanceOf(Map);
        if (!(probabilities instanceof Map)) return;
        expect([...probabilities.keys()]).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        expect(probabilities.get("7")).toBeCloseTo(0.9669, 2); // torch, expected.json
      }));

    it("predicts twice with equal results", () =>
      withModel(digits, async (model) => {
        const inputs = new Map([["image", await digitPicture(3)]]);
        expect(await model.predict(inputs)).toEqual(await model.predict(inputs));
      }));

    it("describes the function it loaded", () =>
      withModel(digits, async (model) => {
        expect(model.function.inputs.map((input) => input.name)).toEqual(["image"]);
        expect(model.device).not.toBe("");
      }));

    it("names the missing input", () =>
      withModel(digits, async (model) => {
        await expectFailure(model.predict(new Map()), "BAD_INPUT", '"image"');
      }));

    it("refuses a picture of another size or kind", () =>
      withModel(digits, async (model) => {
        const small = new Map([["image", zeros("uint8", [27, 28])]]);
        await expectFailure(model.predict(small), "BAD_INPUT", "28x28");
        const color = new Map([["image", zeros("uint8", [28, 28, 3])]]);
        await expectFailure(model.predict(color), "BAD_INPUT", "GRAYSCALE");
      }));

    it("refuses an array of another shape, naming both", () =>
      withModel(stateful, async (model) => {
        await expectFailure(model.predict(new Map([["x", half([1, 2, 3])]])), "BAD_INPUT", "[16]");
      }));

    it("refuses a value of another kind", () =>
      withModel(stateful, async (model) => {
        await expectFailure(
          model.predict(new Map<string, FeatureValue>([["x", "text"]])),
          "BAD_INPUT",
          '"x"',
        );
      }));

    it("keeps the declared element type of results", () =>
      withModel(stateful, async (model) => {
        const y = (await model.predict(new Map([["x", ones]]))).get("y");
        expect(y).toEqual(half(scale));
      }));

    it("keeps a state between the predictions it is given to", () =>
      withModel(stateful, async (model) => {
        using state = model.newState();
        const inputs = new Map([["x", ones]]);
        await model.predict(inputs, { state });
        const second = await model.predict(inputs, { state });
        // memory = (memory + x) * scale, twice, each step rounded to half precision.
        const expected = scale.map((factor) => factor * (factor + 1));
        expectClose(second.get("y"), expected);
        expectClose(state.read().get("memory"), expected);
      }));

    it("starts a call without a state from zero", () =>
      withModel(stateful, async (model) => {
        const inputs = new Map([["x", ones]]);
        const first = await model.predict(inputs);
        expect(await model.predict(inputs)).toEqual(first);
      }));

    it("keeps two states apart", () =>
      withModel(stateful, async (model) => {
        using a = model.newState();
        using b = model.newState();
        await model.predict(new Map([["x", ones]]), { state: a });
        await model.predict(new Map([["x", half(Array<number>(16).fill(2))]]), { state: b });
        expectClose(a.read().get("memory"), scale);
        expectClose(
          b.read().get("memory"),
          scale.map((factor) => factor * 2),
        );
      }));

    it("takes over a state's written value, and refuses one of another shape", () =>
      withModel(stateful, async (model) => {
        using state = model.newState();
        state.write(new Map([["memory", ones]]));
        const y = (await model.predict(new Map([["x", ones]]), { state })).get("y");
        expectClose(
          y,
          scale.map((factor) => factor * 2),
        );
        expect(() => state.write(new Map([["memory", half([1])]]))).toThrow("[16]");
        expect(() => state.write(new Map([["memroy", ones]]))).toThrow("memroy");
      }));

    it("loads a function by name", () =>
      withModel(
        stateful,
        async (model) => {
          using state = model.newState();
          state.write(new Map([["memory", ones]]));
          const y = (await model.predict(new Map([["x", ones]]), { state })).get("y");
          expect(y).toEqual(half(Array<number>(16).fill(0)));
        },
        { functionName: "reset" },
      ));

    it("names the functions there are when one is missing", async () => {
      await using engine = await open();
      using model = await openModel(resolve(root, stateful));
      await expectFailure(engine.load(model, { functionName: "nope" }), "NOT_FOUND", '"accumulate", "reset"');
    });

    it("does not run for a caller who has already given up", () =>
      withModel(stateful, async (model) => {
        const signal = AbortSignal.abort();
        const run = model.predict(new Map([["x", ones]]), { signal });
        expect(
          await run.then(
            () => "ran",
            () => "refused",
          ),
        ).toBe("refused");
      }));
  });
}

async function expectFailure(work: Promise<unknown>, code: ErrorCode, text: string): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CoremlxError);
  if (!(error instanceof CoremlxError)) return;
  expect(error.code).toBe(code);
  expect(error.message).toContain(text);
}

function expectClose(value: FeatureValue | undefined, expected: readonly number[]): void {
  if (value === undefined || !isTensor(value)) throw new Error("It is no array");
  const numbers = numbersOf(value);
  expect(numbers.length).toBe(expected.length);
  expected.forEach((number, i) =>
    expect(Math.abs((numbers[i] ?? Number.NaN) - number)).toBeLessThanOrEqual(2e-3),
  );
}
