// The flags of infer for stateful models and recurrences: --steps, --keep-state, --state, --save-state, --carry.

import { resolve } from "node:path";
import { generate } from "../codecs/generate.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import { suggest } from "../core/suggest.ts";
import { isTensor } from "../core/tensor.ts";
import type { Carry } from "../runtime/sequence/carry.ts";
import { OutputStack } from "../runtime/sequence/sequence-outputs.ts";
import type { FlagDefs } from "./command.ts";
import type { InputOptions } from "./inputs.ts";
import { parseCount } from "./options.ts";

export const sequenceFlags = {
  steps: {
    type: "string",
    valueHint: "N",
    description: "run N steps of one sequence; inputs with a leading axis of N have a value for each",
  },
  "keep-state": { type: "boolean", description: "the FILEs are the steps of one sequence, in order" },
  state: {
    type: "string",
    multiple: true,
    valueHint: "NAME=VALUE",
    description: "start value of a state; zero without it",
  },
  "save-state": {
    type: "string",
    valueHint: "DIR",
    description: "write the states at the end to DIR, as .npy",
    isTrusted: true,
  },
  carry: {
    type: "string",
    multiple: true,
    valueHint: "OUTPUT:INPUT",
    description: "feed an output into an input of the next step",
  },
} as const satisfies FlagDefs;

export interface SequenceFlags {
  readonly steps: string | undefined;
  readonly "keep-state": boolean;
  readonly state: readonly string[];
  readonly "save-state": string | undefined;
  readonly carry: readonly string[];
  readonly repeat: string;
  readonly "output-dir": string | undefined;
}

export interface SequenceSettings {
  readonly steps: number | undefined;
  readonly keepsState: boolean;
  readonly states: readonly string[];
  readonly saveTo: string | undefined;
  readonly carries: readonly string[];
}

/** undefined where none of the flags is given. Throws USAGE for flags that do not go together. */
export function readSequenceFlags(flags: SequenceFlags): SequenceSettings | undefined {
  const settings: SequenceSettings = {
    steps: flags.steps === undefined ? undefined : parseCount(flags.steps, "steps"),
    keepsState: flags["keep-state"],
    states: flags.state,
    saveTo: flags["save-state"],
    carries: flags.carry,
  };
  const { steps, keepsState, states, saveTo, carries } = settings;
  if (steps === undefined && !keepsState && states.length + carries.length === 0 && saveTo === undefined) {
    return undefined;
  }
  if (steps !== undefined && keepsState) {
    throw new CoremlxError("USAGE", "Options --steps and --keep-state exclude each other", {
      hint: "The steps are in the inputs with --steps, in several FILEs with --keep-state",
    });
  }
  if (carries.length > 0 && steps === undefined && !keepsState) {
    throw new CoremlxError("USAGE", "Option --carry needs several steps", {
      hint: "Add --steps N, or --keep-state and a FILE for each step",
    });
  }
  if (Number(flags.repeat) !== 1) {
    throw new CoremlxError("USAGE", "Option --repeat does not go with states and sequences", {
      hint: "A prediction that is repeated would change the state each time",
    });
  }
  const outputDir = flags["output-dir"];
  if (saveTo !== undefined && outputDir !== undefined && resolve(saveTo) === resolve(outputDir)) {
    throw new CoremlxError("USAGE", "Options --save-state and --output-dir need folders of their own");
  }
  return settings;
}

/** "OUTPUT:INPUT", also where names contain colons. Throws BAD_INPUT for names the model does not have. */
export function readCarry(
  text: string,
  model: { readonly inputs: readonly FeatureDescription[]; readonly outputs: readonly FeatureDescription[] },
): Carry {
  const outputs = model.outputs.map(({ name }) => name);
  const inputs = model.inputs.map(({ name }) => name);
  const pairs = [...text.matchAll(/:/g)].map(
    ({ index }): Carry => ({ output: text.slice(0, index), input: text.slice(index + 1) }),
  );
  const [first] = pairs;
  if (first === undefined || first.output === "" || first.input === "") {
    throw new CoremlxError("USAGE", `Cannot read --carry "${text}": it must be OUTPUT:INPUT`);
  }
  const found = pairs.find(({ output, input }) => outputs.includes(output) && inputs.includes(input));
  if (found !== undefined) return found;
  const isSwapped = inputs.includes(first.output) && outputs.includes(first.input);
  const [what, name, names] = outputs.includes(first.output)
    ? ["input", first.input, inputs]
    : ["output", first.output, outputs];
  throw new CoremlxError("BAD_INPUT", `Cannot carry "${text}": the model has no ${what} "${name}"`, {
    hint: isSwapped
      ? `The output comes first: --carry ${first.input}:${first.output}`
      : suggest(name, names, `The ${what}s are`),
    details: { name, known: names },
  });
}

/** `--state` arguments with the names of their states: NAME=VALUE, or VALUE where there is one. Throws BAD_INPUT. */
export function nameStates(
  specs: readonly string[],
  states: readonly FeatureDescription[],
): readonly string[] {
  const names = states.map(({ name }) => name);
  return specs.map((spec) => {
    if (names.some((name) => spec.startsWith(`${name}=`))) return spec;
    const equals = spec.indexOf("=");
    const [only, second] = names;
    if (equals < 1 && only !== undefined && second === undefined) return `${only}=${spec}`;
    const name = equals < 1 ? spec : spec.slice(0, equals);
    throw new CoremlxError(
      "BAD_INPUT",
      equals < 1
        ? `Cannot tell which state "${spec}" is for: the model has ${names.length}`
        : `Unknown state "${name}"`,
      {
        hint: equals < 1 ? "Write --state NAME=VALUE" : suggest(name, names, "The states are"),
        details: { name, states: names },
      },
    );
  });
}

/**
 * How inputs are read where they may have a leading axis of steps: their shapes are looked at when the sequence runs. Random
 * values differ from step to step (those of step i are what --seed + i gives); an input that is carried into has one value.
 */
export function stepInputOptions(
  options: InputOptions,
  steps: number,
  carries: readonly Carry[],
): InputOptions {
  return {
    ...options,
    convert: (value) => value,
    generate(input, filling, settings = {}) {
      const isCarried = carries.some((carry) => carry.input === input.name);
      const first = generate(input, filling, settings);
      if (filling !== "random" || isCarried || !(isTensor(first) || isNumber(first))) return first;
      const stack = new OutputStack(input.name, steps);
      for (let step = 0; step < steps; step++) {
        const seed = (settings.seed ?? 0) + step;
        stack.push(step === 0 ? first : generate(input, filling, { ...settings, seed }));
      }
      const all = stack.finish();
      return isTensor(all) ? all : first;
    },
  };
}

function isNumber(value: unknown): boolean {
  return typeof value === "number" || typeof value === "bigint";
}
