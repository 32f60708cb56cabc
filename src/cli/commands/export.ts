// coremlx export: the graph the portable engine runs, as an ONNX file.

import { basename, dirname, join, resolve } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { formatBytes } from "../../core/quantity.ts";
import { exportOnnx } from "../../runtime/export.ts";
import { command, engineFlags } from "../command.ts";
import { plainLine, shellWord } from "../output.ts";
import { findModel } from "../paths.ts";
import { writeOutputFile } from "../results.ts";

export const exportModel = command({
  meta: { name: "export", description: "Write the graph the portable engine runs as an ONNX file" },
  positionals: [{ name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true }],
  flags: {
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE.onnx",
      description: "where to write it; - for stdout",
      isTrusted: true,
    },
    precision: {
      type: "enum",
      options: ["float32", "model"],
      default: "float32",
      description: "float32: half-precision arithmetic in single precision; model: as declared",
    },
    function: engineFlags.function,
  },
  examples: ["coremlx export examples/digits/Digits.mlpackage -o digits.onnx"],
  async run({ flags, positionals, io }) {
    const [path = ""] = positionals;
    if (flags.output === undefined) {
      throw new CoremlxError("USAGE", "coremlx export needs --output: where to write the ONNX file", {
        hint: `Write coremlx export ${shellWord(path)} -o model.onnx, or -o - for stdout`,
      });
    }
    if (flags.output === "-" && flags.json) {
      throw new CoremlxError("USAGE", "Cannot print the ONNX file and JSON to the same standard output", {
        hint: "Leave --json out, or write to a file",
      });
    }
    const { output } = flags;
    const options = {
      fileName: basename(output),
      functionName: flags.function,
      precision: flags.precision,
    };
    const written = await exportOnnx(findModel(path, io.cwd), options, ({ model, data }) => {
      if (output === "-") {
        if (data) throw tooLargeForPipe(data.byteLength);
        io.stdout(model);
        return [];
      }
      const target = resolve(io.cwd, output);
      if (data) writeOutputFile(join(dirname(target), data.name), data.chunks);
      writeOutputFile(target, model);
      const files = [{ file: output, bytes: model.length }];
      return data ? [...files, { file: join(dirname(output), data.name), bytes: data.byteLength }] : files;
    });
    const [graph] = written;
    if (graph === undefined) return;
    if (flags.json) io.stdout(`${JSON.stringify({ schemaVersion: 1, ...graph, files: written })}\n`);
    else if (!flags.quiet) {
      for (const { file, bytes } of written) io.stderr(`wrote ${plainLine(file)} (${formatBytes(bytes)})\n`);
    }
  },
});

function tooLargeForPipe(bytes: number): CoremlxError {
  return new CoremlxError(
    "UNSUPPORTED",
    `Cannot write the graph to stdout: ${formatBytes(bytes)} of weights need a second file`,
    {
      hint: "Name a file with --output",
    },
  );
}
