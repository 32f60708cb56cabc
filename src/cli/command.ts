// What a command is: its arguments as data, and a function of what the user gave. citty draws the help and finds the
// subcommand; reading the arguments is stricter than citty's own (see options.ts).

import { type ArgsDef, type CommandDef, defineCommand } from "citty";
import { type Given, readArguments } from "./options.ts";
import type { Io } from "./output.ts";

export interface FlagDef {
  readonly type: "string" | "boolean" | "enum";
  readonly description: string;
  readonly alias?: string;
  readonly valueHint?: string;
  readonly options?: readonly string[];
  readonly default?: string | boolean;
  /** May be given more than once. */
  readonly multiple?: boolean;
  /** Library paths, keys, addresses and output paths: a project file, which may come with a model, cannot set them. */
  readonly isTrusted?: boolean;
  /** Never shown. */
  readonly isSecret?: boolean;
  /** The same for some of its values: a server that would be sent what goes into the model. */
  readonly isOwnChoice?: (value: string) => boolean;
}

export interface PositionalDef {
  readonly name: string;
  readonly description: string;
  readonly isRequired?: boolean;
  readonly multiple?: boolean;
}

export type FlagDefs = Readonly<Record<string, FlagDef>>;

type FlagValue<D extends FlagDef> = D extends { multiple: true }
  ? readonly string[]
  : D extends { type: "boolean" }
    ? boolean
    : D extends { options: readonly (infer O)[]; default: string }
      ? O
      : D extends { options: readonly (infer O)[] }
        ? O | undefined
        : D extends { default: string }
          ? string
          : string | undefined;

export type FlagValues<F extends FlagDefs> = { readonly [K in keyof F]: FlagValue<F[K]> };

export interface RunContext<F extends FlagDefs> {
  readonly flags: FlagValues<F & typeof commonFlags>;
  readonly positionals: readonly string[];
  readonly given: Given;
  readonly io: Io;
}

export interface CommandSpec<F extends FlagDefs> {
  readonly meta: { readonly name: string; readonly description: string };
  readonly positionals?: readonly PositionalDef[];
  readonly flags: F;
  /** Command lines that work, shown under the help and run by a test. */
  readonly examples: readonly string[];
  run(context: RunContext<F>): Promise<void>;
}

/** A command as the program and the tests see it, whatever its flags. */
export interface Command {
  readonly meta: { readonly name: string; readonly description: string };
  readonly positionals: readonly PositionalDef[];
  readonly flags: FlagDefs;
  readonly examples: readonly string[];
  /** citty's form, for help. */
  readonly definition: CommandDef;
  run(rawArgs: readonly string[], io: Io): Promise<void>;
}

/** Flags every command has. */
export const commonFlags = {
  json: { type: "boolean", description: "print one JSON document and nothing else" },
  quiet: { type: "boolean", description: "no progress and no warnings", alias: "q" },
  verbose: { type: "boolean", description: "say more on stderr", alias: "v" },
  color: {
    type: "enum",
    options: ["auto", "always", "never"],
    default: "auto",
    description: "colours in the output",
  },
  "log-format": {
    type: "enum",
    options: ["text", "json"],
    default: "text",
    description: "form of the log on stderr",
  },
  help: { type: "boolean", description: "show this help", alias: "h" },
} as const satisfies FlagDefs;

/** Flags that say what goes into a model. */
export const inputFlags = {
  input: {
    type: "string",
    multiple: true,
    alias: "i",
    valueHint: "NAME=VALUE",
    description: "an input: a file, a number, a JSON array, text, -, random, zeros or ones",
  },
  fit: {
    type: "enum",
    options: ["stretch", "contain", "crop"],
    default: "stretch",
    description: "how a picture of another size is fitted",
  },
  mixdown: { type: "boolean", description: "average the channels of a WAV file" },
  resample: { type: "string", valueHint: "HZ", description: "resample a WAV file to this rate" },
  seed: { type: "string", default: "0", valueHint: "N", description: "seed of random inputs" },
} as const satisfies FlagDefs;

/** Flags of commands that run a model. */
export const engineFlags = {
  engine: {
    type: "string",
    default: "auto",
    valueHint: "auto|coreml|portable|tape:FILE|http://HOST:PORT",
    description:
      "what runs the model; tape: what was recorded; an address: the server there, MODEL being its name for it",
    isOwnChoice: (value) => value.includes(":"),
  },
  device: {
    type: "enum",
    options: ["auto", "cpu", "gpu", "ane", "all"],
    default: "auto",
    description: "where it may run",
  },
  precision: {
    type: "enum",
    options: ["float32", "model"],
    description:
      "portable engine: half precision in single precision (float32, its way), or in the types the model declares (model)",
  },
  function: { type: "string", valueHint: "NAME", description: "function of a multifunction model" },
  onnxruntime: {
    type: "string",
    valueHint: "FILE",
    description: "ONNX Runtime library to use in place of the built-in one",
    isTrusted: true,
  },
  coreml: {
    type: "string",
    valueHint: "FILE",
    description: "libcoremlx to use; on Linux it is a stand-in for tests",
    isTrusted: true,
  },
  "cache-dir": {
    type: "string",
    valueHint: "DIR",
    description: "where coremlx keeps its cache",
    isTrusted: true,
  },
  cache: {
    type: "boolean",
    default: true,
    description: "load what was compiled before, and compile in the background what took long",
  },
} as const satisfies FlagDefs;

export function command<const F extends FlagDefs>(spec: CommandSpec<F>): Command {
  const positionals = spec.positionals ?? [];
  const flags: FlagDefs = { ...spec.flags, ...commonFlags };
  return {
    meta: spec.meta,
    positionals,
    flags,
    examples: spec.examples,
    definition: defineCommand({ meta: { ...spec.meta }, args: cittyArgs(positionals, flags) }),
    async run(rawArgs, io) {
      const given = readArguments(rawArgs, { name: spec.meta.name, positionals, flags }, io);
      // readArguments checked every value against its definition, which is what the mapped type says.
      const values = given.values as FlagValues<F & typeof commonFlags>;
      await spec.run({ flags: values, positionals: given.positionals, given, io });
    },
  };
}

function cittyArgs(positionals: readonly PositionalDef[], flags: FlagDefs): ArgsDef {
  const args: ArgsDef = {};
  for (const { name, description, isRequired, multiple } of positionals) {
    args[multiple ? `${name}…` : name] = { type: "positional", description, required: isRequired ?? false };
  }
  for (const [name, flag] of Object.entries(flags)) {
    const { type, description, alias, valueHint, options } = flag;
    args[name] = {
      type,
      description: flag.multiple ? `${description} (repeatable)` : description,
      ...(alias === undefined ? {} : { alias }),
      ...(valueHint === undefined ? {} : { valueHint }),
      ...(options === undefined ? {} : { options: [...options] }),
      ...(flag.default === undefined ? {} : { default: flag.default }),
    } as ArgsDef[string];
  }
  return args;
}
