// Sizes that a kernel of ONNX Runtime takes on trust, proven before it runs: a wrong one would end the process, or have
// it read beyond its memory.

import type { Graph } from "../onnx/graph.ts";
import type { Value } from "../onnx/types.ts";
import type { Op } from "./op.ts";
import { shapeVector } from "./sizes.ts";

/** What an axis must be: exactly that long, not empty, or of any size. */
export type Wanted = number | "some" | "any";

/**
 * `x` itself where inference knows that its axes are as wanted; else behind a Reshape that fails the run when they are
 * not, and costs no copy. Of several axes given as numbers only the product is proven. Throws BAD_MODEL where a known
 * size contradicts. `what` names x in errors.
 */
export function prove(op: Op, g: Graph, x: Value, wanted: readonly Wanted[], what = "x"): Value {
  const shape = op.shape(x, what);
  if (shape.length !== wanted.length) {
    op.bad(`"${what}" must have rank ${wanted.length}, got ${shape.length}`);
  }
  wanted.forEach((size, axis) => {
    const known = shape[axis];
    if (typeof known !== "number" || size === "any" || (size === "some" ? known > 0 : known === size)) return;
    if (size === "some") op.bad(`"${what}" must not be empty, got [${shape.join(", ")}]`);
    op.bad(`"${what}" must have size ${size} on axis ${axis}, got [${shape.join(", ")}]`);
  });
  const isProven = (size: Wanted, axis: number) => size === "any" || typeof shape[axis] === "number";
  if (x.constant !== undefined || (x.isClaimed !== true && wanted.every(isProven))) return x;
  return g.refine(g.node("Reshape", [x, wantedShape(g, x, wanted)]), shape);
}

/** The shape x has if it is as wanted. In Reshape a 0 copies the size of the same axis. */
function wantedShape(g: Graph, x: Value, wanted: readonly Wanted[]): Value {
  const { shape } = x;
  if (shape?.every((size) => typeof size === "number" && size > 0)) return shapeVector(g, x);
  const given = g.vector(wanted.map((size) => (typeof size === "number" ? size : 0)));
  if (!wanted.includes("some")) return given;
  const least = g.vector(wanted.map((size) => (size === "some" ? 1 : 0)));
  const sizes = g.node("Max", [g.node("Shape", [x]), least]);
  if (wanted.every((size) => typeof size !== "number")) return sizes;
  const isGiven = g.vector(
    wanted.map((size) => Number(typeof size === "number")),
    "bool",
  );
  return g.node("Where", [isGiven, given, sizes]);
}
