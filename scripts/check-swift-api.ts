// Fails when a stand-in differs from the table of Apple's API, or when the library uses what is not in it.

import { checkApi, listDeclarations } from "./swift/api-check.ts";
import { readApiTable, readSources } from "./swift/files.ts";

const standIn = readSources("swift/StandIn/*/*.swift");

if (process.argv.includes("--list")) {
  for (const row of listDeclarations(standIn)) console.log(row);
} else {
  const problems = checkApi(readApiTable(), {
    standIn,
    bridge: readSources("swift/Bridge/*.swift"),
    objectiveC: readSources("swift/StandIn/ObjC/CoreML/*.h"),
  });
  for (const problem of problems) console.error(problem);
  process.exit(problems.length === 0 ? 0 : 1);
}
