// Before every test file: programs are started and real models run, which on a busy machine takes more than bun's five seconds.

import { setDefaultTimeout } from "bun:test";

setDefaultTimeout(30_000);
