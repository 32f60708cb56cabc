// Every model there is: inspect describes it whole or refuses it precisely, without a crash, within two seconds.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { run } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";

setDefaultTimeout(60_000);

const models = sharedPath("models");
const paths = findModels(models).toSorted();

/** Not whole, or older than its own format: what is wrong with each. */
const refused: Readonly<Record<string, RegExp>> = {
  "mpface-short-noweights/short.mlpackage": /"Data\/com.apple.CoreML\/weights" does not exist/,
  "apple-nnv2-prototype/simple_layer.mlmodel":
    /it is an ML program of specification version 5, from before the format was final/,
};

test("all models are found", () => {
  expect(paths.length).toBeGreaterThan(30);
});

describe("inspect describes", () => {
  test.each(paths.filter((path) => refused[path] === undefined))("%s", async (name) => {
    const path = join(models, name);
    const { stdout: text } = await succeeds(["inspect", path]);
    const { stdout: json } = await succeeds(["inspect", path, "--json"]);

    const document: Inspection = JSON.parse(json);
    expect(document.schemaVersion).toBe(1);
    expect(document.path).toBe(path);
    expect(path).toEndWith(`.${document.container}`);
    expect(document.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(document.byteLength).toBeGreaterThan(0);
    expect(document.description.specificationVersion).toBeGreaterThan(0);
    expect(document.engines.coreml.isSupported).toBe(true);
    expect(document.engines.portable.reason).not.toBe("");
    // The text names every input, output and state, every op, and what the model is.
    const [fn] = document.description.functions;
    const features = [fn?.inputs, fn?.outputs, fn?.states].flatMap((list) => list ?? []);
    expect(features.length).toBeGreaterThan(0);
    for (const { name: feature } of features) expect(text).toContain(feature);
    expect(text).toContain(document.description.kind);
    for (const { type, count } of document.ops) expect(text).toMatch(new RegExp(`${type} +${count} `));
  });
});

interface Inspection {
  readonly schemaVersion: number;
  readonly path: string;
  readonly container: string;
  readonly digest: string;
  readonly byteLength: number;
  readonly description: {
    readonly kind: string;
    readonly specificationVersion: number;
    readonly functions: readonly Readonly<
      Record<"inputs" | "outputs" | "states", { readonly name: string }[]>
    >[];
  };
  readonly ops: readonly { readonly type: string; readonly count: number }[];
  readonly engines: Readonly<
    Record<"coreml" | "portable", { readonly isSupported: boolean; readonly reason: string }>
  >;
}

describe("inspect refuses", () => {
  test.each(Object.entries(refused))("%s", async (name, reason) => {
    expect(paths).toContain(name);
    const result = await timed(["inspect", join(models, name)]);
    expect(result).toMatchObject({ code: 4, stdout: "" });
    expect(result.stderr).toMatch(reason);
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });
});

test("the interface of a compiled model is shown whole", async () => {
  const { stdout } = await run(["inspect", join(models, "silero-vad-mlmodelc/silero_vad.mlmodelc")]);
  expect(stdout).toContain(`
inputs
  audio_input   a float32 array [1, 576]
  hidden_state  a float32 array [1, 128]
  cell_state    a float32 array [1, 128]
outputs
  vad_output        a float32 array [1, 1, 1]
  new_hidden_state  a float32 array [1, 128]
  new_cell_state    a float32 array [1, 128]
`);
  expect(stdout).toContain("lstm");
});

async function succeeds(args: readonly string[]) {
  const result = await timed(args);
  expect(result).toMatchObject({ code: 0, stderr: "" });
  return result;
}

async function timed(args: readonly string[]) {
  const started = performance.now();
  const result = await run(args);
  expect(performance.now() - started).toBeLessThan(2_000);
  return result;
}

function findModels(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (/\.(mlpackage|mlmodelc|mlmodel)$/.test(basename(path))) return [relative(models, path)];
    return entry.isDirectory() ? findModels(path) : [];
  });
}
