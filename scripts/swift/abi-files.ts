// The files of the three sides of the C ABI.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AbiSources } from "./abi.ts";
import { readSources } from "./files.ts";

const root = join(import.meta.dir, "../..");

export function readAbiSources(): AbiSources {
  const read = (path: string) => readFileSync(join(root, path), "utf8");
  return {
    header: read("swift/CCoremlx/include/coremlx.h"),
    layout: read("swift/CCoremlx/layout.c"),
    bridge: readSources("swift/Bridge/*.swift"),
    symbols: read("src/native/coreml-symbols.ts"),
    structs: read("src/native/coreml-structs.ts"),
    numbers: read("src/native/coreml-numbers.ts"),
  };
}
