// Before every test file: programs are started and real models run, which on a busy machine takes more than bun's five seconds.
// Bun 1.4 heeds this for the first file only; for the others there is --timeout in package.json.

import { setDefaultTimeout } from "bun:test";

setDefaultTimeout(30_000);
