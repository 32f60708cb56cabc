// MIL's recurrent layers. Semantics: coremltools, mil/ops/defs/iOS15/recurrent.py and iOS18/recurrent.py.
//
// x [T, B, I], initial states [B, D*H], results [T or 1, B, D*H] and [B, D*H]; D is 2 for "bidirectional", else 1.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { prove } from "../proof.ts";
import { type ActivationName, activationNames, clippedLstm } from "./recurrent-clip.ts";

/** ONNX's name for an activation of a recurrent layer, with its parameters where it has any. */
interface Activation {
  readonly name: string;
  readonly alpha?: number;
  readonly beta?: number;
}

const activations: Readonly<Record<ActivationName, Activation>> = {
  sigmoid: { name: "Sigmoid" },
  tanh: { name: "Tanh" },
  relu: { name: "Relu" },
  linear: { name: "Affine", alpha: 1, beta: 0 },
  hard_sigmoid: { name: "HardSigmoid", alpha: 0.2, beta: 0.5 },
  sigmoid_hard: { name: "HardSigmoid", alpha: 0.2, beta: 0.5 },
  scaled_tanh: { name: "Tanh" }, // both of its factors are 1 here
};

/** Block i of a result is block `order[i]` of MIL's. MIL stacks LSTM gates as i, f, o, z and GRU gates as r, o, z. */
const lstmOrder = [0, 2, 1, 3]; // ONNX: i, o, f, c
const peepholeOrder = [0, 2, 1]; // MIL i, f, o; ONNX i, o, f
const gruOrder = [2, 0, 1]; // ONNX: z, r, h

export const recurrent = {
  rnn(op, g) {
    const x = sequence(op, g);
    const direction = op.oneOf("direction", ["forward", "reverse"], "forward");
    const bias = op.optional("bias");
    const [y, h] = results(
      op,
      g.nodeList(
        "RNN",
        [
          x,
          stacked(op, g, "weight_ih", [0]),
          stacked(op, g, "weight_hh", [0]),
          bias && biasPair(op, g, "bias", undefined, [0]),
          undefined,
          initialState(op, g, "initial_h", 1),
        ],
        {
          hidden_size: hiddenSize(op),
          direction,
          ...activationAttributes([activationNamed(op, "activation", "tanh")], 1),
        },
        { outputs: 2 },
      ),
    );
    return finish(op, g, direction, y, [h]);
  },

  gru(op, g) {
    const x = sequence(op, g);
    const direction = op.oneOf("direction", ["forward", "reverse"], "forward");
    const inputBias = op.has("input_bias") ? "input_bias" : undefined;
    const bias = op.has("bias") ? "bias" : undefined;
    const resetAfter = op.bool("reset_after", false);
    const [y, h] = results(
      op,
      g.nodeList(
        "GRU",
        [
          x,
          stacked(op, g, "weight_ih", gruOrder),
          stacked(op, g, "weight_hh", gruOrder),
          // With reset_after, "bias" is the recurrent one, which the reset gate scales; else only the sum counts.
          inputBias || bias
            ? resetAfter
              ? biasPair(op, g, inputBias, bias, gruOrder)
              : biasPair(op, g, bias, inputBias, gruOrder)
            : undefined,
          undefined,
          initialState(op, g, "initial_h", 1),
        ],
        {
          hidden_size: hiddenSize(op),
          direction,
          linear_before_reset: Number(resetAfter),
          ...activationAttributes(
            [
              activationNamed(op, "recurrent_activation", "sigmoid"),
              activationNamed(op, "activation", "tanh"),
            ],
            1,
          ),
        },
        { outputs: 2 },
      ),
    );
    return finish(op, g, direction, y, [h]);
  },

  lstm(op, g) {
    const direction = op.oneOf("direction", ["forward", "reverse", "bidirectional"], "forward");
    const names: readonly ActivationName[] = [
      activationNamed(op, "recurrent_activation", "sigmoid"),
      activationNamed(op, "cell_activation", "tanh"),
      activationNamed(op, "activation", "tanh"),
    ];
    if (op.has("clip"))
      return clippedLstm(op, g, { direction, activations: names, hiddenSize: hiddenSize(op) });
    const sides = direction === "bidirectional" ? ["", "_back"] : [""];
    const both = (make: (side: string) => Value) => joined(g, sides.map(make));
    const some = (name: string) => sides.some((side) => op.has(name + side));
    const [y, h, c] = results(
      op,
      g.nodeList(
        "LSTM",
        [
          sequence(op, g),
          both((side) => stacked(op, g, `weight_ih${side}`, lstmOrder)),
          both((side) => stacked(op, g, `weight_hh${side}`, lstmOrder)),
          some("bias") ? both((side) => lstmBias(op, g, `bias${side}`)) : undefined,
          undefined,
          initialState(op, g, "initial_h", sides.length),
          initialState(op, g, "initial_c", sides.length),
          some("peephole") ? both((side) => peephole(op, g, `peephole${side}`)) : undefined,
        ],
        { hidden_size: hiddenSize(op), direction, ...activationAttributes(names, sides.length) },
        { outputs: 3 },
      ),
    );
    return finish(op, g, direction, y, [h, c]);
  },
} satisfies OpTable;

/** x [T, B, I] as long as the weight wants it, and not empty: ONNX Runtime neither checks the one nor survives the other. */
function sequence(op: Op, g: Graph): Value {
  const columns = op.value("weight_ih").shape?.[1];
  return prove(op, g, op.value("x"), ["some", "some", typeof columns === "number" ? columns : "any"]);
}

/** The results in MIL's layout. `states`: the final values, [D, B, H]. */
function finish(
  op: Op,
  g: Graph,
  direction: "forward" | "reverse" | "bidirectional",
  y: Value,
  states: readonly (Value | undefined)[],
): readonly Value[] {
  const isBidirectional = direction === "bidirectional";
  const finals = states.flatMap((state) => {
    if (state === undefined) return [];
    if (!isBidirectional) return [g.node("Squeeze", [state, g.vector([0])])];
    const byBatch = g.node("Transpose", [state], { perm: [1, 0, 2] });
    return [g.node("Reshape", [byBatch, g.vector([0, 2 * hiddenSize(op)])])];
  });
  const [last] = finals;
  if (last === undefined) return op.bad("it has no state");
  if (!op.bool("output_sequence", false)) return [g.node("Unsqueeze", [last, g.vector([0])]), ...finals];
  if (isBidirectional) {
    const byBatch = g.node("Transpose", [y], { perm: [0, 2, 1, 3] });
    return [g.node("Reshape", [byBatch, g.vector([0, 0, 2 * hiddenSize(op)])]), ...finals];
  }
  const steps = g.node("Squeeze", [y, g.vector([1])]);
  return [direction === "reverse" ? backwards(g, steps) : steps, ...finals];
}

/** MIL lists the steps of a reversed layer in the order it takes them, ONNX by their place in x. */
function backwards(g: Graph, steps: Value): Value {
  const end = g.vector([Number.MIN_SAFE_INTEGER]);
  return g.node("Slice", [steps, g.vector([-1]), end, g.vector([0]), g.vector([-1])]);
}

/** A weight matrix [G*H, K] as [1, G*H, K], its G blocks put in another order. */
function stacked(op: Op, g: Graph, name: string, order: readonly number[]): Value {
  const weight = castLike(g, op.value(name), op.value("x"));
  const shape = op.staticShape(weight) ?? op.unsupported(`"${name}" of unknown shape`);
  const [rows = 0, columns = 0] = shape;
  if (shape.length !== 2 || rows !== order.length * hiddenSize(op)) {
    op.bad(`"${name}" must have shape [${order.length * hiddenSize(op)}, *], got [${shape.join(", ")}]`);
  }
  return inOrder(g, weight, order, [columns]);
}

/** [G*H, ...rest] -> [1, G*H, ...rest]. */
function inOrder(g: Graph, value: Value, order: readonly number[], rest: readonly number[]): Value {
  if (order.length === 1) return g.node("Unsqueeze", [value, g.vector([0])]);
  const blocks = g.node("Reshape", [value, g.vector([order.length, -1, ...rest])]);
  return g.node("Reshape", [g.node("Gather", [blocks, g.vector(order)]), g.vector([1, -1, ...rest])]);
}

/** Input and recurrent bias side by side, [1, 2*G*H]; an absent one is zero. */
function biasPair(
  op: Op,
  g: Graph,
  inputBias: string | undefined,
  recurrentBias: string | undefined,
  order: readonly number[],
): Value {
  const half = (name: string | undefined) =>
    name === undefined
      ? zeroRow(op, g, order.length)
      : inOrder(g, castLike(g, op.value(name), op.value("x")), order, []);
  return g.node("Concat", [half(inputBias), half(recurrentBias)], { axis: 1 });
}

function lstmBias(op: Op, g: Graph, name: string): Value {
  return biasPair(op, g, op.has(name) ? name : undefined, undefined, lstmOrder);
}

function peephole(op: Op, g: Graph, name: string): Value {
  if (!op.has(name)) return zeroRow(op, g, peepholeOrder.length);
  return inOrder(g, castLike(g, op.value(name), op.value("x")), peepholeOrder, []);
}

function zeroRow(op: Op, g: Graph, blocks: number): Value {
  const row = g.vector(Array<number>(blocks * hiddenSize(op)).fill(0), "float32");
  return castLike(g, g.node("Unsqueeze", [row, g.vector([0])]), op.value("x"));
}

/** [B, D*H] -> [D, B, H]. */
function initialState(op: Op, g: Graph, name: string, directions: number): Value {
  const state = castLike(g, op.value(name), op.value("x"));
  if (directions === 1) return g.node("Unsqueeze", [state, g.vector([0])]);
  const split = g.node("Reshape", [state, g.vector([0, directions, hiddenSize(op)])]);
  return g.node("Transpose", [split], { perm: [1, 0, 2] });
}

function joined(g: Graph, values: readonly Value[]): Value {
  const [first] = values;
  return values.length === 1 && first !== undefined ? first : g.node("Concat", values, { axis: 0 });
}

function hiddenSize(op: Op): number {
  const size = op.value("weight_hh").shape?.[1];
  return typeof size === "number" ? size : op.unsupported('"weight_hh" of unknown shape');
}

function activationNamed(op: Op, name: string, fallback: ActivationName): ActivationName {
  return op.oneOf(name, activationNames, fallback);
}

/** ONNX lists alphas and betas only of the activations that have them. */
function activationAttributes(names: readonly ActivationName[], directions: number) {
  const all = Array.from({ length: directions }, () => names)
    .flat()
    .map((name) => activations[name]);
  const alphas = all.flatMap(({ alpha }) => alpha ?? []);
  const betas = all.flatMap(({ beta }) => beta ?? []);
  return {
    activations: all.map(({ name }) => name),
    activation_alpha: alphas.length > 0 ? alphas : undefined,
    activation_beta: betas.length > 0 ? betas : undefined,
  };
}

function results(op: Op, values: readonly Value[]): readonly [Value, Value, Value | undefined] {
  const [y, h, c] = values;
  return y && h ? [y, h, c] : op.bad("it has no result");
}
