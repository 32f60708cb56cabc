// Tests that need something of the machine: a program, or the right to mount. Where it is missing the test is skipped, and
// says why; in CI (COREMLX_CI=1) it fails instead, so that no suite passes by not running.

import { test } from "bun:test";

export interface Tool {
  /** Why it cannot be used here; `undefined` where it can. */
  readonly missing: string | undefined;
}

/** `name` found in PATH. */
export function program(name: string): Tool {
  return { missing: Bun.which(name) === null ? `${name} is not installed` : undefined };
}

/** What a command that must succeed says about the machine: `unshare -m true`. */
export function ability(what: string, command: readonly string[]): Tool {
  const [name = ""] = command;
  if (Bun.which(name) === null) return { missing: `${name} is not installed` };
  const { success, stderr } = Bun.spawnSync([...command], { stdout: "ignore", stderr: "pipe" });
  return { missing: success ? undefined : `this user may not ${what} (${stderr.toString().trim()})` };
}

/** Namespaces of our own, with mounts in them. */
export const mounts: Tool = ability("mount in a namespace of its own", [
  "unshare",
  "-m",
  "sh",
  "-c",
  "mount -t tmpfs none /mnt",
]);

/** Declares a test that needs `tools`. */
export function testWith(tools: readonly Tool[], name: string, body: () => Promise<void>): void {
  const missing = tools.map((tool) => tool.missing).filter((reason) => reason !== undefined);
  if (missing.length === 0) {
    test(name, body);
    return;
  }
  const reason = missing.join("; ");
  if (process.env["COREMLX_CI"] === "1") {
    test(name, () => {
      throw new Error(`Cannot run this test: ${reason}`);
    });
    return;
  }
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
  test.skip(name, body);
}

/** A command line that runs `words` where `folder` is a file system of its own. */
export function withMount(folder: string, options: string, words: readonly string[]): readonly string[] {
  const script = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"';
  return ["unshare", "-m", "sh", "-c", script, "sh", options, folder, ...words];
}
