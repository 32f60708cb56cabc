// Answers that were saved: a folder of `infer --output-dir`, or one file with arrays or values by the names of outputs.

import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { decodeFile, fileToFeature } from "../codecs/codec.ts";
import { fromJson } from "../codecs/json.ts";
import { isJsonObject, type JsonNode } from "../codecs/json-text.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";
import type { ParityInput, ParitySide } from "../suites/parity.ts";
import { splitCases } from "./input-sets.ts";
import { readBytes } from "./inputs.ts";

/**
 * Answers go to the inputs by the names of their cases, files or folders; one answer alone goes to one input. Throws
 * BAD_INPUT for a file that cannot be read, and at an input whose answer is not there.
 */
export async function openSavedSide(
  source: string,
  outputs: readonly FeatureDescription[],
  { cwd, inputs }: { readonly cwd: string; readonly inputs: readonly ParityInput[] },
): Promise<ParitySide> {
  const path = resolve(cwd, source);
  const answers = await readAnswers(path, source, outputs);
  const [only] = answers.size === 1 && inputs.length === 1 ? answers.values() : [];
  return {
    facts: { kind: "saved", source },
    async answer({ name }) {
      const answer = only ?? answers.get(caseOf(name));
      if (answer) return answer;
      throw new CoremlxError("BAD_INPUT", `Cannot find the answer to ${name} in ${source}`, {
        hint: `It has answers to ${[...answers.keys()].slice(0, 10).join(", ") || "nothing"}; give the same FILEs they were made from`,
        details: { source, input: name },
      });
    },
  };
}

/** "inputs.npz:c0" is the case c0, "pictures/cat.png" the folder cat. */
function caseOf(input: string): string {
  const id = /\.(?:npz|safetensors):(.+)$/i.exec(input)?.[1];
  return id ?? basename(input).replace(/\.[^.]+$/, "");
}

async function readAnswers(
  path: string,
  source: string,
  outputs: readonly FeatureDescription[],
): Promise<ReadonlyMap<string, FeatureValues>> {
  if (!existsSync(path)) {
    throw new CoremlxError("BAD_INPUT", `Cannot read ${source}: there is no such file or folder`);
  }
  if (!statSync(path).isDirectory()) return readFileAnswers(path, source, outputs);
  if (existsSync(join(path, indexName))) return new Map([[basename(path), await readFolder(path, outputs)]]);
  const answers = new Map<string, FeatureValues>();
  for (const name of readdirSync(path).toSorted()) {
    const inner = join(path, name);
    if (existsSync(join(inner, indexName))) answers.set(name, await readFolder(inner, outputs));
  }
  if (answers.size > 0) return answers;
  throw new CoremlxError("BAD_INPUT", `Cannot read answers from ${source}: no outputs.json in it`, {
    hint: "Make such a folder with coremlx infer MODEL FILE… --output-dir DIR",
  });
}

const indexName = "outputs.json";

async function readFileAnswers(
  path: string,
  source: string,
  outputs: readonly FeatureDescription[],
): Promise<ReadonlyMap<string, FeatureValues>> {
  const names = outputs.map(({ name }) => name);
  // Labels among them, as text, are not for us to read.
  const numeric = outputs.filter(({ type }) => type.kind !== "string" && type.kind !== "sequence");
  const select = (key: string) => numeric.some(({ name }) => key === name || key.endsWith(`.${name}`));
  const file = await decodeFile(basename(path), readBytes(path), { select });
  const stem = basename(path).replace(/\.[^.]+$/, "");
  if (file.kind === "json") return new Map([[stem, valuesOf(file.value, outputs, source)]]);
  if (file.kind === "npy") {
    const [only, second] = names;
    if (only !== undefined && second === undefined) return new Map([[stem, new Map([[only, file.tensor]])]]);
  }
  if (file.kind !== "npz" && file.kind !== "safetensors") {
    throw new CoremlxError("BAD_INPUT", `Cannot read answers from ${source}: it is ${file.kind}`, {
      hint: "Give .npz, .safetensors, .json, or a folder of infer --output-dir",
    });
  }
  const { tensors } = file;
  const known = new Map([...tensors].filter(([name]) => names.includes(name)));
  if (known.size > 0) return new Map([[stem, known]]);
  const cases = splitCases([...tensors.keys()], names);
  if (cases === undefined) {
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read answers from ${source}: no array is named like an output`,
      {
        hint: `The outputs are ${names.join(", ")}; name them so, or CASE.NAME`,
      },
    );
  }
  return new Map(
    [...cases].map(([id, found]) => [
      id,
      new Map(
        found.flatMap((name) => {
          const tensor = tensors.get(`${id}.${name}`);
          return tensor ? [[name, tensor] as const] : [];
        }),
      ),
    ]),
  );
}

async function readFolder(folder: string, outputs: readonly FeatureDescription[]): Promise<FeatureValues> {
  const path = join(folder, indexName);
  const index = await decodeFile(indexName, readBytes(path));
  if (index.kind !== "json" || !isJsonObject(index.value)) {
    throw new CoremlxError("BAD_INPUT", `Cannot read ${path}: it holds no values by name`);
  }
  const values = new Map<string, FeatureValue>();
  for (const [name, node] of index.value) {
    const description = outputs.find((output) => output.name === name);
    if (description === undefined) continue;
    const file = fileIn(node);
    if (file === undefined) values.set(name, fromJson(node, description));
    else values.set(name, await readArray(join(folder, file), description));
  }
  return values;
}

/** Of an array that lies in a file of its own beside the index. */
function fileIn(node: JsonNode): string | undefined {
  const file = isJsonObject(node) && node.has("dtype") ? node.get("file") : undefined;
  if (typeof file !== "string") return undefined;
  if (file === basename(file) && !/[\\/\0]/.test(file)) return file;
  throw new CoremlxError("BAD_INPUT", `Cannot read answers: "${file}" lies outside of its folder`);
}

async function readArray(path: string, description: FeatureDescription): Promise<FeatureValue> {
  const file = await decodeFile(basename(path), readBytes(path));
  if (file.kind === "npy") return file.tensor;
  if (file.kind === "image") return fileToFeature(file, description, { name: basename(path) }).value;
  throw new CoremlxError("BAD_INPUT", `Cannot read ${path}: it is ${file.kind}, not an array or a picture`);
}

function valuesOf(node: JsonNode, outputs: readonly FeatureDescription[], source: string): FeatureValues {
  if (!isJsonObject(node)) {
    throw new CoremlxError("BAD_INPUT", `Cannot read answers from ${source}: it holds no values by name`);
  }
  const values = new Map<string, FeatureValue>();
  for (const output of outputs) {
    const value = node.get(output.name);
    if (value !== undefined) values.set(output.name, fromJson(value, output));
  }
  return values;
}
