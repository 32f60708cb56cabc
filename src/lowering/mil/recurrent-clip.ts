// lstm with a clipped cell, step by step: ONNX's own clip bounds what enters the gates, MIL's bounds the cell state.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike, scalarLike } from "../arguments.ts";
import type { Op } from "../op.ts";

export const activationNames = [
  "sigmoid",
  "tanh",
  "relu",
  "linear",
  "hard_sigmoid",
  "sigmoid_hard",
  "scaled_tanh",
] as const;
export type ActivationName = (typeof activationNames)[number];

interface ClippedLstm {
  readonly direction: "forward" | "reverse" | "bidirectional";
  /** Of the gates, the cell candidate, and the result. */
  readonly activations: readonly ActivationName[];
  readonly hiddenSize: number;
}

interface Side {
  /** Ending of the names of this direction's weights. */
  readonly suffix: "" | "_back";
  readonly isReversed: boolean;
  /** [B, H] */
  readonly h: Value;
  readonly c: Value;
}

/** Results in MIL's layout: y, h, c. */
export function clippedLstm(op: Op, g: Graph, layer: ClippedLstm): readonly Value[] {
  const x = op.value("x");
  const initial = ["initial_h", "initial_c"].map((name) => castLike(g, op.value(name), x));
  const [h, c] = initial;
  if (h === undefined || c === undefined) return op.bad("it has no state");
  const isBidirectional = layer.direction === "bidirectional";
  const sides = isBidirectional
    ? halves(g, h).map((half, index): Side => {
        const cell = halves(g, c)[index] ?? c;
        return { suffix: index === 0 ? "" : "_back", isReversed: index === 1, h: half, c: cell };
      })
    : [{ suffix: "", isReversed: layer.direction === "reverse", h, c } satisfies Side];

  const done = sides.map((side) => scanSide(op, g, layer, side));
  const [first] = done;
  if (first === undefined) return op.bad("it has no direction");
  const join = (pick: keyof typeof first, axis: number) =>
    isBidirectional
      ? g.node(
          "Concat",
          done.map((side) => side[pick]),
          { axis },
        )
      : first[pick];
  const last = join("h", 1);
  const y = op.bool("output_sequence", false) ? join("y", 2) : g.node("Unsqueeze", [last, g.vector([0])]);
  return [y, last, join("c", 1)];
}

function halves(g: Graph, state: Value): readonly Value[] {
  return g.nodeList("Split", [state], { axis: 1, num_outputs: 2 }, { outputs: 2 });
}

function scanSide(op: Op, g: Graph, layer: ClippedLstm, side: Side): { y: Value; h: Value; c: Value } {
  const x = op.value("x");
  const parameter = (name: string) => castLike(g, op.value(name + side.suffix), x);
  const transposed = (name: string) => g.node("Transpose", [parameter(name)], { perm: [1, 0] });
  const product = g.node("MatMul", [x, transposed("weight_ih")]);
  const projected = op.has(`bias${side.suffix}`) ? g.node("Add", [product, parameter("bias")]) : product;

  const weight = transposed("weight_hh");
  const peepholes = op.has(`peephole${side.suffix}`)
    ? g.nodeList("Split", [parameter("peephole")], { axis: 0, num_outputs: 3 }, { outputs: 3 })
    : [];
  const body = stepGraph(g, { op, layer, side, projected, weight, peepholes });

  const state = { dtype: x.dtype, shape: side.h.shape };
  const steps = x.shape && side.h.shape ? [x.shape[0] ?? g.unknownDim(), ...side.h.shape] : undefined;
  const [h, c, y] = g.nodeList(
    "Scan",
    [side.h, side.c, projected],
    {
      body,
      num_scan_inputs: 1,
      scan_input_directions: [Number(side.isReversed)],
      // Alone, a reversed layer lists its steps as it takes them; beside a forward one, by their place in x.
      scan_output_directions: [Number(side.isReversed && layer.direction === "bidirectional")],
    },
    { outputs: 3, types: [state, state, { dtype: x.dtype, shape: steps }] },
  );
  return h && c && y ? { h, c, y } : op.bad("it has no result");
}

/** One step: (h, c, x W^T + b) -> (h, c, h). */
function stepGraph(
  g: Graph,
  step: {
    readonly op: Op;
    readonly layer: ClippedLstm;
    readonly side: Side;
    readonly projected: Value;
    readonly weight: Value;
    readonly peepholes: readonly Value[];
  },
): Graph {
  const { op, layer, side, peepholes } = step;
  const body = g.subgraph();
  const { dtype } = side.h;
  const h = body.input(`${body.scope}/h`, dtype, side.h.shape);
  const c = body.input(`${body.scope}/c`, dtype, side.c.shape);
  const entering = body.input(`${body.scope}/x`, dtype, step.projected.shape?.slice(1));
  const gates = body.nodeList(
    "Split",
    [body.node("Add", [entering, body.node("MatMul", [h, step.weight])])],
    { axis: -1, num_outputs: 4 },
    { outputs: 4 },
  );
  const [gateAct = "sigmoid", cellAct = "tanh", outAct = "tanh"] = layer.activations;
  const gate = (index: number, cell: Value): Value => {
    const sum = gates[index] ?? op.bad("it has too few gates");
    const peephole = peepholes[index];
    const seen = peephole ? body.node("Add", [sum, body.node("Mul", [peephole, cell])]) : sum;
    return activate(body, seen, gateAct);
  };
  const candidate = activate(body, gates[3] ?? op.bad("it has too few gates"), cellAct);
  const kept = body.node("Mul", [gate(1, c), c]);
  const sum = body.node("Add", [kept, body.node("Mul", [gate(0, c), candidate])]);
  const clip = op.float("clip");
  const cell = body.node("Clip", [sum, scalarLike(body, sum, -clip), scalarLike(body, sum, clip)]);
  const next = body.node("Mul", [gate(2, cell), activate(body, cell, outAct)]);
  body.output(`${body.scope}/next_h`, next);
  body.output(`${body.scope}/next_c`, cell);
  body.output(`${body.scope}/y`, next);
  return body;
}

function activate(g: Graph, x: Value, name: ActivationName): Value {
  switch (name) {
    case "sigmoid":
      return g.node("Sigmoid", [x]);
    case "relu":
      return g.node("Relu", [x]);
    case "tanh":
    case "scaled_tanh":
      return g.node("Tanh", [x]);
    case "hard_sigmoid":
    case "sigmoid_hard":
      return g.node("HardSigmoid", [x], { alpha: 0.2, beta: 0.5 });
    case "linear":
      return x;
  }
}
