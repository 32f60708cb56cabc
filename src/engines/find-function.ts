// The function of a model that is asked for.

import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import type { Model } from "../formats/model.ts";

/** The description of a function by name, or of the default one. Throws NOT_FOUND with the names there are. */
export function findFunction(model: Model, name: string | undefined): FunctionDescription {
  const { functions, defaultFunction } = model.description;
  const wanted = name ?? defaultFunction;
  const found = functions.find((candidate) => candidate.name === wanted);
  if (found) return found;
  const names = functions.map((candidate) => `"${candidate.name}"`).join(", ");
  throw new CoremlxError("NOT_FOUND", `Cannot find function "${wanted}" in ${model.path}: it has ${names}`, {
    details: { function: wanted, functions: functions.map((candidate) => candidate.name) },
  });
}
