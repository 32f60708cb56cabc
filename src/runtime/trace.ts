// What a program computes on its way, on the portable engine: the values between its operations, for one set of inputs.

import { convertInputs } from "./run/inputs.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import type { FeatureValues, Tensor } from "../core/tensor.ts";
import { findFunction } from "../engines/find-function.ts";
import { programFunction } from "../engines/portable.ts";
import { listTaps, runTapped, type TapValue } from "../engines/portable-taps.ts";
import type { MilFunction } from "../formats/mil.ts";
import type { Model } from "../formats/model.ts";
import { openModel } from "../formats/open.ts";
import { locateOnnxRuntime } from "../native/library.ts";
import { OnnxRuntime } from "../native/onnxruntime.ts";

export interface TraceOptions {
  readonly functionName?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
  readonly onnxruntimePath?: string | undefined;
  readonly cacheDir: string;
}

/** An operation of the function's own block, constants left out. */
export interface TracedOperation {
  /** Among all operations of the block. */
  readonly index: number;
  readonly type: string;
  readonly name: string;
  readonly results: readonly string[];
  /** Names of what goes in and is no constant, those that nested blocks take too. */
  readonly inputs: readonly string[];
}

export interface GivenTrace {
  readonly functionName: string;
  readonly operationCount: number;
  readonly operations: readonly TracedOperation[];
  listValues(): readonly TapValue[];
  run(names: readonly string[]): ReadonlyMap<string, Tensor>;
}

/** Owns the model and the library. Every run blocks this thread. */
export class ProgramTrace implements Disposable {
  readonly functionName: string;
  readonly operationCount: number;
  readonly operations: readonly TracedOperation[];
  readonly #model: Model;
  readonly #runtime: OnnxRuntime;
  readonly #fn: MilFunction;
  readonly #description: FunctionDescription;
  readonly #precision: TraceOptions["precision"];

  /** Throws UNSUPPORTED for anything but an ML program. */
  static async open(path: string, options: TraceOptions): Promise<ProgramTrace> {
    const model = await openModel(path);
    try {
      const library = await locateOnnxRuntime({ path: options.onnxruntimePath, cacheDir: options.cacheDir });
      return new ProgramTrace(model, OnnxRuntime.open(library), options);
    } catch (error) {
      model[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(model: Model, runtime: OnnxRuntime, options: TraceOptions) {
    this.#model = model;
    this.#runtime = runtime;
    this.#precision = options.precision;
    if (model.body.kind !== "mlProgram") {
      runtime[Symbol.dispose]();
      throw new CoremlxError(
        "UNSUPPORTED",
        `Cannot look inside of ${model.path}: it is a ${model.description.kind}`,
        { hint: "ML programs can be looked into" },
      );
    }
    this.#description = findFunction(model, options.functionName);
    this.#fn = programFunction(model.body.program, this.#description);
    this.functionName = this.#fn.name;
    const { operations } = this.#fn.block;
    this.operationCount = operations.length;
    const constants = new Set(
      operations.filter(({ type }) => type === "const").flatMap((op) => op.outputs.map(({ name }) => name)),
    );
    this.operations = operations.flatMap((op, index): TracedOperation[] => {
      const results = op.outputs.map(({ name }) => name);
      const [name] = results;
      if (op.type === "const" || name === undefined) return [];
      const inputs = namesIn(op).filter((input) => !constants.has(input));
      return [{ index, type: op.type, name, results, inputs }];
    });
  }

  /** The same with its inputs settled. */
  given(inputs: FeatureValues): GivenTrace {
    const { functionName, operationCount, operations } = this;
    return {
      functionName,
      operationCount,
      operations,
      listValues: () => this.listValues(),
      run: (names) => this.run(inputs, names),
    };
  }

  /** Those of the operations' results that can be looked at. */
  listValues(): readonly TapValue[] {
    const names = this.operations.flatMap(({ results }) => results);
    return listTaps(this.#fn, names, { precision: this.#precision });
  }

  /** The values of these names. */
  run(inputs: FeatureValues, names: readonly string[]): ReadonlyMap<string, Tensor> {
    const converted = convertInputs(inputs, this.#description.inputs);
    return runTapped(
      this.#fn,
      this.#description,
      { names, inputs: converted },
      { runtime: this.#runtime, precision: this.#precision, threads: undefined },
    );
  }

  [Symbol.dispose](): void {
    this.#runtime[Symbol.dispose]();
    this.#model[Symbol.dispose]();
  }
}

function namesIn(op: MilFunction["block"]["operations"][number]): readonly string[] {
  const names = [...op.inputs.values()]
    .flat()
    .flatMap((binding) => (binding.kind === "name" ? [binding.name] : []));
  const nested = op.blocks.flatMap((block) => block.operations.flatMap(namesIn));
  return [...new Set([...names, ...nested])];
}
