// A run in a process of its own: the tensors travel, and results are put where they belong.

import { isTensor, type Tensor } from "../../core/tensor.ts";
import { MemoryViews } from "../../native/memory.ts";
import type { RunCopiesRequest, RunReply, SharedTensor } from "./protocol.ts";

/** Borrows the memory of all tensors until it settles. A result of another size than its place comes back beside it. */
export async function runCopies(
  call: (request: RunCopiesRequest) => Promise<RunReply>,
  inputs: readonly SharedTensor[],
  outputs: readonly SharedTensor[],
): Promise<RunReply> {
  const views = new MemoryViews();
  const bytesOf = ({ address, byteLength }: SharedTensor) => views.at(address, byteLength);
  const copies = inputs.map((input): [string, Tensor] => {
    return [input.name, { dtype: input.dtype, shape: input.shape, bytes: bytesOf(input).slice() }];
  });
  const { results, runMs } = await call({ type: "runCopies", inputs: new Map(copies) });
  const rest = new Map(results);
  for (const output of outputs) {
    const result = rest.get(output.name);
    if (result === undefined || !isTensor(result) || result.bytes.byteLength !== output.byteLength) continue;
    bytesOf(output).set(result.bytes);
    rest.delete(output.name);
  }
  return { results: rest, runMs };
}
