// Reference models, pictures and recordings lie beside the project in ../shared; tests read them there.

import { existsSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";

const root = process.env["COREMLX_SHARED"] ?? resolve(import.meta.dir, "../../../shared");

/** Absolute path of a file in ../shared. Throws when it is missing, so that no test passes by not running. */
export function sharedPath(relative: string): string {
  const path = join(root, relative);
  if (!existsSync(path))
    throw new Error(`Cannot find ${path}: the tests need the folder "shared" beside the project`);
  return realpathSync(path);
}
