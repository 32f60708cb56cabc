// Which predictions the files of a command line make: one for each, or one of all.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";

export interface Run {
  readonly file: string | undefined;
  readonly specs: readonly string[];
}

/** One prediction for each FILE; one for all of them where each is NAME=FILE for an input of its own. */
export function runsOf(files: readonly string[], inputs: readonly FeatureDescription[]): readonly Run[] {
  const names = files.map((file) => inputs.find(({ name }) => file.startsWith(`${name}=`))?.name);
  const areParts = names.length > 1 && !names.includes(undefined) && new Set(names).size === names.length;
  if (files.length === 0 || areParts) return [{ file: undefined, specs: files }];
  return files.map((file) => ({ file, specs: [file] }));
}

export function addAll(target: Map<string, FeatureValue>, values: FeatureValues): void {
  for (const [name, value] of values) {
    if (target.has(name)) {
      throw new CoremlxError("BAD_INPUT", `Input "${name}" is given twice: by --input and by a file`);
    }
    target.set(name, value);
  }
}
