// A model's lowered graph as a self-contained ONNX file.

import { CoremlxError } from "../core/errors.ts";
import { findFunction, programFunction } from "../engines/portable.ts";
import { openModel } from "../formats/open.ts";
import { lower } from "../lowering/lower.ts";
import { type Exported, serializeForExport } from "../onnx/serialize.ts";

export interface ExportOptions {
  /** The file the graph will have: weights beyond 2 GiB go into a file beside it. */
  readonly fileName: string;
  readonly functionName?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
}

/**
 * Hands the exported graph to `write`, which must be done with it when it returns: it borrows from the model. Throws
 * UNSUPPORTED for anything but an ML program.
 */
export async function exportOnnx<T>(
  path: string,
  options: ExportOptions,
  write: (exported: Exported) => T,
): Promise<T> {
  using model = await openModel(path);
  const description = findFunction(model, options.functionName);
  if (model.body.kind !== "mlProgram") {
    throw new CoremlxError("UNSUPPORTED", `Cannot export ${path}: it is a ${model.description.kind}`, {
      hint: "ML programs can be exported",
    });
  }
  const lowered = lower(programFunction(model.body.program, description), { precision: options.precision });
  return write(serializeForExport(lowered.graph, options.fileName));
}
