// coremlx config: the effective settings of a command and where each comes from.

import { CoremlxError } from "../../core/errors.ts";
import { nearest, suggest } from "../../core/suggest.ts";
import { type Command, command } from "../command.ts";
import { type ConfigFile, readConfigFiles } from "../config-files.ts";
import { createLogger } from "../logger.ts";
import { type FlagSetting, readArguments, variableName } from "../options.ts";
import { plainLine, table } from "../output.ts";

export const config = command({
  meta: { name: "config", description: "Show the effective settings of a command and where each comes from" },
  positionals: [{ name: "COMMAND", description: "whose settings (default: infer)" }],
  flags: {},
  examples: ["coremlx config", "coremlx config inspect --json"],
  async run({ flags, positionals, io }) {
    const name = positionals[0] ?? "infer";
    const { commands } = await import("../program.ts");
    const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (entry === undefined) {
      throw new CoremlxError("USAGE", `Unknown command "${name}"`, {
        hint: suggest(name, Object.keys(commands), "The commands are"),
      });
    }
    const loaded = await Promise.all(Object.values(commands).map((each) => each.load()));
    const target = await entry.load();
    const given = readArguments([], { name, positionals: [], flags: target.flags }, io);
    const settings = Object.keys(target.flags)
      .filter((flag) => flag !== "help")
      .map((flag) => ({
        key: flag,
        value: shownValue(given.values[flag], target.flags[flag]?.isSecret),
        origin: given.origins[flag] ?? "default",
        variable: variableName(flag),
      }));
    const files = readConfigFiles(io);
    const logger = createLogger(io, flags);
    for (const file of [files.project, files.user]) {
      for (const slip of findSlips(file, loaded)) logger.log("warn", `${file.path}: ${slip}`);
    }
    const paths = { project: files.project.path, user: files.user.path };
    if (flags.json) {
      io.stdout(`${JSON.stringify({ schemaVersion: 1, command: name, files: paths, settings })}\n`);
      return;
    }
    const rows = settings.map(({ key, value, origin, variable }) => [
      key,
      plainLine(value === null ? "-" : String(value)),
      origin,
      variable,
    ]);
    io.stdout(`${table([["setting", "value", "from", "environment variable"], ...rows])}\n\n`);
    io.stdout(`project file: ${plainLine(paths.project)}\nuser file:    ${plainLine(paths.user)}\n`);
  },
});

function shownValue(value: FlagSetting, isSecret = false): NonNullable<FlagSetting> | null {
  if (!isSecret || value === undefined || (Array.isArray(value) && value.length === 0)) return value ?? null;
  return "(secret)";
}

/** What stands at the top of a file and means nothing to any command. In a command's own table it is an error. */
function findSlips({ top }: ConfigFile, commands: readonly Command[]): readonly string[] {
  const settings = [...new Set(commands.flatMap(({ flags }) => Object.keys(flags)))];
  const names = commands.map(({ meta }) => meta.name);
  const meant = (name: string, known: readonly string[]) => {
    const near = nearest(name, known);
    return near === undefined ? "" : `; did you mean "${near}"?`;
  };
  return [
    ...top.keys
      .filter((key) => !settings.includes(key))
      .map((key) => `no command has a setting "${key}"${meant(key, settings)}`),
    ...top.tables
      .filter((name) => !names.includes(name))
      .map((name) => `there is no command "${name}"${meant(name, names)}`),
  ];
}
