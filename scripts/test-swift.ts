// Everything that must hold of the Swift side: checks over the sources, try.m compiled against stand-in headers, the tests
// with their coverage, again under both sanitizers, deliberate faults that these must report, the release build.
// On Linux it runs in a folder that holds the Swift toolchain (swift-root.sh). The last line is "N passed, N failed".

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { findToolchain, isMac, root, run, type Run } from "./swift/toolchain.ts";

const leastCoverage = 0.95;
const leastTests = 100;

let passed = 0;
let failed = 0;

function report(name: string, isGood: boolean, detail = ""): void {
  if (isGood) passed++;
  else failed++;
  console.log(`${isGood ? "(pass)" : "(fail)"} ${name}${detail === "" ? "" : ` [${detail}]`}`);
}

async function step(name: string, words: readonly string[], options: Run = {}): Promise<boolean> {
  const began = performance.now();
  const { code } = await run(words, options);
  report(name, code === 0, `${((performance.now() - began) / 1000).toFixed(1)} s`);
  return code === 0;
}

/** Every test counts by itself. */
function countTests(output: string): void {
  const good = new Set([...output.matchAll(/^.{1,4}Test (\w+)\(.*\) passed/gmu)].map(([, name]) => name));
  const bad = new Set([...output.matchAll(/^.{1,4}Test (\w+)\(.*\) failed/gmu)].map(([, name]) => name));
  passed += good.size;
  failed += bad.size;
  console.log(`Swift tests: ${good.size} pass, ${bad.size} fail`);
  for (const name of bad) console.log(`(fail) ${name}`);
  report(`at least ${leastTests} tests ran`, isMac || good.size + bad.size >= leastTests);
}

interface CoverageFile {
  readonly filename: string;
  readonly summary: { readonly lines: { readonly count: number; readonly covered: number } };
}

function checkCoverage(): void {
  const scratch = join(root, ".build/tests");
  const triple = readdirSync(scratch).find((name) =>
    existsSync(join(scratch, name, "debug/codecov/coremlx.json")),
  );
  if (triple === undefined) return report("line coverage of swift/Bridge", false, "no coverage was written");
  const parsed: { data: { files: CoverageFile[] }[] } = JSON.parse(
    readFileSync(join(scratch, triple, "debug/codecov/coremlx.json"), "utf8"),
  );
  const files = (parsed.data[0]?.files ?? []).filter(({ filename }) => filename.includes("/swift/Bridge/"));
  const sum = (of: "count" | "covered") => files.reduce((total, file) => total + file.summary.lines[of], 0);
  const share = sum("covered") / sum("count");
  for (const { filename, summary } of files)
    if (summary.lines.covered < summary.lines.count)
      console.log(
        `  ${filename.slice(filename.indexOf("swift/Bridge/"))}: ${summary.lines.covered} of ${summary.lines.count}`,
      );
  report(
    `line coverage of swift/Bridge is at least ${leastCoverage * 100} %`,
    files.length > 0 && share >= leastCoverage,
    `${(share * 100).toFixed(1)} %, ${sum("covered")} of ${sum("count")}`,
  );
}

/** try.m is for Apple systems only: here it is compiled, not run. Its availability is enforced by the compiler itself. */
async function checkTry(): Promise<void> {
  const compile = (path: string, flag: string) =>
    `/usr/libexec/swift/bin/clang -x objective-c -target arm64-apple-macosx14.0 -fsyntax-only -fblocks ${flag}
    -Wall -Wextra -Wunguarded-availability -Werror -nostdinc -isystem /usr/libexec/swift/lib/clang/17/include
    -isystem swift/StandIn/ObjC/c -isystem swift/StandIn/ObjC -I swift/CCoremlx/include ${path}`.split(/\s+/);
  await step("try.m compiles with reference counting", compile("swift/CCoremlx/try.m", "-fobjc-arc"));
  await step("try.m compiles without reference counting", compile("swift/CCoremlx/try.m", "-fno-objc-arc"));
  const unguarded = join(root, ".build/unguarded.m");
  const source = readFileSync(join(root, "swift/CCoremlx/try.m"), "utf8");
  await Bun.write(
    unguarded,
    source.replace("} else if (@available(macOS 15.0, *)) {", "} else if (state) {"),
  );
  const { code, output } = await run(compile(unguarded, "-fobjc-arc"), { isQuiet: true });
  report(
    "a missing guard in try.m is reported",
    code !== 0 && output.includes("is only available on macOS 15.0"),
  );
}

const swiftTest = "swift test --no-parallel";
const sanitized = {
  address: `${swiftTest} --sanitize=address --scratch-path .build/address`.split(" "),
  // Release: in a debug build it does not see accesses made through the standard library's generics.
  thread:
    `${swiftTest} -c release -Xswiftc -enable-testing --sanitize=thread --scratch-path .build/thread`.split(
      " ",
    ),
};

async function checkControl(control: string, words: readonly string[], says: string): Promise<void> {
  const { code, output } = await run([...words, "--filter", "misbehavesAsAskedFor"], {
    env: { ...sanitizerEnvironment, COREMLX_CONTROL: control },
    isQuiet: true,
  });
  report(`a deliberate fault (${control}) is reported`, code !== 0 && output.includes(says));
}

const sanitizerEnvironment = {
  LSAN_OPTIONS: `suppressions=${join(root, "swift/Tests/lsan.supp")}:print_suppressions=0`,
};

async function testLinux(): Promise<void> {
  await step("check:swift-availability", ["bun", "scripts/check-swift-availability.ts"], { here: true });
  await step("check:swift-api", ["bun", "scripts/check-swift-api.ts"], { here: true });
  await checkTry();
  const tests = await run(`${swiftTest} --enable-code-coverage --scratch-path .build/tests`.split(" "));
  countTests(tests.output);
  report("the tests ended well", tests.code === 0);
  checkCoverage();
  await step("the tests pass under the address sanitizer", sanitized.address, { env: sanitizerEnvironment });
  await checkControl("useAfterFree", sanitized.address, "AddressSanitizer: heap-use-after-free");
  await checkControl("leak", sanitized.address, "LeakSanitizer: detected memory leaks");
  await step("the tests pass under the thread sanitizer", sanitized.thread);
  await checkControl("race", sanitized.thread, "ThreadSanitizer: data race");
  await step("the release library builds", ["swift", "build", "-c", "release", "--product", "coremlx"]);
}

async function testMac(): Promise<void> {
  const tests = await run(swiftTest.split(" "));
  countTests(tests.output);
  report("the tests ended well", tests.code === 0);
  await step("the release library builds", ["swift", "build", "-c", "release", "--product", "coremlx"]);
}

const missing = await findToolchain();
if (missing !== undefined && process.env["COREMLX_CI"] !== "1") {
  console.log(`skipped: no Swift toolchain: ${missing}`);
} else if (missing !== undefined) {
  report("the Swift toolchain", false, missing);
} else if (isMac) {
  await testMac();
} else {
  await testLinux();
}
// As bun's own suites end, for .ci/run.
console.log(` ${passed} pass\n ${failed} fail`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
