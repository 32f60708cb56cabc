// The inputs of several predictions, from the command line: files, shared values, or random ones from a row of seeds.

import { basename, resolve } from "node:path";
import { decodeFile } from "../codecs/codec.ts";
import type { FeatureDescription } from "../core/model.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";
import { addAll, runsOf } from "./input-runs.ts";
import { fillMissing, type InputOptions, readBytes, readInputs } from "./inputs.ts";
import { isMissing } from "./paths.ts";

export type InputSettings = Omit<InputOptions, "inputs" | "log"> & {
  readonly files: readonly string[];
  /** Values of --input, the same in each set. */
  readonly specs: readonly string[];
  /** How many sets of random values, where nothing is given. */
  readonly samples: number;
};

export interface InputSet {
  /** The file, the case in it, or the seed. */
  readonly name: string;
  readonly values: FeatureValues;
}

/** One set for each FILE; for an archive with names like CASE.INPUT one for each case. Throws BAD_INPUT. */
export async function readInputSets(
  descriptions: readonly FeatureDescription[],
  { files, specs, samples, ...settings }: InputSettings & Pick<InputOptions, "log">,
): Promise<readonly InputSet[]> {
  const options: InputOptions = { ...settings, inputs: descriptions };
  const shared = await readInputs(specs, options);
  const isMadeUp = files.length === 0 && shared.size === 0;
  if (isMadeUp) settings.log("info", `no inputs given: ${samples} filled with seeded random values`);
  const runs = isMadeUp
    ? Array.from({ length: samples }, () => ({ name: undefined, specs: [] }))
    : await findRuns(files, descriptions, settings);
  const sets: InputSet[] = [];
  for (const [i, run] of runs.entries()) {
    const values = new Map<string, FeatureValue>(shared);
    addAll(values, await readInputs(run.specs, options));
    const seed = settings.seed + i;
    const filled = fillMissing(values, { ...options, seed });
    const random = filled.length > 0 ? `random, seed ${seed}` : undefined;
    sets.push({ name: run.name ?? random ?? "given values", values });
  }
  return sets;
}

interface NamedRun {
  readonly name: string | undefined;
  readonly specs: readonly string[];
}

async function findRuns(
  files: readonly string[],
  descriptions: readonly FeatureDescription[],
  { io }: Pick<InputOptions, "io">,
): Promise<readonly NamedRun[]> {
  const runs: NamedRun[] = [];
  for (const run of runsOf(files, descriptions)) {
    const cases = run.file === undefined ? undefined : await casesIn(run.file, descriptions, io.cwd);
    if (cases === undefined)
      runs.push({ name: run.file ?? (files.join(" ") || undefined), specs: run.specs });
    else runs.push(...cases);
  }
  return runs;
}

/** `undefined`: not an archive of cases. */
async function casesIn(
  file: string,
  descriptions: readonly FeatureDescription[],
  cwd: string,
): Promise<readonly NamedRun[] | undefined> {
  const path = resolve(cwd, file);
  if (!/\.(npz|safetensors)$/i.test(file) || isMissing(path)) return undefined;
  const keys: string[] = [];
  const select = (key: string) => keys.push(key) === 0; // names only
  await decodeFile(basename(path), readBytes(path), { select });
  const cases = splitCases(
    keys,
    descriptions.map(({ name }) => name),
  );
  return (
    cases &&
    [...cases].map(([id, names]) => ({
      name: `${file}:${id}`,
      specs: names.map((name) => `${name}=${file}:${id}.${name}`),
    }))
  );
}

/** The names of each case, from keys that all are CASE.NAME with known names; else undefined. */
export function splitCases(
  keys: readonly string[],
  known: readonly string[],
): ReadonlyMap<string, readonly string[]> | undefined {
  const cases = new Map<string, string[]>();
  for (const key of keys) {
    if (known.includes(key)) return undefined;
    const name = known.find((each) => key.endsWith(`.${each}`) && key.length > each.length + 1);
    if (name === undefined) return undefined;
    const id = key.slice(0, -name.length - 1);
    cases.set(id, [...(cases.get(id) ?? []), name]);
  }
  return cases.size > 0 ? cases : undefined;
}
