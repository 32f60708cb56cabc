// MIL's convolutions. Semantics: coremltools, mil/ops/defs/iOS15/conv.py and iOS17/conv.py.

import { elementCount, f32 } from "../../core/tensor.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike } from "../arguments.ts";
import { numbersOfMil, type Op, type OpTable } from "../op.ts";
import { prove } from "../proof.ts";
import { padAtRunTime, readWindow, type Window, windowAttributes, withoutPadding } from "../window.ts";
import { convTranspose } from "./conv-transpose.ts";

export const conv = {
  conv: (op, g) => convolve(op, g, op.value("weight")),
  conv_quantized: (op, g) => convolve(op, g, dequantized(op, g)),
  conv_transpose: convTranspose,
} satisfies OpTable;

/** x [N, C_in, spatial…], weight [C_out, C_in / groups, kernel…]. */
function convolve(op: Op, g: Graph, weight: Value): Value {
  const given = op.value("x");
  const shape = op.shape(weight, "weight");
  const rank = given.shape?.length ?? shape.length;
  if (rank < 3 || rank > 5) op.bad(`"x" must have rank 3 to 5, got ${rank}`);
  if (shape.length !== rank) op.bad(`"weight" must have rank ${rank} as "x" has, got ${shape.length}`);
  const { x, window } = withOwnPadding(op, {
    x: given,
    window: readWindow(op, { x: given, kernel: shape.slice(2), defaultPadType: "valid" }),
  });
  const groups = op.int("groups", 1);
  checkChannels(op, x, weight, groups);

  const bias = op.optional("bias");
  // ONNX Runtime asks neither whether a constant weight fits x, nor whether the bias is as long as there are channels.
  const fitting = proveChannels(op, g, x, weight, groups);
  const proven = proveWeight(op, g, weight);
  const parameters = [castLike(g, proven, x), bias && castLike(g, proveBias(op, g, bias, proven), x)];
  const { kernel, dilations, padding } = window;
  if (padding.kind === "same" && dilations.some((dilation) => dilation !== 1)) {
    if (kernel === undefined) return op.unsupported("same padding of a dilated kernel of unknown size");
    const padded = padAtRunTime(g, fitting, { ...window, kernel });
    const attributes = windowAttributes(withoutPadding(window));
    return g.node("Conv", [padded, ...parameters], { ...attributes, group: groups });
  }
  return g.node("Conv", [fitting, ...parameters], { ...windowAttributes(window), group: groups });
}

interface Windowed {
  readonly x: Value;
  readonly window: Window;
}

/** What a pad op put around x, as padding of the convolution. */
function withOwnPadding(op: Op, { x, window }: Windowed): Windowed {
  const added = op.scope.zeroPadding(x);
  const { padding } = window;
  if (added === undefined || padding.kind === "same") return { x, window };
  if ([...added.before.slice(0, 2), ...added.after.slice(0, 2)].some((amount) => amount > 0)) {
    return { x, window };
  }
  const before = padding.before.map((amount, axis) => amount + (added.before[2 + axis] ?? 0));
  const after = padding.after.map((amount, axis) => amount + (added.after[2 + axis] ?? 0));
  return { x: added.x, window: { ...window, padding: { kind: "explicit", before, after } } };
}

function proveChannels(op: Op, g: Graph, x: Value, weight: Value, groups: number): Value {
  const perGroup = weight.shape?.[1];
  if (x.shape === undefined || typeof perGroup !== "number") return x;
  return prove(
    op,
    g,
    x,
    x.shape.map((_, axis) => (axis === 1 ? perGroup * groups : "any")),
  );
}

/** A weight without elements keeps a convolution busy for ever. */
function proveWeight(op: Op, g: Graph, weight: Value): Value {
  const wanted = op.shape(weight, "weight").map(() => "some" as const);
  return prove(op, g, weight, wanted, "weight");
}

/** One number for each output channel. */
function proveBias(op: Op, g: Graph, bias: Value, weight: Value): Value {
  const channels = weight.shape?.[0];
  if (typeof channels === "number") return prove(op, g, bias, [channels], "bias");
  return g.node("Reshape", [bias, g.node("Shape", [weight], { start: 0, end: 1 })]);
}

function checkChannels(op: Op, x: Value, weight: Value, groups: number): void {
  if (groups < 1) op.bad(`"groups" must be positive, got ${groups}`);
  const channels = x.shape?.[1];
  const [outputs, perGroup] = weight.shape ?? [];
  if (typeof channels === "number" && typeof perGroup === "number" && perGroup * groups !== channels) {
    op.bad(`"weight" is for ${perGroup * groups} input channels, "x" has ${channels}`);
  }
  if (typeof outputs === "number" && outputs % groups !== 0) {
    op.bad(`"groups" must divide the ${outputs} output channels, got ${groups}`);
  }
}

/** Weight of conv_quantized: quant_scale * weight + quant_bias, one pair for all or for each output channel. */
function dequantized(op: Op, g: Graph): Value {
  if (op.oneOf("quantization_type", ["linear", "lut"]) === "lut") {
    return op.unsupported("quantization_type lut");
  }
  const bits = op.int("nbits", 8);
  if (bits < 1 || bits > 8) op.bad(`"nbits" must lie between 1 and 8, got ${bits}`);
  const { shape, ...weight } = op.tensor("weight");
  const codes = numbersOfMil({ ...weight, shape });
  const channels = shape[0] ?? 1;
  const perChannel = elementCount(shape.slice(1));
  const scale = channelNumbers(op, "quant_scale", channels);
  const bias = channelNumbers(op, "quant_bias", channels);
  const values = codes.map((code, index) => {
    const channel = Math.floor(index / perChannel);
    return code * (scale[channel] ?? 0) + (bias[channel] ?? 0);
  });
  return g.constant(f32(values, shape));
}

function channelNumbers(op: Op, name: string, channels: number): readonly number[] {
  const numbers = op.floats(name);
  const [only] = numbers;
  if (numbers.length === 1 && only !== undefined) return Array<number>(channels).fill(only);
  if (numbers.length === channels) return numbers;
  return op.bad(`"${name}" must have 1 or ${channels} values, got ${numbers.length}`);
}
