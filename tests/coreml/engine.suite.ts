// The conformance suite of every engine, on Core ML's.

import { engineSuite } from "../conformance/engine.suite.ts";
import { openEngine } from "../../src/engines/select.ts";
import { coremlPath } from "../support/standin.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
process.on("exit", () => folder[Symbol.dispose]());

engineSuite("coreml", () =>
  openEngine({ engine: "coreml", cacheDir: folder.path, coremlPath: coremlPath() }),
);
engineSuite("coreml without a cache", () =>
  openEngine({ engine: "coreml", cacheDir: folder.path, cache: false, coremlPath: coremlPath() }),
);
