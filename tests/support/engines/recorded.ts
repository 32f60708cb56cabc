// Tapes for tests, recorded on an engine here and now.

import { tensorOf, type FeatureValues } from "../../../src/core/tensor.ts";
import type { Engine, LoadedModel } from "../../../src/engines/engine.ts";
import type { Tape } from "../../../src/engines/tape/content.ts";
import { TapeRecorder } from "../../../src/engines/tape/recorder.ts";
import { computeDigest, openModel } from "../../../src/formats/open.ts";
import { digitPicture, digitsPackage } from "../digits.ts";
import { resolve } from "node:path";

export const statefulPackage = resolve(import.meta.dir, "../../fixtures/formats/stateful.mlpackage");

interface Session {
  readonly functionName?: string;
  /** Of inputs, one after the other; a list of them keeps a state, which begins as given or zero. */
  readonly sequences: readonly {
    readonly steps: readonly FeatureValues[];
    readonly states?: FeatureValues;
  }[];
}

const profile = {
  platform: "linux",
  kernel: "6.1",
  arch: "x64",
  system: "Test OS 1",
  osVersion: undefined,
  osBuild: undefined,
  model: undefined,
  cpu: "Test CPU",
  chip: undefined,
  cores: 2,
  cpuCores: undefined,
  coreLevels: [],
  gpuCores: undefined,
  isNeuralEngineCapable: false,
  neuralEngineCores: undefined,
  isAneAvailable: undefined,
  thermalSensors: [],
  cpuFeatures: [],
  memoryBytes: 1,
  isVirtual: undefined,
};

export async function recordOn(engine: Engine, path: string, sessions: readonly Session[]): Promise<Tape> {
  const recorder = new TapeRecorder();
  using model = await openModel(path);
  for (const { functionName, sequences } of sessions) {
    await using loaded = await engine.load(model, { functionName });
    const start = { requested: "auto", device: loaded.device, compileMs: 0, loadMs: 1 } as const;
    const add = recorder.begin(loaded.function, start);
    for (const sequence of sequences) await recordSequence(loaded, sequence, add);
  }
  return {
    recordedAt: "2026-11-24T12:00:00.000Z",
    tool: "coremlx test",
    label: "portable",
    engine: { name: engine.name, version: engine.version },
    model: {
      name: path.replace(/^.*\/|\.\w+$/g, ""),
      digest: await computeDigest(model),
      description: model.description,
    },
    host: profile,
    samples: recorder.samples,
    recordings: recorder.recordings,
  };
}

async function recordSequence(
  loaded: LoadedModel,
  { steps, states }: Session["sequences"][number],
  add: ReturnType<TapeRecorder["begin"]>,
): Promise<void> {
  const isStateful = loaded.function.states.length > 0;
  using state = isStateful ? loaded.newState() : undefined;
  if (states) state?.write(states);
  for (const [i, inputs] of steps.entries()) {
    const before = state?.read();
    const outputs = await loaded.predict(inputs, { state });
    add({ inputs, states: before, outcome: { outputs, states: state?.read() ?? new Map() }, runMs: i + 1 });
  }
}

const half = (value: number) => tensorOf("float16", Array<number>(16).fill(value));
const x = (value: number): FeatureValues => new Map([["x", half(value)]]);
const written: FeatureValues = new Map([["memory", half(1)]]);

/** Everything the conformance suite asks of an engine. */
export async function recordSuite(engine: Engine): Promise<readonly Tape[]> {
  const pictures = await Promise.all([7, 3].map(digitPicture));
  return [
    await recordOn(engine, digitsPackage, [
      { sequences: [{ steps: pictures.map((image) => new Map([["image", image]])) }] },
    ]),
    await recordOn(engine, statefulPackage, [
      { sequences: [{ steps: [x(1), x(1)] }, { steps: [x(2)] }, { steps: [x(1)], states: written }] },
      { functionName: "reset", sequences: [{ steps: [x(1)], states: written }] },
    ]),
  ];
}
