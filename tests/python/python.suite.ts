// Judged by Python: exported graphs by onnx.checker and ONNX Runtime, written arrays by numpy and safetensors, and the
// recorded answers of Basic Pitch. Run by `bun run test:python`.

import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeNpy, decodeNpz, encodeNpz } from "../../src/codecs/npy.ts";
import { isTensor, numbersOf, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import { openSession } from "../../src/runtime/session.ts";
import { digitPicture, digitsPackage } from "../support/digits.ts";
import { run } from "../support/program.ts";
import { ask, findPython } from "../support/python.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";

const python = await findPython();
const timeout = 120_000;

describe.skipIf(python === undefined)("judged by Python", () => {
  const judge = (...args: readonly string[]) => ask(python ?? "", ...args);

  test(
    "the exported digits graph is valid and gives the same probabilities",
    async () => {
      using folder = tempFolder();
      const at = (name: string) => join(folder.path, name);
      const exported = await run(["export", digitsPackage, "-o", at("digits.onnx")]);
      expect(exported).toMatchObject({ code: 0, stdout: "" });
      const picture = await digitPicture(7);
      const image = tensorOf("float32", picture.bytes, [1, 1, 28, 28]);
      writeFileSync(at("inputs.npz"), encodeNpz(new Map([["image", image]])));
      await judge("check", at("digits.onnx"), at("inputs.npz"), at("outputs.npz"));
      const theirs = readNpz(at("outputs.npz"));
      const ours = await run(["infer", digitsPackage, "examples/digits/digit_7.png", "--json"]);
      const probabilities: unknown = JSON.parse(ours.stdout).outputs.classLabel_probs;
      const vector = numbersOf(theirs.get("classLabel_probs__vector") ?? tensorOf("float32", []));
      expect(Object.keys(probabilities ?? {})).toHaveLength(10);
      Object.values(probabilities ?? {}).forEach((value, i) =>
        expect(Math.abs(value - (vector[i] ?? 9))).toBeLessThan(1e-6),
      );
    },
    timeout,
  );

  test(
    "the exported Basic Pitch graph is valid and gives the same numbers",
    async () => {
      using folder = tempFolder();
      const at = (name: string) => join(folder.path, name);
      const model = sharedPath("models/basic-pitch/nmp.mlpackage");
      expect(await run(["export", model, "-o", at("nmp.onnx")])).toMatchObject({ code: 0 });
      await judge("windows", sharedPath("models/basic-pitch/reference/vocadito_10.wav"), at("windows.npz"));
      const windows = splitWindows(readNpz(at("windows.npz")).get("windows"));
      writeFileSync(
        at("inputs.npz"),
        encodeNpz(new Map([["input_2", windows[0] ?? tensorOf("float32", [])]])),
      );
      await judge("check", at("nmp.onnx"), at("inputs.npz"), at("theirs.npz"));
      const ours = await run(["infer", model, at("inputs.npz"), "--output", at("ours.npz")]);
      expect(ours.code).toBe(0);
      const differences = await judge("compare", at("ours.npz"), at("theirs.npz"));
      expect(Object.keys(differences ?? {}).toSorted()).toEqual(["Identity", "Identity_1", "Identity_2"]);
      for (const value of Object.values(differences ?? {})) expect(value).toBeLessThan(1e-5);
    },
    timeout,
  );

  test(
    "Basic Pitch gives the answers its own repository recorded, within its own tolerance of 1e-4",
    async () => {
      using folder = tempFolder();
      const at = (name: string) => join(folder.path, name);
      const recording = sharedPath("models/basic-pitch/reference/vocadito_10.wav");
      const { frames } = JSON.parse(JSON.stringify(await judge("windows", recording, at("windows.npz"))));
      const windows = splitWindows(readNpz(at("windows.npz")).get("windows"));
      await using session = await openSession();
      await using model = await session.load(sharedPath("models/basic-pitch/nmp.mlpackage"));
      const unwrapped: Record<string, number[]> = { Identity: [], Identity_1: [], Identity_2: [] };
      for (const window of windows) {
        const outputs = await model.predict(new Map([["input_2", window]]));
        for (const [name, numbers] of Object.entries(unwrapped)) {
          const value = outputs.get(name);
          if (value === undefined || !isTensor(value)) throw new Error(`no ${name}`);
          const width = value.shape[2] ?? 0;
          // Fifteen frames at either end of a window belong to its neighbours.
          numbers.push(...numbersOf(value).subarray(15 * width, (172 - 15) * width));
        }
      }
      const worst: Record<string, number> = {};
      for (const [file, name] of [
        ["note", "Identity_1"],
        ["onset", "Identity_2"],
        ["contour", "Identity"],
      ] as const) {
        const path = sharedPath(`models/basic-pitch/reference/vocadito_10/${file}.npy`);
        const recorded = decodeNpy(new Uint8Array(readFileSync(path)), file);
        expect(recorded.shape[0]).toBe(frames);
        const expected = numbersOf(recorded);
        const got = unwrapped[name] ?? [];
        worst[file] = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (got[i] ?? 9))), 0);
      }
      console.log("largest differences from the recorded answers:", worst);
      for (const value of Object.values(worst)) expect(value).toBeLessThan(1e-4);
    },
    timeout,
  );

  test("numpy and safetensors read what infer writes", async () => {
    using folder = tempFolder();
    const model = sharedPath("models/apple-add-model-mlmodelc/add_model.mlmodelc");
    const inputs = ["--input", "x=[[1,2,3,4,5,6,7,8,9,10]]", "--input", "y=[[0.5,1,1,1,1,1,1,1,1,1]]"];
    for (const ending of ["npz", "safetensors"]) {
      const path = join(folder.path, `out.${ending}`);
      expect((await run(["infer", model, ...inputs, "--output", path])).code).toBe(0);
      expect(await judge("read", path)).toEqual({ var_3: { dtype: "float16", shape: [1, 10], sum: 54.5 } });
    }
    expect((await run(["infer", model, ...inputs, "--output-dir", folder.path])).code).toBe(0);
    expect(await judge("read", join(folder.path, "var_3.npy"))).toEqual({
      "": { dtype: "float16", shape: [1, 10], sum: 54.5 },
    });
  });
});

function readNpz(path: string): Map<string, Tensor> {
  return decodeNpz(new Uint8Array(readFileSync(path)), path);
}

/** [N, samples, 1] -> N of [1, samples, 1] */
function splitWindows(stacked: Tensor | undefined): readonly Tensor[] {
  if (stacked === undefined) throw new Error("no windows");
  const [count = 0, samples = 0] = stacked.shape;
  const size = samples * 4;
  return Array.from({ length: count }, (_, i) => ({
    dtype: "float32",
    shape: [1, samples, 1],
    bytes: stacked.bytes.slice(i * size, (i + 1) * size),
  }));
}
