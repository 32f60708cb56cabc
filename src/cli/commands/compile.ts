// coremlx compile: makes the next start of a model warm.

import { formatBytes, formatMs } from "../../core/quantity.ts";
import { resolve } from "node:path";
import { compileModel, type CompileResult } from "../../runtime/compile.ts";
import { command, engineFlags } from "../command.ts";
import { parseSize } from "../options.ts";
import { plainLine } from "../output.ts";
import { findModel } from "../paths.ts";
import { cacheDirOf, progress } from "../session.ts";

export const compile = command({
  meta: { name: "compile", description: "Compile a model into the cache, so that it loads at once" },
  positionals: [{ name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true }],
  flags: {
    output: {
      type: "string",
      alias: "o",
      valueHint: "DIR",
      description: "write a folder instead of the cache; new, empty, or from an earlier compile",
      isTrusted: true,
    },
    verify: { type: "boolean", description: "read model and cache entry whole, trust no sizes and times" },
    precision: {
      type: "enum",
      options: ["float32", "model"],
      default: "float32",
      description: "float32: half-precision arithmetic in single precision; model: as declared",
    },
    "max-size": {
      type: "string",
      valueHint: "SIZE",
      description: "what the whole cache may take (default 2GB)",
    },
    function: {
      ...engineFlags.function,
      description: "only this function (default: all; with -o the default one)",
    },
    engine: engineFlags.engine,
    onnxruntime: engineFlags.onnxruntime,
    coreml: engineFlags.coreml,
    "cache-dir": engineFlags["cache-dir"],
  },
  examples: [
    "coremlx compile examples/digits/Digits.mlpackage",
    "coremlx compile examples/digits/Digits.mlpackage -o digits-compiled",
  ],
  async run({ flags, positionals, io }) {
    const [path = ""] = positionals;
    const { output, "max-size": maxSize } = flags;
    const result = await progress(
      io,
      flags.quiet ? undefined : "compiling",
      compileModel(findModel(path, io.cwd), {
        cacheDir: cacheDirOf(flags["cache-dir"], io),
        engine: flags.engine,
        onnxruntimePath: flags.onnxruntime === undefined ? undefined : resolve(io.cwd, flags.onnxruntime),
        coremlPath: flags.coreml === undefined ? undefined : resolve(io.cwd, flags.coreml),
        functionName: flags.function,
        precision: flags.precision,
        outputFolder: output === undefined ? undefined : resolve(io.cwd, output),
        verify: flags.verify,
        maxCacheBytes: maxSize === undefined ? undefined : parseSize(maxSize, "max-size"),
      }),
    );
    if (flags.json) io.stdout(`${JSON.stringify({ schemaVersion: 1, ...result })}\n`);
    else if (!flags.quiet) io.stdout(describe(result));
  },
});

function describe({ functions }: CompileResult): string {
  const several = functions.length > 1;
  return functions
    .map(({ name, outcome, compileMs, loadMs, bytes, folder }) => {
      const facts = [
        outcome === "warm" ? "was compiled already" : `compiled in ${formatMs(compileMs)}`,
        ...(loadMs === undefined ? [] : [`loads in ${formatMs(loadMs)}`]),
        formatBytes(bytes),
        plainLine(folder),
      ];
      return `${several ? `${plainLine(name)}: ` : ""}${facts.join(" · ")}\n`;
    })
    .join("");
}
