// Before every test file: programs are started and real models run, which on a busy machine takes more than bun's five seconds.
// Bun 1.4 heeds this for the first file only; for the others there is --timeout in package.json.

import { mock, setDefaultTimeout } from "bun:test";
import * as os from "node:os";
import { join } from "node:path";
import { sweepStaleFolders, tempFolder } from "./temp.ts";
import { bundleWorker } from "./worker-bundle.ts";

setDefaultTimeout(30_000);
sweepStaleFolders();

const own = tempFolder();
process.on("exit", () => {
  try {
    own[Symbol.dispose]();
  } catch {
    // a thread that hangs is just writing there; a later run sweeps it
  }
});

// The user's cache and settings are not the tests' business: nobody here has any.
const home = join(own.path, "home");
await mock.module("node:os", () => ({ ...os, default: { ...os, homedir: () => home }, homedir: () => home }));

await bundleWorker(join(own.path, "worker"));
