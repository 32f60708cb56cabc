// A model's lowered graph as a self-contained ONNX file.

import { basename, dirname, join, resolve } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import { findFunction } from "../engines/find-function.ts";
import { programFunction } from "../engines/portable.ts";
import { openModel } from "../formats/open.ts";
import { lower } from "../lowering/lower.ts";
import { makeFolder, writeFileWhole } from "../native/write-file.ts";
import { type Exported, serializeForExport } from "../onnx/serialize.ts";

export interface ExportOptions {
  readonly functionName?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
}

export interface ExportedFile {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Writes the graph to `file`, with its folders; weights beyond 2 GiB go into a second file beside it. The graph's file comes
 * first in the result. Throws UNSUPPORTED for anything but an ML program, and IO.
 */
export async function exportToFile(
  path: string,
  file: string,
  options: ExportOptions = {},
): Promise<readonly ExportedFile[]> {
  const target = resolve(file);
  return exportOnnx(path, { ...options, fileName: basename(target) }, ({ model, data }) => {
    makeFolder(dirname(target));
    const graph = { path: target, bytes: model.length };
    if (data === undefined) {
      writeFileWhole(target, model);
      return [graph];
    }
    const weights = { path: join(dirname(target), data.name), bytes: data.byteLength };
    writeFileWhole(weights.path, data.chunks);
    writeFileWhole(target, model);
    return [graph, weights];
  });
}

/** Hands the exported graph to `write`, which must be done with it when it returns: it borrows from the model. */
export async function exportOnnx<T>(
  path: string,
  options: ExportOptions & { readonly fileName: string },
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
