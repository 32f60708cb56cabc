// MIL's list ops. A list is one tensor [length, …element]; sizes of an element nobody declared are 1 until the first write.

import { constantNumbers, knownElements } from "../../onnx/elements.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType, sizeOf } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { tensorOf } from "../../core/tensor.ts";
import { joinVector, sizeOfAxis } from "../sizes.ts";

export const lists = {
  make_list(op, g) {
    const [output] = op.outputs;
    const type = output?.type.kind === "list" ? output.type.element : undefined;
    if (type?.kind !== "tensor" || type.shape === undefined) {
      return op.unsupported("a list whose elements have no declared type");
    }
    const sizes = type.shape.map((size) => size ?? 1);
    const length = op.has("init_length") ? oneElement(op, g, "init_length") : g.vector([1]);
    if (output && !op.bool("dynamic_length", true)) op.scope.markFixedList(output.name);
    return zeros(g, op.dtypeNamed(op.string("dtype", "fp32")), [length, ...sizes]);
  },

  list_length: (op, g) => g.cast(sizeOf(g, op.value("ls"), 0), "int32"),

  list_read: (op, g) => {
    const index = g.node("Reshape", [op.value("index"), g.vector([])]);
    return g.node("Gather", [op.value("ls"), wide(g, index)], { axis: 0 });
  },

  list_gather(op, g) {
    const list = op.value("ls");
    const indices = op.value("indices");
    return coversList(list, indices) ? list : g.node("Gather", [list, wide(g, indices)], { axis: 0 });
  },

  list_write(op, g) {
    const index = oneElement(op, g, "index");
    const value = g.node("Unsqueeze", [op.value("value"), g.vector([0])]);
    const row = g.node("Unsqueeze", [index, g.vector([1])]);
    return write(op, g, { rows: row, values: value, last: () => index });
  },

  list_scatter(op, g) {
    const indices = g.cast(op.value("indices"), "int64");
    const rows = g.node("Unsqueeze", [indices, g.vector([1])]);
    const last = () => g.node("ReduceMax", [indices, g.vector([0])], { keepdims: 1 });
    return write(op, g, { rows, values: op.value("value"), last });
  },
} satisfies OpTable;

interface Write {
  /** int64 [n, 1] */
  readonly rows: Value;
  /** [n, …element] */
  readonly values: Value;
  /** The greatest index as an int64 vector of one element. */
  readonly last: () => Value;
}

function write(op: Op, g: Graph, { rows, values, last }: Write): Value {
  const [name] = op.names("ls");
  const [output] = op.outputs;
  const isFixed = name !== undefined && op.scope.isFixedList(name);
  if (isFixed && output) op.scope.markFixedList(output.name);
  if (coversList(op.value("ls"), rows)) return g.cast(values, denseDType(op.value("ls")));
  const list = withElementShape(op, g, op.value("ls"), values);
  const long = isFixed ? list : grown(g, list, last());
  return g.node("ScatterND", [long, rows, g.cast(values, denseDType(list))]);
}

/** Whether indices are known to name every element of the list, in order. */
function coversList(list: Value, indices: Value): boolean {
  const known = constantNumbers(indices);
  return known?.length === list.shape?.[0] && (known?.every((index, at) => index === at) ?? false);
}

/** The list with room for the elements of `values`: sizes that stood at 1 for "unknown" become theirs. */
function withElementShape(op: Op, g: Graph, list: Value, values: Value): Value {
  const wanted = op.shape(values, "value").slice(1);
  const present = op.shape(list, "ls").slice(1);
  if (wanted.length !== present.length) {
    op.bad(`elements have ${present.length} axes, the value written has ${wanted.length}`);
  }
  const fits = present.every((size, axis) => size === wanted[axis]);
  if (fits) return list;
  const misfit = present.findIndex((size, axis) => {
    const other = wanted[axis];
    return typeof size === "number" && typeof other === "number" && size !== other && size !== 1;
  });
  if (misfit !== -1)
    op.bad(`elements have size ${present[misfit]} on axis ${misfit}, the value written ${wanted[misfit]}`);
  const sizes = wanted.map((_, axis) => ({ vector: sizeOfAxis(g, values, axis + 1).vector(), index: 0 }));
  return g.node("Expand", [list, joinVector(g, [1, ...sizes])]);
}

/** The list, continued with zeros where `last` lies behind its end. */
function grown(g: Graph, list: Value, last: Value): Value {
  const length = sizeOfAxis(g, list, 0);
  const [index] = knownElements(last) ?? [];
  if (typeof index === "number" && typeof length.dim === "number" && index < length.dim) return list;
  const missing = g.node("Sub", [g.node("Add", [last, g.vector([1])]), length.vector()]);
  const count = g.node("Max", [missing, g.vector([0])]);
  const sizes = Array.from({ length: (list.shape?.length ?? 1) - 1 }, (_, axis) => {
    const size = sizeOfAxis(g, list, axis + 1);
    return typeof size.dim === "number" ? size.dim : size.vector();
  });
  return g.node("Concat", [list, zeros(g, denseDType(list), [count, ...sizes])], { axis: 0 });
}

function zeros(g: Graph, dtype: ReturnType<typeof denseDType>, sizes: readonly (number | Value)[]): Value {
  const shape = joinVector(
    g,
    sizes.map((size) => (typeof size === "number" ? size : { vector: size, index: 0 })),
  );
  return g.node("ConstantOfShape", [shape], { value: tensorOf(dtype, [0]) });
}

/** A scalar argument as an int64 vector of one element. */
function oneElement(op: Op, g: Graph, name: string): Value {
  return g.cast(g.node("Reshape", [op.value(name), g.vector([1])]), "int64");
}

/** Indices in an element type ONNX takes. */
function wide(g: Graph, indices: Value): Value {
  return indices.dtype === "int64" ? indices : g.cast(indices, "int32");
}
