// A model's lowered graph as a self-contained ONNX file.

import { CoremlxError } from "../core/errors.ts";
import { findFunction, programFunction } from "../engines/portable.ts";
import { openModel } from "../formats/open.ts";
import { lower } from "../lowering/lower.ts";
import { serializeModel } from "../onnx/serialize.ts";

export interface ExportOptions {
  readonly functionName?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
}

/** Throws UNSUPPORTED for anything but an ML program. */
export async function exportOnnx(
  path: string,
  options: ExportOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  using model = await openModel(path);
  const description = findFunction(model, options.functionName);
  if (model.body.kind !== "mlProgram") {
    throw new CoremlxError("UNSUPPORTED", `Cannot export ${path}: it is a ${model.description.kind}`, {
      hint: "ML programs can be exported",
    });
  }
  const lowered = lower(programFunction(model.body.program, description), { precision: options.precision });
  return serializeModel(lowered.graph, {}).bytes;
}
