// A process that finds the library of an embedded description (JSON: cacheDir, embedded) and prints what it found.

import type { LogFields } from "../../../src/core/telemetry.ts";
import { messageOf } from "../../../src/core/errors.ts";
import type { EmbeddedLibrary } from "../../../src/native/embedded.ts";
import { findOnnxRuntime } from "../../../src/native/library.ts";
import { OnnxRuntime } from "../../../src/native/onnxruntime.ts";

const { cacheDir, embedded } = JSON.parse(process.argv[2] ?? "") as {
  cacheDir: string;
  embedded: EmbeddedLibrary;
};
const warnings: string[] = [];
try {
  const telemetry = {
    log: (_level: string, _event: string, fields?: LogFields) =>
      void warnings.push(String(fields?.["reason"])),
  };
  const found = await findOnnxRuntime({ cacheDir, embedded, telemetry });
  using runtime = OnnxRuntime.open(found.path);
  process.stdout.write(JSON.stringify({ ...found, version: runtime.version, warnings }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: messageOf(error), warnings }));
}
