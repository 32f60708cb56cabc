// The conformance suite of every engine, on tapes of the portable one that went through their file.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEngine } from "../../src/engines/select.ts";
import { decodeTape, encodeTape } from "../../src/engines/tape/file.ts";
import { TapeEngine } from "../../src/engines/tape.ts";
import { recordSuite } from "../support/engines/recorded.ts";
import { engineSuite } from "./engine.suite.ts";

await using portable = await openEngine({
  engine: "portable",
  cacheDir: join(tmpdir(), "coremlx-test-cache"),
});
const tapes = (await recordSuite(portable)).map((tape) => decodeTape(encodeTape(tape)));

// Exact: nothing that was not recorded is answered by chance.
engineSuite("tape", async () => new TapeEngine({ tapes, isExact: true }));
