// Claims, uses and gives up subfolders as fast as it can while others do the same and sweep. Says what it lost.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OutputFolder, sweepOutputs } from "../../../src/runtime/outputs/output-folder.ts";

const [folder = "", rounds = "0"] = process.argv.slice(2);
let lost = 0;
for (let round = 0; round < Number(rounds); round++) {
  using claim = OutputFolder.claim(folder);
  const path = join(claim.path, "result.bin");
  writeFileSync(path, "x");
  sweepOutputs(folder);
  if (!existsSync(path)) lost++;
}
process.stdout.write(String(lost));
