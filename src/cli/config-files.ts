// coremlx.toml beside the work, and the user's own configuration file.

import { existsSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import type { Io } from "./output.ts";

/** Nobody writes a configuration of a megabyte. */
const maxConfigBytes = 1_000_000;

/** Keys stand at the top for every command, or in a table named like one command. */
export class ConfigFile {
  readonly path: string;
  readonly #tables: Readonly<Record<string, unknown>>;

  constructor(path: string) {
    this.path = path;
    this.#tables = readToml(path);
  }

  get(command: string, key: string): unknown {
    const table = this.#tables[command];
    const own = isTable(table) ? table[key] : undefined;
    const shared = this.#tables[key];
    return own ?? (isTable(shared) ? undefined : shared);
  }

  /** Keys at the top, for every command that has them, and names of the tables beside them. */
  get top(): { readonly keys: readonly string[]; readonly tables: readonly string[] } {
    const names = Object.keys(this.#tables);
    return {
      keys: names.filter((name) => !isTable(this.#tables[name])),
      tables: names.filter((name) => isTable(this.#tables[name])),
    };
  }

  /** Keys in the command's own table. */
  ownKeysFor(command: string): readonly string[] {
    const table = this.#tables[command];
    return isTable(table) ? Object.keys(table) : [];
  }

  /** Keys that would count for a command. */
  keysFor(command: string): readonly string[] {
    const table = this.#tables[command];
    const shared = this.top.keys;
    return isTable(table) ? [...shared, ...Object.keys(table)] : shared;
  }
}

export function readConfigFiles(io: Io): { readonly project: ConfigFile; readonly user: ConfigFile } {
  const xdg = io.env["XDG_CONFIG_HOME"];
  const home = xdg?.startsWith("/") ? xdg : join(homedir(), ".config");
  return {
    project: new ConfigFile(join(io.cwd, "coremlx.toml")),
    user: new ConfigFile(join(home, "coremlx", "config.toml")),
  };
}

function readToml(path: string): Readonly<Record<string, unknown>> {
  if (!existsSync(path)) return {};
  try {
    const stats = statSync(path);
    if (!stats.isFile()) throw new Error("it is not a regular file"); // a pipe would hold us
    if (stats.size > maxConfigBytes)
      throw new Error(`it has ${stats.size} bytes, more than ${maxConfigBytes}`);
    const parsed: unknown = Bun.TOML.parse(readFileSync(path, "utf8"));
    return isTable(parsed) ? parsed : {};
  } catch (error) {
    throw new CoremlxError("USAGE", `Cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
