// The Core ML engine, driven by Bun: builds libcoremlx and runs the suites of tests/coreml on it. On Linux that happens in the
// folder that holds the Swift toolchain, over stand-ins for Apple's frameworks. Arguments choose suites: `test:coreml native`.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { findToolchain, isMac, root, run } from "./swift/toolchain.ts";

const built = join(root, ".build/release", isMac ? "libcoremlx.dylib" : "libcoremlx.so");

/** The others bring models that only the stand-in runs. */
const suitesForMac: readonly string[] = ["engine"];

function chooseSuites(wanted: readonly string[]): string[] {
  const all = [...new Glob("*.suite.ts").scanSync(join(root, "tests/coreml"))].toSorted();
  const names = wanted.length === 0 && isMac ? suitesForMac : wanted;
  const chosen =
    names.length === 0 ? all : all.filter((file) => names.includes(file.replace(".suite.ts", "")));
  if (chosen.length === 0)
    throw new Error(`There is no suite ${names.join(", ")}: there are ${all.join(", ")}`);
  return chosen.map((file) => `./tests/coreml/${file}`);
}

async function testAll(): Promise<boolean> {
  const build = await run(["swift", "build", "-c", "release", "--product", "coremlx"]);
  if (build.code !== 0 || !existsSync(built)) {
    console.log("(fail) the library builds\n 0 pass\n 1 fail");
    return false;
  }
  const command = ["bun", "test", "--timeout", "60000", ...chooseSuites(process.argv.slice(2))];
  const child = Bun.spawn(isMac ? command : [join(root, "scripts/in-swift-root.sh"), ...command], {
    cwd: root,
    env: {
      ...process.env,
      COREMLX_COREML: built,
      COREMLX_STANDIN_MODELS: join(root, "tests/fixtures/standin"),
    },
    stdio: ["ignore", "inherit", "inherit"],
  });
  return (await child.exited) === 0;
}

const missing = await findToolchain();
if (missing === undefined) process.exit((await testAll()) ? 0 : 1);
const isNeeded = process.env["COREMLX_CI"] === "1";
console.log(`${isNeeded ? "(fail)" : "skipped:"} no Swift toolchain: ${missing}`);
console.log(` 0 pass\n ${isNeeded ? 1 : 0} fail`);
process.exit(isNeeded ? 1 : 0);
