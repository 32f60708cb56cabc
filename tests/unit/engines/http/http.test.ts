// The remote engine against servers that are well, ill and hostile.

import { afterAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { tensorOf } from "../../../../src/core/tensor.ts";
import type { CompiledModel, LoadOptions } from "../../../../src/engines/engine.ts";
import { HttpEngine } from "../../../../src/engines/http.ts";
import { openModel } from "../../../../src/formats/open.ts";
import { openSession } from "../../../../src/runtime/session.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../../support/digits.ts";
import { serveModels } from "../../../support/server/serve.ts";

const stateful = resolve(import.meta.dir, "../../../fixtures/formats/stateful.mlpackage");
const served = await serveModels([
  { name: "Digits", path: digitsPackage },
  { name: "stateful", path: stateful },
]);
afterAll(() => served[Symbol.asyncDispose]());

const ones = tensorOf("float16", Array<number>(16).fill(1));

async function loadNamed(engine: HttpEngine, name: string, options?: LoadOptions): Promise<CompiledModel> {
  const found = await engine.loadNamed(`/nowhere/${name}`, options);
  if (found === undefined) throw new Error("There is a file");
  return found;
}

test("a model is described by its name, as far as the protocol carries it", async () => {
  await using engine = await HttpEngine.open({ address: `${served.url}/` });
  await using digits = await loadNamed(engine, "Digits");
  expect(engine.version).toMatch(/^coremlx \d+\.\d+\.\d+ at http:\/\//);
  expect(digits.loaded.device).toBe(`a server at ${served.url}`);
  expect(digits.description.functions).toEqual([
    {
      name: "main",
      inputs: [
        {
          name: "image",
          description: "",
          isOptional: false,
          type: {
            kind: "image",
            height: 28,
            width: 28,
            colorSpace: "GRAYSCALE",
            constraint: { kind: "fixed" },
          },
        },
      ],
      outputs: [
        { name: "classLabel", description: "", isOptional: false, type: { kind: "string" } },
        {
          name: "classLabel_probs",
          description: "",
          isOptional: false,
          type: { kind: "dictionary", key: "string" },
        },
      ],
      states: [],
      predictedFeatureName: undefined,
      predictedProbabilitiesName: undefined,
    },
  ]);
  const outputs = await digits.loaded.predict(new Map([["image", await digitPicture(7)]]));
  expect(outputs.get("classLabel")).toBe("7");
});

test("a sequence keeps its state on the server, apart from others", async () => {
  await using engine = await HttpEngine.open({ address: served.url });
  using file = await openModel(stateful);
  await using loaded = await engine.load(file);
  using state = loaded.newState();
  using other = loaded.newState();
  const inputs = new Map([["x", ones]]);
  const first = await loaded.predict(inputs, { state });
  const second = await loaded.predict(inputs, { state });
  expect(await loaded.predict(inputs, { state: other })).toEqual(first);
  expect(second).not.toEqual(first);
  expect(() => state.read()).toThrow("does not carry");
  expect(() => state.write(new Map())).toThrow("does not carry");
});

test("what the protocol has no words for is refused", async () => {
  await using engine = await HttpEngine.open({ address: served.url });
  using file = await openModel(stateful);
  const load = (options: LoadOptions) => rejectionOf(engine.load(file, options));
  expect(await load({ functionName: "reset" })).toMatchObject({ code: "UNSUPPORTED" });
  expect(await load({ device: "ane" })).toMatchObject({ code: "UNSUPPORTED" });
  expect(await rejectionOf(loadNamed(engine, "Digits", { functionName: "other" }))).toMatchObject({
    code: "UNSUPPORTED",
  });
  await using digits = await loadNamed(engine, "Digits");
  expect(() => digits.loaded.newState()).toThrow("keeps none");
});

test("a name that the server does not know is not found, and one of another model is told apart", async () => {
  await using engine = await HttpEngine.open({ address: served.url });
  expect(await rejectionOf(loadNamed(engine, "Digitss"))).toMatchObject({ code: "NOT_FOUND" });
  using file = await openModel(stateful);
  const renamed = { ...file, path: "/elsewhere/Digits.mlpackage" };
  expect(await rejectionOf(engine.load(renamed))).toMatchObject({
    code: "BAD_MODEL",
    message: 'The server\'s "Digits" is another model: it has no input "x"',
  });
});

test("a session runs on a server, from several workers at once", async () => {
  await using session = await openSession({ engine: served.url });
  const model = await session.load("/nowhere/Digits", { instances: 2 });
  const pictures = await Promise.all([1, 2, 3, 4].map(digitPicture));
  const answers = await Promise.all(pictures.map((image) => model.predict(new Map([["image", image]]))));
  expect(answers.map((outputs) => outputs.get("classLabel"))).toEqual(["1", "2", "3", "4"]);
  expect(model.engine).toBe("http");
  const sequence = await session.load(stateful);
  expect(await rejectionOf(sequence.newState())).toMatchObject({ code: "UNSUPPORTED" });
});
