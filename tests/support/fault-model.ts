// A model that real ONNX Runtime fails on when its inputs say so: it spins as long as it is told, looks up what is not
// there, or returns what it was given, so that an answer proves which call it belongs to.

import { DataType } from "../../src/formats/gen/MIL_pb.ts";
import { constant, immediate, type OperationInit, stringValue, tensorType } from "./model-files.ts";
import { operation, port, writeProgram } from "./program-models.ts";

const integer = tensorType(DataType.INT32, [1]);

/** Entries of the table: an index from 8 on is an error of the run. */
export const tableSize = 8;

/**
 * Over x float32 [size, size], trips int32 [1] and index int32 [1]: y = x, by way of one product with the unit matrix
 * (a kernel that ends when it is done, whoever wants it to stop); steps = trips, by a loop that counts up to there (and
 * does stop); picked = index, looked up in a table.
 */
export function writeFaultModel(path: string, size: number): string {
  const square = [size, size];
  const unit = new Float32Array(size * size);
  for (let i = 0; i < size; i++) unit[i * size + i] = 1;
  return writeProgram(path, {
    inputs: [port("x", "float32", square), port("trips", "int32", [1]), port("index", "int32", [1])],
    outputs: [port("y", "float32", square), port("steps", "int32", [1]), port("picked", "int32", [1])],
    operations: [
      constant(
        "unit",
        immediate(tensorType(DataType.FLOAT32, square), {
          case: "floats",
          value: { values: new Uint8Array(unit.buffer) },
        }),
      ),
      integers("zero", [0]),
      integers("one", [1]),
      integers(
        "table",
        Array.from({ length: tableSize }, (_, i) => i),
      ),
      countUp(),
      operation("gather", { x: "table", indices: "index" }, port("picked", "int32", [1])),
      operation("matmul", { x: "x", y: "unit" }, port("y", "float32", square)),
    ],
  });
}

/** steps = zero; while (steps < trips) steps += one. */
function countUp(): OperationInit {
  const i = { name: "i", type: integer };
  const more = { name: "more", type: tensorType(DataType.BOOL, [1]) };
  const condition = {
    type: "less",
    inputs: { x: reference("i"), y: reference("trips") },
    outputs: [more],
    attributes: { name: stringValue("more") },
  };
  return {
    type: "while_loop",
    inputs: { loop_vars: reference("zero") },
    outputs: [{ name: "steps", type: integer }],
    attributes: { name: stringValue("steps") },
    blocks: [
      { inputs: [i], operations: [condition], outputs: ["more"] },
      {
        inputs: [i],
        operations: [operation("add", { x: "i", y: "one" }, port("next", "int32", [1]))],
        outputs: ["next"],
      },
    ],
  };
}

function reference(name: string) {
  return { arguments: [{ binding: { case: "name", value: name } as const }] };
}

/** Below 128, where a varint is the number itself in one byte. */
function integers(name: string, values: readonly number[]): OperationInit {
  const type = tensorType(DataType.INT32, [values.length]);
  return constant(name, immediate(type, { case: "ints", value: { values: Uint8Array.from(values) } }));
}
