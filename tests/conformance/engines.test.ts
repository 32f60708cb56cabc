import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEngine } from "../../src/engines/select.ts";
import { digitPicture } from "../support/digits.ts";
import { FakeEngine, learnDigits } from "../support/fake-engine.ts";
import { engineSuite } from "./engine.suite.ts";

const cacheDir = join(tmpdir(), "coremlx-test-cache");

engineSuite("portable", () => openEngine({ engine: "portable", cacheDir }));
engineSuite("portable in model precision", () =>
  openEngine({ engine: "portable", cacheDir, precision: "model" }),
);
engineSuite("fake", async () => {
  learnDigits(await Promise.all(Array.from({ length: 10 }, (_, digit) => digitPicture(digit))));
  return new FakeEngine();
});
