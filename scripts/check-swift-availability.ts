// Fails when the library uses an API newer than macOS 14.0 without a guard.

import { checkAvailability } from "./swift/availability.ts";
import { readApiTable, readSources } from "./swift/files.ts";

const problems = checkAvailability(readApiTable(), readSources("swift/Bridge/*.swift"));
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
