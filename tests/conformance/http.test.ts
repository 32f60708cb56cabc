// The conformance suite of every engine, against our own server; and what a client must do beyond it.

import { afterAll } from "bun:test";
import { resolve } from "node:path";
import { HttpEngine } from "../../src/engines/http.ts";
import { digitsPackage } from "../support/digits.ts";
import { serveModels } from "../support/server/serve.ts";
import { engineSuite } from "./engine.suite.ts";

const stateful = resolve(import.meta.dir, "../fixtures/formats/stateful.mlpackage");

// Its models run in workers of their own; only its sockets are served by this thread.
const served = await serveModels([
  { name: "Digits", path: digitsPackage },
  { name: "stateful", path: stateful },
]);
afterAll(() => served[Symbol.asyncDispose]());

const because = "the protocol carries no states";
engineSuite("http", () => HttpEngine.open({ address: served.url }), [
  { test: "keeps a state between the predictions it is given to", because },
  { test: "keeps two states apart", because },
  { test: "takes over a state's written value, and refuses one of another shape", because },
  { test: "loads a function by name", because: "the protocol does not name functions" },
]);
