// The file in which a user keeps what models may differ by: by the digest of the model and by what is compared.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { nameOfPair, limitsOf } from "../suites/parity.ts";
import type { ParityLimits, ParityResult, ParitySideFacts, ToleranceFile } from "../suites/parity/schema.ts";
import { parseToleranceFile } from "../suites/schemas.ts";
import { readBytes } from "./inputs.ts";
import { writeOutputFile } from "./results.ts";

const largestBytes = 64e6;

/** By output. Throws BAD_INPUT where the file does not know this model and pair. */
export function readTolerances(
  file: string,
  cwd: string,
  { subject, reference }: { readonly subject: ParitySideFacts; readonly reference: ParitySideFacts },
): Readonly<Record<string, ParityLimits>> {
  const { models } = readFile(file, cwd);
  const digest = digestOf(subject);
  const pair = nameOfPair(subject, reference);
  const model = models[digest];
  const found = model?.pairs[pair];
  if (found) return found.outputs;
  const why =
    model === undefined
      ? `it has none for a model of digest ${digest.slice(0, 12)}…`
      : `it has none for "${pair}", only for ${Object.keys(model.pairs).map(quote).join(", ")}`;
  throw new CoremlxError("BAD_INPUT", `Cannot take tolerances from ${file}: ${why}`, {
    hint: `Measure once, look at the figures, and keep them with --save-tolerances ${file}`,
    details: { file, digest, pair },
  });
}

/** Adds what a result says to the file, in place of what it said of the same model and pair. */
export function saveTolerances(file: string, cwd: string, result: ParityResult): void {
  const { subject, reference } = result;
  const digest = digestOf(subject);
  const path = resolve(cwd, file);
  const before: ToleranceFile = existsSync(path)
    ? readFile(file, cwd)
    : { schemaVersion: 1, kind: "parity-tolerances", models: {} };
  const model = before.models[digest];
  const entry = {
    savedAt: result.startedAt,
    inputs: result.configuration.inputs.length,
    outputs: limitsOf(result),
  };
  const after: ToleranceFile = {
    ...before,
    models: {
      ...before.models,
      [digest]: {
        path: subject.kind === "engine" ? subject.model.path : "",
        pairs: { ...model?.pairs, [nameOfPair(subject, reference)]: entry },
      },
    },
  };
  writeOutputFile(path, new TextEncoder().encode(`${JSON.stringify(after, undefined, 2)}\n`));
}

function digestOf(subject: ParitySideFacts): string {
  const digest = subject.kind === "engine" ? subject.model.digest : null;
  if (digest !== null && digest !== "") return digest;
  throw new CoremlxError(
    "BAD_INPUT",
    "Cannot keep tolerances: the model has no digest, being none of this machine",
    {
      hint: "Give the model's file, or limits with --tolerance",
    },
  );
}

function readFile(file: string, cwd: string): ToleranceFile {
  const bytes = readBytes(resolve(cwd, file));
  if (bytes.byteLength > largestBytes) {
    throw new CoremlxError("BAD_INPUT", `Cannot read ${file}: it has more than ${largestBytes} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new CoremlxError("BAD_INPUT", `Cannot read ${file}: ${messageOf(error)}`, { cause: error });
  }
  return parseToleranceFile(value, file);
}

function quote(text: string): string {
  return `"${text}"`;
}
