// The real ONNX Runtime, opened once for all tests of a file.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { locateOnnxRuntime } from "../../src/native/library.ts";
import { OnnxRuntime } from "../../src/native/onnxruntime.ts";

let opened: Promise<OnnxRuntime> | undefined;

/** Lives until the process ends: closing it would take the library from the other tests. */
export function portableRuntime(): Promise<OnnxRuntime> {
  opened ??= locateOnnxRuntime({ path: undefined, cacheDir: join(tmpdir(), "coremlx-test-cache") }).then(
    (library) => OnnxRuntime.open(library),
  );
  return opened;
}
