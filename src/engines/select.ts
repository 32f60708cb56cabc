// Which engine runs a model: asked for by name, or the best this machine has.

import { CoremlxError } from "../core/errors.ts";
import type { Engine, GraphShare, LoadedGraph } from "./engine.ts";

/** Plain data, so that it can be sent to a worker. */
export interface EngineOptions {
  /** auto, coreml, portable, tape:FILE, http://HOST:PORT. */
  readonly engine: string;
  /** ONNX Runtime library to use in place of the built-in one. */
  readonly onnxruntimePath?: string | undefined;
  /** libcoremlx to use in place of the built-in one. On Linux it is a stand-in, for tests. */
  readonly coremlPath?: string | undefined;
  /** Where extracted libraries are kept. */
  readonly cacheDir: string;
  /** Of the portable engine: asking another for it is refused. Default: float32. */
  readonly precision?: "float32" | "model" | undefined;
  /** false: nothing is looked for in the compile cache. Default true. */
  readonly cache?: boolean | undefined;
}

/**
 * Throws UNSUPPORTED for an engine this machine or build does not have, and for a precision where the engine has its own;
 * USAGE for a name nobody knows.
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const engine = await openNamed(options);
  const { precision } = options;
  if (precision === undefined || engine.name === "portable") return engine;
  await engine[Symbol.asyncDispose]();
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot use precision "${precision}" with engine ${engine.name}: it computes as it does`,
    { hint: "Leave --precision out, or use --engine portable", details: { engine: engine.name, precision } },
  );
}

async function openNamed(options: EngineOptions): Promise<Engine> {
  if (options.engine.startsWith(tapePrefix)) {
    const { openTape } = await import("./tape.ts");
    return openTape(options.engine.slice(tapePrefix.length));
  }
  if (isRemote(options.engine)) {
    const { HttpEngine } = await import("./http.ts");
    return HttpEngine.open({ address: options.engine });
  }
  switch (options.engine) {
    case "auto":
      return (process.platform === "darwin" ? await tryCoreml(options) : undefined) ?? openPortable(options);
    case "portable":
      return openPortable(options);
    case "coreml": {
      const engine = await tryCoreml(options);
      if (engine) return engine;
      throw new CoremlxError("UNSUPPORTED", `Cannot use the Core ML engine: ${whyNoCoreml()}`, {
        hint: "Use --engine portable, which runs the same files here",
      });
    }
    default:
      throw new CoremlxError(
        "USAGE",
        `Unknown engine "${options.engine}": use auto, coreml, portable, tape:FILE or http://HOST:PORT`,
      );
  }
}

/** What comes before the path of a tape. */
export const tapePrefix = "tape:";

/** An engine that knows models by name: there need not be a file. */
export function hasOwnModels(engine: string): boolean {
  return engine.startsWith(tapePrefix) || isRemote(engine);
}

function isRemote(engine: string): boolean {
  return /^https?:\/\//i.test(engine);
}

/** A graph that another thread of this process loaded, to run it from here at the same time. Its owner must outlive this use. */
export async function borrowGraph(share: GraphShare): Promise<LoadedGraph> {
  const { borrowOrtGraph } = await import("./ort-graph.ts");
  return borrowOrtGraph(share);
}

/** `undefined` where there is no library for it. Throws NATIVE or BAD_INPUT for one that cannot be used. */
async function tryCoreml({ coremlPath, cacheDir, cache = true }: EngineOptions): Promise<Engine | undefined> {
  const { locateCoreml } = await import("../native/coreml-library.ts");
  const path = await locateCoreml({ path: coremlPath, cacheDir });
  if (path === undefined) return undefined;
  const [{ CoremlEngine }, { CoremlLibrary }] = await Promise.all([
    import("./coreml.ts"),
    import("../native/coreml.ts"),
  ]);
  return new CoremlEngine({ library: CoremlLibrary.open(path), cacheDir: cache ? cacheDir : undefined });
}

async function openPortable(options: EngineOptions): Promise<Engine> {
  const [{ PortableEngine }, { OnnxRuntime }, { locateOnnxRuntime }] = await Promise.all([
    import("./portable.ts"),
    import("../native/onnxruntime.ts"),
    import("../native/library.ts"),
  ]);
  const { cacheDir, onnxruntimePath, precision, cache = true } = options;
  const libraryPath = await locateOnnxRuntime({ path: onnxruntimePath, cacheDir });
  return new PortableEngine({
    runtime: OnnxRuntime.open(libraryPath),
    precision,
    compiled: cache ? { cacheDir, libraryPath } : undefined,
  });
}

function whyNoCoreml(): string {
  return process.platform === "darwin"
    ? "this build has no Core ML bridge"
    : "it needs macOS on Apple silicon";
}
