// Fails where the header of the C ABI, the Swift library's exports and TypeScript's tables do not say the same.

import { readAbiSources } from "./swift/abi-files.ts";
import { checkAbi } from "./swift/abi.ts";

const problems = checkAbi(readAbiSources());
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
