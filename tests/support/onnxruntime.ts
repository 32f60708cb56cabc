// ONNX Runtime and the graphs of tests/fixtures/onnx, for the tests of src/native.

import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { locateOnnxRuntime } from "../../src/native/library.ts";

/** The library of the development package. */
export function libraryPath(): Promise<string> {
  return locateOnnxRuntime({ cacheDir: join(tmpdir(), "coremlx-test-cache") }); // not written to: the package is there
}

/** The bytes of tests/fixtures/onnx/<name>.onnx; scripts/fixtures/onnx_runtime_fixtures.py says what each computes. */
export function onnxModel(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(import.meta.dir, "../fixtures/onnx", `${name}.onnx`)));
}

/** A file inside tests/. */
export function testFile(relative: string): string {
  return join(import.meta.dir, "..", relative);
}
