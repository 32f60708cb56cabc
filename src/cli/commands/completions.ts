// coremlx completions: a script for the shell that completes commands, flags, their choices and file names. It holds
// all it needs: pressing Tab starts no program, and nothing on the command line is ever evaluated.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { type Command, command } from "../command.ts";

const shells = ["bash", "zsh", "fish"];

export const completions = command({
  meta: { name: "completions", description: "Print shell completions" },
  positionals: [{ name: "SHELL", description: "bash, zsh or fish", isRequired: true }],
  flags: {},
  examples: [
    "coremlx completions bash > coremlx.bash",
    "coremlx completions zsh > coremlx.zsh",
    "coremlx completions fish > coremlx.fish",
  ],
  async run({ flags, positionals, io }) {
    const shell = positionals[0] ?? "";
    const { commands } = await import("../program.ts");
    const loaded = await Promise.all(Object.values(commands).map((entry) => entry.load()));
    const script = scriptFor(shell, loaded);
    io.stdout(flags.json ? `${JSON.stringify({ schemaVersion: 1, shell, script })}\n` : script);
  },
});

function scriptFor(shell: string, commands: readonly Command[]): string {
  switch (shell) {
    case "bash":
      return bash(commands);
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`;
    case "fish":
      return fish(commands);
    default:
      throw new CoremlxError("USAGE", `Unknown shell "${shell}"`, {
        hint: suggest(shell, shells, "The shells are"),
      });
  }
}

/** Runs in bash from 3.2 on, and in zsh. Names may hold blanks: only line feeds separate them. */
function bash(commands: readonly Command[]): string {
  const names = commands.map(({ meta }) => meta.name);
  const cases = commands.map(({ meta, flags }) => `    ${meta.name}) flags=${quote(flagWords(flags))} ;;`);
  const choices = enumFlags(commands).map(
    ([flag, options]) => `    --${flag}) choices=${quote(options.join(" "))} ;;`,
  );
  return `# coremlx completions
_coremlx() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" flags="" choices=""
  local IFS=$'\\n'
  COMPREPLY=()
  # "--flag=value" comes as three words
  if [ "$current" = "=" ]; then
    current=""
  elif [ "$previous" = "=" ] && [ "$COMP_CWORD" -gt 1 ]; then
    previous="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(IFS=' '; compgen -W ${quote([...names, "help", "--help", "--version"].join(" "))} -- "$current"))
    return
  fi
  case "$previous" in
${choices.join("\n")}
  esac
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    help) choices=${quote(names.join(" "))} ;;
  esac
  if [ "\${COMP_WORDS[1]}" = completions ] && [ "$COMP_CWORD" -eq 2 ]; then choices=${quote(shells.join(" "))}; fi
  if [ "\${COMP_WORDS[1]}" = config ] && [ "$COMP_CWORD" -eq 2 ]; then choices=${quote(names.join(" "))}; fi
  case "$current" in
    -*) COMPREPLY=($(IFS=' '; compgen -W "$flags" -- "$current")) ;;
    *)
      if [ -n "$choices" ]; then
        COMPREPLY=($(IFS=' '; compgen -W "$choices" -- "$current"))
      else
        COMPREPLY=($(compgen -f -- "$current"))
      fi
      ;;
  esac
}
complete -o filenames -F _coremlx coremlx
`;
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap(({ meta, flags }) => {
    const only = quote(`__fish_seen_subcommand_from ${meta.name}`);
    return [
      `complete -c coremlx -n __fish_use_subcommand -f -a ${meta.name} -d ${quote(meta.description)}`,
      ...Object.entries(flags).map(([flag, def]) => {
        const value = def.options
          ? ` -x -a ${quote(def.options.join(" "))}`
          : def.type === "boolean"
            ? ""
            : " -r";
        const letter = def.alias === undefined ? "" : ` -s ${def.alias}`;
        return `complete -c coremlx -n ${only} -l ${flag}${letter}${value} -d ${quote(def.description)}`;
      }),
    ];
  });
  const shellNames = `complete -c coremlx -n '__fish_seen_subcommand_from completions' -f -a '${shells.join(" ")}'`;
  return `# coremlx completions\n${lines.join("\n")}\n${shellNames}\n`;
}

function flagWords(flags: Command["flags"]): string {
  return Object.keys(flags)
    .map((flag) => `--${flag}`)
    .join(" ");
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
