// The conformance suite of every engine, on Core ML's, and on tapes of it.

import { engineSuite } from "../conformance/engine.suite.ts";
import { openEngine } from "../../src/engines/select.ts";
import { decodeTape, encodeTape } from "../../src/engines/tape/file.ts";
import { TapeEngine } from "../../src/engines/tape.ts";
import { recordSuite } from "../support/engines/recorded.ts";
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

const recorded = await openEngine({ engine: "coreml", cacheDir: folder.path, coremlPath: coremlPath() });
const tapes = (await recordSuite(recorded)).map((tape) => decodeTape(encodeTape(tape)));
engineSuite("tape of coreml", async () => new TapeEngine({ tapes, isExact: true }));
