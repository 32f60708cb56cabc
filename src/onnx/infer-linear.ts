// Rules for matrix products, einsum and recurrent layers.

import {
  broadcast,
  type Call,
  expectDType,
  floatTypes,
  forAll,
  freshShape,
  integer,
  mergeDims,
  mismatch,
  misuse,
  need,
  present,
  type RuleTable,
  sameDType,
  text,
} from "./infer-rule.ts";
import type { Dim, Shape } from "./types.ts";

export const linearRules: RuleTable = {
  MatMul: (call) => [{ dtype: sameDType(call, [0, 1]), shape: multiplied(call) }],
  MatMulInteger(call) {
    expectDType(call, 0, ["int8", "uint8"]);
    expectDType(call, 1, ["int8", "uint8"]);
    return [{ dtype: "int32", shape: multiplied(call) }];
  },
  Gemm(call) {
    const dtype = sameDType(call, [0, 1, 2]);
    const [m, inner] = matrix(call, 0, "transA");
    const [otherInner, n] = matrix(call, 1, "transB");
    mergeDims(call, inner, otherInner);
    return [{ dtype, shape: [m, n] }];
  },
  Einsum: (call) => [
    {
      dtype: sameDType(
        call,
        call.inputs.map((_, index) => index),
      ),
      shape: einsum(call),
    },
  ],
  ...forAll("LSTM GRU RNN", (call) => {
    expectDType(call, 0, floatTypes);
    const dtype = sameDType(call, [0, 1, 2, 3, 5]);
    expectDType(call, 4, ["int32"]);
    if (integer(call, "layout", 0) !== 0) throw misuse(call, "only layout 0 is run by ONNX Runtime");
    const directions = text(call, "direction", "forward") === "bidirectional" ? 2 : 1;
    const time = need(call, 0).shape?.[0] ?? call.unknownDim();
    const batch = need(call, 0).shape?.[1] ?? call.unknownDim();
    const hidden = integer(call, "hidden_size");
    const last = { dtype, shape: [directions, batch, hidden] };
    return [{ dtype, shape: [time, directions, batch, hidden] }, last, ...(call.op === "LSTM" ? [last] : [])];
  }),
};

function multiplied(call: Call): Shape {
  const a = need(call, 0).shape;
  const b = need(call, 1).shape;
  if (a === undefined || b === undefined) return undefined;
  if (a.length === 0 || b.length === 0) throw mismatch(call, "a scalar is no matrix");
  const left: readonly Dim[] = a.length === 1 ? [1, ...a] : a;
  const right: readonly Dim[] = b.length === 1 ? [...b, 1] : b;
  mergeDims(call, left.at(-1) ?? 1, right.at(-2) ?? 1);
  const batch = broadcast(call, [left.slice(0, -2), right.slice(0, -2)]) ?? [];
  return [
    ...batch,
    ...(a.length === 1 ? [] : left.slice(-2, -1)),
    ...(b.length === 1 ? [] : right.slice(-1)),
  ];
}

function matrix(call: Call, index: number, transpose: string): readonly [Dim, Dim] {
  const { shape } = need(call, index);
  const [rows, columns] = shape ?? freshShape(call, 2);
  if (rows === undefined || columns === undefined || (shape?.length ?? 2) !== 2) {
    throw mismatch(call, `input ${index} must have rank 2`);
  }
  return integer(call, transpose, 0) === 0 ? [rows, columns] : [columns, rows];
}

/** The shape of an Einsum's result. Letters name axes; "..." stands for axes that broadcast. */
function einsum(call: Call): Shape {
  const equation = text(call, "equation", "").replaceAll(" ", "");
  const [left = "", right] = equation.split("->");
  const terms = left.split(",");
  const shapes = present(call).map((input) => input.shape);
  if (terms.length !== shapes.length)
    throw misuse(call, `equation "${equation}" does not fit ${shapes.length} inputs`);
  const sizes = new Map<string, Dim>();
  const counts = new Map<string, number>();
  const broadcasting: Shape[] = [];
  terms.forEach((term, index) => {
    const shape = shapes[index];
    const letters = term.replace("...", "").split("");
    for (const letter of letters) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    const free = (shape?.length ?? 0) - letters.length;
    if (shape === undefined) {
      if (term.includes("...")) broadcasting.push(undefined);
      return;
    }
    if (free < 0 || (free > 0 && !term.includes("...")))
      throw mismatch(call, `"${term}" does not fit its rank`);
    const before = term.includes("...") ? term.indexOf("...") : letters.length;
    if (term.includes("...")) broadcasting.push(shape.slice(before, before + free));
    letters.forEach((letter, at) => {
      const dim = shape[at < before ? at : at + free] ?? 1;
      const known = sizes.get(letter);
      sizes.set(
        letter,
        known === undefined || known === 1 ? dim : dim === 1 ? known : mergeDims(call, known, dim),
      );
    });
  });
  const free = broadcast(call, broadcasting);
  const implicit = [...counts].filter(([, count]) => count === 1).map(([letter]) => letter);
  const result = right ?? `${left.includes("...") ? "..." : ""}${implicit.toSorted().join("")}`;
  if (free === undefined && result.includes("...")) return undefined;
  const at = result.indexOf("...");
  const dims = result
    .replace("...", "")
    .split("")
    .map((letter) => {
      if (!counts.has(letter))
        throw misuse(call, `equation "${equation}" names "${letter}" in its result only`);
      return sizes.get(letter) ?? call.unknownDim();
    });
  return at < 0 ? dims : dims.toSpliced(at, 0, ...(free ?? []));
}
