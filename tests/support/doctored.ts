// Copies of a model package with an error in one operation.

import { cpSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { MilOp, MilTensor } from "../../src/formats/mil.ts";
import { openModel } from "../../src/formats/open.ts";

export interface DoctoredOperation {
  readonly type: string;
  readonly name: string;
}

/** The operations of the main function whose float16 weights lie in a file, in the order of the program. */
export async function listWeighted(path: string): Promise<readonly DoctoredOperation[]> {
  using model = await openModel(path);
  return weightedIn(model).map(({ op }) => ({ type: op.type, name: op.outputs[0]?.name ?? "" }));
}

/** A copy of the package in `folder` where the weights of operation `name` are multiplied by `factor`. */
export async function scaleWeights(
  path: string,
  folder: string,
  { name, factor }: { readonly name: string; readonly factor: number },
): Promise<string> {
  const copy = join(folder, "doctored.mlpackage");
  cpSync(path, copy, { recursive: true });
  using model = await openModel(path);
  const found = weightedIn(model).find(({ op }) => op.outputs[0]?.name === name);
  if (found === undefined) throw new Error(`no weights of "${name}"`);
  const { source, bytes } = found.weight;
  if (source === undefined) throw new Error(`the weights of "${name}" lie in no file`);
  const file = join(copy, relative(realpathSync(path), source.path));
  const all = readFileSync(file);
  const values = new Float16Array(bytes.slice().buffer);
  const changed = values.map((value) => value * factor);
  all.set(new Uint8Array(changed.buffer), source.offset);
  writeFileSync(file, all);
  return copy;
}

function weightedIn(model: Awaited<ReturnType<typeof openModel>>): { op: MilOp; weight: MilTensor }[] {
  if (model.body.kind !== "mlProgram") throw new Error("no ML program");
  const [fn] = model.body.program.functions.values();
  const operations = fn?.block.operations ?? [];
  const constants = new Map(
    operations.flatMap((op) => {
      const value = op.type === "const" ? op.attributes.get("val") : undefined;
      return value?.kind === "tensor" ? [[op.outputs[0]?.name ?? "", value] as const] : [];
    }),
  );
  return operations.flatMap((op) => {
    const [binding] = op.inputs.get("weight") ?? [];
    const weight = binding?.kind === "name" ? constants.get(binding.name) : undefined;
    return weight?.source && weight.dtype === "float16" ? [{ op, weight }] : [];
  });
}
