// The same graph without coremlx around it: lowered, loaded into ONNX Runtime, run with tensors that are reused.

import { generate } from "../../src/codecs/generate.ts";
import { isTensor, type Tensor, zeros } from "../../src/core/tensor.ts";
import { openModel } from "../../src/formats/open.ts";
import { lower } from "../../src/lowering/lower.ts";
import { locateOnnxRuntime } from "../../src/native/library.ts";
import { OnnxRuntime, type OrtSession } from "../../src/native/onnxruntime.ts";
import { commonFolder, serializeModel } from "../../src/onnx/serialize.ts";
import { defaultCacheDir } from "../../src/runtime/session.ts";

export const library = await locateOnnxRuntime({ path: undefined, cacheDir: defaultCacheDir() });

export class BareModel implements Disposable {
  readonly session: OrtSession;
  readonly #runtime: OnnxRuntime;
  readonly #inputs: ReadonlyMap<string, Tensor>;
  readonly #outputs: ReadonlyMap<string, Tensor>;

  static async open(path: string, threads: number): Promise<BareModel> {
    using model = await openModel(path);
    if (model.body.kind !== "mlProgram") throw new Error(`${path} is no ML program`);
    const [fn] = [...model.body.program.functions.values()];
    if (fn === undefined) throw new Error(`${path} has no function`);
    const { graph } = lower(fn);
    const externalDataFolder = commonFolder(graph);
    const external = externalDataFolder === undefined ? {} : { external: { folder: externalDataFolder } };
    const runtime = OnnxRuntime.open(library);
    const { bytes } = serializeModel(graph, external);
    return new BareModel(runtime, runtime.createSession(bytes, { threads, externalDataFolder }));
  }

  /** A session that another thread made. */
  static borrow(session: number): BareModel {
    const runtime = OnnxRuntime.open(library);
    return new BareModel(runtime, runtime.borrowSession({ session }));
  }

  private constructor(runtime: OnnxRuntime, session: OrtSession) {
    this.#runtime = runtime;
    this.session = session;
    this.#inputs = new Map(session.inputs.map((info) => [info.name, randomTensor(info)]));
    this.#outputs = new Map(session.outputs.map((info) => [info.name, zeros(info.dtype, shapeOf(info))]));
  }

  run(): void {
    this.session.run(this.#inputs, { outputs: this.#outputs });
  }

  [Symbol.dispose](): void {
    this.session[Symbol.dispose]();
    this.#runtime[Symbol.dispose]();
  }
}

type Info = OrtSession["inputs"][number];

/** The values that an array input of this name gets from randomInputs: runs may take longer with others. */
function randomTensor(info: Info): Tensor {
  const shape = shapeOf(info);
  const { name, dtype } = info;
  const type = {
    kind: "multiArray",
    dtype,
    shape,
    constraint: { kind: "fixed" },
    defaultValue: undefined,
  } as const;
  const value = generate({ name, description: "", isOptional: false, type }, "random", { seed: 0 });
  if (typeof value === "object" && isTensor(value)) return value;
  throw new Error(`"${name}" is no array`);
}

function shapeOf({ name, dims }: Info): number[] {
  return (dims ?? [undefined]).map((dim) => {
    if (typeof dim === "number") return dim;
    throw new Error(`"${name}" has no fixed shape`);
  });
}
