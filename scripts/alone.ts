// Shows that an executable needs nothing but itself: copies it with a model and a picture into an empty folder, gives it an empty
// home, and has it recognise the picture. Usage: bun scripts/alone.ts EXECUTABLE [option of infer…]

import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [executable, ...options] = process.argv.slice(2);
if (executable === undefined) {
  console.error("Usage: bun scripts/alone.ts EXECUTABLE [option of infer…]");
  process.exit(2);
}
const digits = resolve(import.meta.dir, "../examples/digits");
const folder = mkdtempSync(join(tmpdir(), "coremlx-alone-"));
try {
  const home = join(folder, "home");
  const program = join(folder, "coremlx"); // Apple's own caches lie under the program's name
  mkdirSync(home);
  cpSync(executable, program);
  cpSync(join(digits, "Digits.mlpackage"), join(folder, "Digits.mlpackage"), { recursive: true });
  cpSync(join(digits, "digit_7.png"), join(folder, "digit_7.png"));
  const done = Bun.spawnSync([program, "infer", "Digits.mlpackage", "digit_7.png", "--json", ...options], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", HOME: home },
    stderr: "inherit",
  });
  const answer = done.success ? labelOf(done.stdout.toString()) : undefined;
  console.log(`alone: ${answer ?? `exit code ${done.exitCode}`}`);
  process.exitCode = answer === "7" ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function labelOf(text: string): string {
  const { engine, outputs } = JSON.parse(text) as { engine: string; outputs: Record<string, unknown> };
  const expected = options[options.indexOf("--engine") + 1];
  if (options.includes("--engine") && engine !== expected) return `the ${engine} engine answered`;
  return String(outputs["classLabel"]);
}
