// Which shapes a declared type accepts, and what to say about the others.

import { CoremlxError } from "../core/errors.ts";
import type { ImageType, MultiArrayType, SizeRange } from "../core/model.ts";
import { elementCount } from "../core/tensor.ts";
import { formatShape } from "./allocate.ts";

/** A multi array's shape, or an image's [height, width]. */
export type ShapedType = MultiArrayType | ImageType;

/** The shape a type has when nothing else is said: an image's is [height, width]. */
export function defaultShape(type: ShapedType): readonly number[] {
  return type.kind === "image" ? [type.height, type.width] : type.shape;
}

export function allowsShape(shape: readonly number[], type: ShapedType): boolean {
  const { constraint } = type;
  if (constraint.kind === "fixed") return isSame(shape, defaultShape(type));
  if (constraint.kind === "enumerated") return constraint.shapes.some((allowed) => isSame(shape, allowed));
  return (
    shape.length === constraint.axes.length &&
    constraint.axes.every((range, i) => isWithin(shape[i] ?? -1, range))
  );
}

/**
 * Throws BAD_INPUT unless `type` accepts exactly this shape. `subject` names the value in the message: `input "x"`.
 * Details: `expected` (see describeShapes) and `actual`.
 */
export function checkShape(shape: readonly number[], type: ShapedType, subject = "the array"): void {
  if (allowsShape(shape, type)) return;
  const expected = describeShapes(type);
  const isCountRight =
    type.constraint.kind === "fixed" && elementCount(shape) === elementCount(defaultShape(type));
  throw new CoremlxError("BAD_INPUT", `Cannot use ${subject}: ${reasonAgainst(shape, type, expected)}`, {
    ...(isCountRight && {
      hint: `The number of elements is right: reshape it to ${formatShape(defaultShape(type))}`,
    }),
    details: { expected, actual: shape },
  });
}

/**
 * The shape under which `type` accepts an array: its own, with one leading axis of 1 more, or, for a scalar of shape [1],
 * without it. undefined: none. Nothing else is ever reshaped.
 */
export function fitShape(shape: readonly number[], type: MultiArrayType): readonly number[] | undefined {
  if (allowsShape(shape, type)) return shape;
  const withLeading = [1, ...shape];
  if (allowsShape(withLeading, type)) return withLeading;
  if (isSame(shape, [1]) && allowsShape([], type)) return [];
  return undefined;
}

/** "[1, 3, 224, 224]", "one of [1, 8], [1, 16]", "[1, 1..128, 8..]" */
export function describeShapes(type: ShapedType): string {
  const { constraint } = type;
  if (constraint.kind === "range") return `[${constraint.axes.map(describeRange).join(", ")}]`;
  if (constraint.kind === "fixed") return formatShape(defaultShape(type));
  const shown = constraint.shapes.slice(0, 8).map(formatShape).join(", ");
  return `one of ${shown}${constraint.shapes.length > 8 ? `, and ${constraint.shapes.length - 8} more` : ""}`;
}

function reasonAgainst(shape: readonly number[], type: ShapedType, expected: string): string {
  const axes = axesOf(type);
  const what = type.kind === "image" ? "size [height, width]" : "shape";
  if (axes !== undefined && axes.length === shape.length) {
    const wrong = axes.findIndex((range, i) => !isWithin(shape[i] ?? -1, range));
    return `${what} must be ${expected}, got ${formatShape(shape)}: axis ${wrong} must be ${describeRange(axes[wrong])}`;
  }
  if (axes !== undefined)
    return `${what} must be ${expected} (${axes.length} axes), got ${formatShape(shape)} (${shape.length} axes)`;
  return `${what} must be ${expected}, got ${formatShape(shape)}`;
}

/** The axes as ranges; undefined where shapes are enumerated. */
function axesOf(type: ShapedType): readonly SizeRange[] | undefined {
  if (type.constraint.kind === "range") return type.constraint.axes;
  if (type.constraint.kind === "fixed")
    return defaultShape(type).map((size) => ({ lower: size, upper: size }));
  return undefined;
}

function describeRange(range: SizeRange | undefined): string {
  if (range === undefined) return "absent";
  if (range.lower === range.upper) return String(range.lower);
  return `${range.lower}..${range.upper ?? ""}`;
}

function isWithin(size: number, range: SizeRange): boolean {
  return size >= range.lower && (range.upper === undefined || size <= range.upper);
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
