// coremlx config: the effective settings of a command and where each comes from.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { command } from "../command.ts";
import { readConfigFiles } from "../config-files.ts";
import { readArguments, variableName } from "../options.ts";
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
    const target = await entry.load();
    const given = readArguments([], { name, positionals: [], flags: target.flags }, io);
    const settings = Object.keys(target.flags)
      .filter((flag) => flag !== "help")
      .map((flag) => ({
        key: flag,
        value: given.values[flag] ?? null,
        origin: given.origins[flag] ?? "default",
        variable: variableName(flag),
      }));
    const files = readConfigFiles(io);
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
