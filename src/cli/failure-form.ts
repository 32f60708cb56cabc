// How a failure is shown when the command line may itself be what is wrong: the settings that matter for that, as far
// as they can be made out, from the same places as all others.

import { ConfigFile, readConfigFiles } from "./config-files.ts";
import { variableName } from "./options.ts";
import type { Io } from "./output.ts";

export interface FailureForm {
  readonly isJson: boolean;
  readonly isVerbose: boolean;
  readonly isLogJson: boolean;
  readonly color: string;
}

/** Never throws: what cannot be read counts as not set. */
export function failureForm(argv: readonly string[], io: Io): FailureForm {
  const [command = "", ...rest] = argv;
  const end = rest.indexOf("--");
  const args = command.startsWith("-") ? argv : end === -1 ? rest : rest.slice(0, end);
  const files = configFiles(io);
  const elsewhere = (flag: string): string | undefined => {
    const settings = [io.env[variableName(flag)], ...files.map((file) => file.get(command, flag))];
    const found = settings.find((value) => value !== undefined && value !== "");
    return typeof found === "string" || typeof found === "boolean" ? String(found) : undefined;
  };
  const isOn = (flag: string, letter?: string): boolean => {
    const isGiven = args.some((arg) => arg === `--${flag}` || hasLetter(arg, letter));
    if (args.includes(`--no-${flag}`)) return false;
    return isGiven || ["1", "true", "yes", "on"].includes((elsewhere(flag) ?? "").toLowerCase());
  };
  return {
    isJson: isOn("json"),
    isVerbose: isOn("verbose", "v"),
    isLogJson: (valueOf(args, "log-format") ?? elsewhere("log-format")) === "json",
    color: valueOf(args, "color") ?? elsewhere("color") ?? "auto",
  };
}

function configFiles(io: Io): readonly ConfigFile[] {
  try {
    const { project, user } = readConfigFiles(io);
    return [project, user];
  } catch {
    return []; // a damaged file is what the failure is about
  }
}

/** -v, also among others as in -qv. */
function hasLetter(arg: string, letter: string | undefined): boolean {
  return letter !== undefined && /^-[a-z]+$/.test(arg) && arg.includes(letter);
}

function valueOf(args: readonly string[], flag: string): string | undefined {
  const joined = args.find((arg) => arg.startsWith(`--${flag}=`));
  if (joined !== undefined) return joined.slice(flag.length + 3);
  const at = args.indexOf(`--${flag}`);
  return at === -1 ? undefined : args[at + 1];
}
