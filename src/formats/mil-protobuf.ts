// The protobuf form of an ML program, into the program of mil.ts. Names are checked on the way: each is defined once,
// before it is used.

import { isFloat, isPacked } from "../core/dtype.ts";
import { elementsOf } from "../core/tensor.ts";
import { badModel, quote } from "./bad-model.ts";
import type {
  Block as BlockMessage,
  Function as FunctionMessage,
  NamedValueType,
  Operation as OperationMessage,
  Program as ProgramMessage,
  Value,
} from "./gen/MIL_pb.ts";
import { newestSpecificationVersion } from "./limits.ts";
import type {
  MilBinding,
  MilBlock,
  MilFunction,
  MilNamedType,
  MilOp,
  MilProgram,
  MilTensor,
  MilValue,
} from "./mil.ts";
import { opsetOf, readType } from "./mil-types.ts";
import { about, readValue, stringOf, type ValueContext } from "./mil-values.ts";

const programVersion = 1n;

/** Tensors inside borrow from the message's bytes and from `context.weights`. Throws BAD_MODEL. */
export function readProgram(message: ProgramMessage, context: ValueContext): MilProgram {
  if (message.version > programVersion) {
    throw badModel(`its program has version ${message.version}, the newest known is ${programVersion}`);
  }
  const functions = new Map<string, MilFunction>();
  for (const [name, each] of Object.entries(message.functions)) {
    functions.set(name, new FunctionReader(name, context).read(each));
  }
  if (functions.size > context.limits.maxFunctions)
    throw badModel(`its program has ${functions.size} functions`);
  return { functions, attributes: readAttributes("program", message.attributes, context) };
}

function readAttributes(
  owner: string,
  messages: Readonly<Record<string, Value>>,
  context: ValueContext,
): ReadonlyMap<string, MilValue> {
  const attributes = new Map<string, MilValue>();
  for (const [name, message] of Object.entries(messages)) {
    try {
      attributes.set(name, readValue(message, context));
    } catch (error) {
      throw about(`${owner}, attribute ${quote(name)}`, error);
    }
  }
  return attributes;
}

/** Reads one function. Invariant: `#defined` and `#names` hold the names visible at the operation being read. */
class FunctionReader {
  readonly #name: string;
  readonly #context: ValueContext;
  readonly #defined = new Set<string>();
  /** The same names in the order of their definition, so that a block can take its own back. */
  readonly #names: string[] = [];
  #operations = 0;

  constructor(name: string, context: ValueContext) {
    this.#name = name;
    this.#context = context;
  }

  read(message: FunctionMessage): MilFunction {
    const opset = opsetOf(message.opset);
    if (opset === undefined) {
      throw badModel(
        `function ${quote(this.#name)} is written for the unknown opset ${quote(message.opset)}`,
        {
          hint: `The newest known is CoreML9, of specification version ${newestSpecificationVersion}: use a newer coremlx`,
          details: { opset: message.opset },
        },
      );
    }
    const specializations = message.blockSpecializations;
    const block = Object.hasOwn(specializations, message.opset) ? specializations[message.opset] : undefined;
    if (block === undefined) {
      throw badModel(`function ${quote(this.#name)} has no block for its opset ${quote(message.opset)}`);
    }
    const owner = `function ${quote(this.#name)}`;
    return {
      name: this.#name,
      opset,
      inputs: this.#define(message.inputs, owner),
      block: this.#block(block, 1),
      attributes: readAttributes(owner, message.attributes, this.#context),
    };
  }

  #block(message: BlockMessage, depth: number): MilBlock {
    const { maxBlockDepth } = this.#context.limits;
    if (depth > maxBlockDepth) throw badModel(`blocks are nested more than ${maxBlockDepth} deep`);
    const before = this.#names.length;
    const inputs = this.#define(message.inputs, "block");
    const operations = message.operations.map((each) => this.#operation(each, depth));
    for (const name of message.outputs)
      this.#refuseUndefined(name, `a block of function ${quote(this.#name)}`);
    // What a block defines is invisible outside.
    for (const name of this.#names.splice(before)) this.#defined.delete(name);
    return { inputs, operations, outputs: message.outputs };
  }

  #operation(message: OperationMessage, depth: number): MilOp {
    const { maxOperations } = this.#context.limits;
    if (++this.#operations > maxOperations) {
      throw badModel(`function ${quote(this.#name)} has more than ${maxOperations} operations`);
    }
    const owner = nameOf(message);
    const attributes = readAttributes(owner, message.attributes, this.#context);
    const inputs = new Map<string, readonly MilBinding[]>();
    for (const [name, argument] of Object.entries(message.inputs)) {
      const where = `${owner}, argument ${quote(name)}`;
      inputs.set(
        name,
        argument.arguments.map(({ binding }) => {
          if (binding.case === "name") {
            this.#refuseUndefined(binding.value, where);
            return { kind: "name", name: binding.value };
          }
          if (binding.case === undefined) throw badModel(`${where}: has neither a name nor a value`);
          try {
            return { kind: "value", value: readValue(binding.value, this.#context) };
          } catch (error) {
            throw about(where, error);
          }
        }),
      );
    }
    const blocks = message.blocks.map((each) => this.#block(each, depth + 1));
    return { type: message.type, inputs, outputs: this.#define(message.outputs, owner), blocks, attributes };
  }

  #define(messages: readonly NamedValueType[], owner: string): MilNamedType[] {
    return messages.map(({ name, type }) => {
      if (this.#defined.has(name)) {
        throw badModel(`${owner} defines ${quote(name)} a second time`, { details: { name } });
      }
      this.#defined.add(name);
      this.#names.push(name);
      try {
        return { name, type: readType(type, this.#context.limits) };
      } catch (error) {
        throw about(`${owner}, value ${quote(name)}`, error);
      }
    });
  }

  #refuseUndefined(name: string, where: string): void {
    if (this.#defined.has(name)) return;
    throw badModel(`${where}: uses ${quote(name)}, which nothing before it defines`, { details: { name } });
  }
}

/** `conv "y_3"`: the type, and the first output, which a person finds in every viewer. */
function nameOf(message: OperationMessage): string {
  const output = message.outputs[0]?.name;
  return output === undefined ? `operation ${quote(message.type)}` : `${message.type} ${quote(output)}`;
}

/** Labels of the first `classify` in the function, wherever the program keeps them; undefined without one. */
export function classLabelsOf(milFunction: MilFunction): readonly string[] | readonly bigint[] | undefined {
  const { operations } = milFunction.block;
  const classify = operations.find((operation) => operation.type === "classify");
  const binding = classify?.inputs.get("classes")?.[0];
  if (binding === undefined) return undefined;
  if (binding.kind === "value") return labelsIn(binding.value);
  const source = operations.find((operation) =>
    operation.outputs.some((output) => output.name === binding.name),
  );
  const value = source?.type === "const" ? source.attributes.get("val") : undefined;
  return value === undefined ? undefined : labelsIn(value);
}

function labelsIn(value: MilValue): readonly string[] | readonly bigint[] | undefined {
  if (value.kind === "strings") return value.values;
  if (value.kind === "tensor") return integersIn(value);
  if (value.kind === "dictionary") return undefined;
  const strings = value.values.map(stringOf);
  if (strings.every((text) => text !== undefined)) return strings;
  const integers = value.values.map((each) => (each.kind === "tensor" ? integersIn(each) : undefined));
  return integers.every((each) => each !== undefined) ? integers.flat() : undefined;
}

function integersIn({ dtype, bytes }: MilTensor): bigint[] | undefined {
  if (isPacked(dtype) || isFloat(dtype) || dtype === "float8e4m3fn" || dtype === "float8e5m2")
    return undefined;
  return Array.from(elementsOf({ dtype, bytes }), BigInt);
}
