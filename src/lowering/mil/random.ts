// MIL's random numbers. Semantics: coremltools, mil/ops/defs/iOS15/random.py. Only the distribution is defined: the
// same seed gives other numbers than on a Mac.

import type { Attributes, Value } from "../../onnx/types.ts";
import { type Graph, onnxType } from "../../onnx/graph.ts";
import { denseDType } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";

export const random = {
  random_normal(op, g) {
    const mean = op.float("mean", 0);
    const scale = Math.fround(op.float("stddev", 1));
    if (!(scale >= 0)) op.bad(`"stddev" must not be negative, got ${scale}`);
    // ONNX Runtime ends the process at a deviation that is not positive.
    if (scale === 0) return inDeclaredType(op, g, uniform(op, g, mean, mean));
    return inDeclaredType(op, g, generated(op, g, "RandomNormal", { mean, scale }));
  },

  random_uniform: (op, g) => inDeclaredType(op, g, uniform(op, g, op.float("low", 0), op.float("high", 1))),

  /** 1 with probability `prob`, else 0, as floats. */
  random_bernoulli(op, g) {
    const chances = uniform(op, g, 0, 1);
    return inDeclaredType(op, g, g.node("Less", [chances, g.scalar(op.float("prob", 0.5), "float32")]));
  },

  /** x [.., K] -> positions [.., size] drawn with replacement, as floats. */
  random_categorical(op, g) {
    const x = op.value("x");
    const shape = op.shape(x);
    const size = op.int("size", 1);
    const mode = op.oneOf("mode", ["logits", "probs"], "logits");
    if (shape.length === 0) op.bad('"x" must have an axis of categories');
    if (size < 1) op.bad(`"size" must be at least 1, got ${size}`);

    const given = g.cast(x, "float32");
    const logits = mode === "probs" ? g.node("Log", [given]) : given;
    const categories = shape.at(-1);
    const rows =
      shape.length === 2
        ? logits
        : shape.length === 1
          ? g.node("Unsqueeze", [logits, g.vector([0])])
          : g.node("Reshape", [
              logits,
              typeof categories === "number" ? g.vector([-1, categories]) : lastTwo(g, logits),
            ]);
    const drawn = g.node("Multinomial", [rows], {
      dtype: onnxType.int32,
      sample_size: size,
      ...seedOf(op),
    });
    if (shape.length === 2) return g.cast(drawn, denseDType(x));
    const leading = g.node("Slice", [g.node("Shape", [x]), g.vector([0]), g.vector([-1])]);
    const whole = g.node("Concat", [leading, g.vector([size])], { axis: 0 });
    return g.cast(g.node("Reshape", [drawn, whole]), denseDType(x));
  },
} satisfies OpTable;

/** [-1, K] where K is known only at run time. */
function lastTwo(g: Graph, logits: Value): Value {
  const shape = g.node("Shape", [logits]);
  const last = g.node("Slice", [shape, g.vector([-1]), g.vector([Number.MAX_SAFE_INTEGER])]);
  return g.node("Concat", [g.vector([-1]), last], { axis: 0 });
}

/** ONNX Runtime ends the process at bounds in the wrong order. */
function uniform(op: Op, g: Graph, low: number, high: number): Value {
  if (!(low <= high)) op.bad(`"low" must not be above "high", got ${low} and ${high}`);
  return generated(op, g, "RandomUniform", { low, high });
}

/** Numbers of the op's "shape", in single precision. */
function generated(
  op: Op,
  g: Graph,
  onnxOp: "RandomNormal" | "RandomUniform",
  parameters: Attributes,
): Value {
  const attributes = { dtype: onnxType.float32, ...parameters, ...seedOf(op) };
  const shape = op.numbers("shape");
  if (shape !== undefined) {
    if (shape.some((size) => size < 0)) op.bad(`"shape" is negative: ${shape.join(", ")}`);
    if (shape.length > 0) return g.node(onnxOp, [], { ...attributes, shape });
  }
  const like = g.node("ConstantOfShape", [g.cast(op.value("shape"), "int64")]);
  return g.node(`${onnxOp}Like`, [like], attributes);
}

/** A negative seed, MIL's default, asks for other numbers in every process; ONNX Runtime then takes the time. */
function seedOf(op: Op): { readonly seed?: number } {
  const seed = op.int("seed", -1);
  return seed < 0 ? {} : { seed };
}

function inDeclaredType(op: Op, g: Graph, value: Value): Value {
  return g.cast(value, op.outputDType() ?? "float32");
}
