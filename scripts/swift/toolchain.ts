// The Swift toolchain: on a Mac its own, on Linux in a folder of its own (swift-root.sh).

import { join } from "node:path";

export const root = join(import.meta.dir, "../..");
export const isMac = process.platform === "darwin";

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

export interface Run {
  readonly env?: Readonly<Record<string, string>>;
  /** Not in the toolchain's folder. */
  readonly here?: boolean;
  readonly isQuiet?: boolean;
}

export async function run(
  words: readonly string[],
  { env = {}, here = false, isQuiet = false }: Run = {},
): Promise<Outcome> {
  const command = here || isMac ? words : [join(root, "scripts/in-swift-root.sh"), ...words];
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
    stdin: "ignore",
  });
  const streams = [child.stdout, child.stderr].map(async (stream) => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const part of stream) text += decoder.decode(part, { stream: true });
    return text;
  });
  const [code, ...texts] = await Promise.all([child.exited, ...streams]);
  const output = texts.join("");
  if (code !== 0 && !isQuiet) console.log(output.split("\n").slice(-80).join("\n"));
  return { code, output };
}

/** Why the toolchain cannot be had, or undefined. */
export async function findToolchain(): Promise<string | undefined> {
  const words = isMac ? ["swift", "--version"] : [join(root, "scripts/swift-root.sh")];
  if (!isMac && process.getuid?.() !== 0) return "making and entering the toolchain's folder needs root";
  try {
    const { code, output } = await run(words, { here: true, isQuiet: true });
    return code === 0 ? undefined : output.trim().split("\n").at(-1);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
