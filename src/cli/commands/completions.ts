// coremlx completions: a script for the shell that completes commands, flags and file names.

import { CoremlxError } from "../../core/errors.ts";
import { type Command, command } from "../command.ts";

const shells = ["bash", "zsh", "fish"];

export const completions = command({
  meta: { name: "completions", description: "Print shell completions" },
  positionals: [{ name: "SHELL", description: "bash, zsh or fish", isRequired: true }],
  flags: {},
  examples: [
    "coremlx completions bash > ~/.local/share/bash-completion/completions/coremlx",
    "coremlx completions fish",
  ],
  async run({ positionals, io }) {
    const shell = positionals[0] ?? "";
    const { commands } = await import("../program.ts");
    const loaded = await Promise.all(Object.values(commands).map((entry) => entry.load()));
    switch (shell) {
      case "bash":
        return io.stdout(bash(loaded));
      case "zsh":
        return io.stdout(`autoload -U +X bashcompinit && bashcompinit\n${bash(loaded)}`);
      case "fish":
        return io.stdout(fish(loaded));
      default:
        throw new CoremlxError("USAGE", `Unknown shell "${shell}"`, {
          hint: `The shells are ${shells.join(", ")}`,
        });
    }
  },
});

function bash(commands: readonly Command[]): string {
  const names = commands.map(({ meta }) => meta.name).join(" ");
  const cases = commands.map(({ meta, flags }) => {
    const words = Object.keys(flags).map((flag) => `--${flag}`);
    return `    ${meta.name}) words="${words.join(" ")}" ;;`;
  });
  const choices = enumFlags(commands).map(
    ([flag, options]) => `    --${flag}) words="${options.join(" ")}" ;;`,
  );
  return `_coremlx() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} --help --version" -- "$current"))
    return
  fi
  case "$previous" in
${choices.join("\n")}
  esac
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    completions) words="${shells.join(" ")}" ;;
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}
complete -o filenames -F _coremlx coremlx
`;
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap(({ meta, flags }) => [
    `complete -c coremlx -n __fish_use_subcommand -f -a ${meta.name} -d ${quote(meta.description)}`,
    ...Object.entries(flags).map(([flag, def]) => {
      const choices = def.options
        ? ` -x -a ${quote(def.options.join(" "))}`
        : def.type === "boolean"
          ? ""
          : " -r";
      const only = quote(`__fish_seen_subcommand_from ${meta.name}`);
      return `complete -c coremlx -n ${only} -l ${flag}${choices} -d ${quote(def.description)}`;
    }),
  ]);
  return `${lines.join("\n")}\n`;
}

function enumFlags(commands: readonly Command[]): readonly (readonly [string, readonly string[]])[] {
  const found = new Map<string, readonly string[]>();
  for (const { flags } of commands) {
    for (const [flag, { options }] of Object.entries(flags)) if (options) found.set(flag, options);
  }
  return [...found];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
