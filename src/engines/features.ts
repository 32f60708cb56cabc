// Between feature values, as callers have them, and the tensors of a graph: pictures, scalars, element types.

import { allowsShape, checkShape } from "../codecs/shape.ts";
import { checkTensorBytes } from "../codecs/tensor-bytes.ts";
import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import {
  type ColorSpace,
  type FeatureDescription,
  type FeatureType,
  type ImageType,
  isColor,
  pictureDType,
} from "../core/model.ts";
import {
  elementCount,
  elementsOf,
  type FeatureValue,
  isSameShape,
  isTensor,
  type NumericArray,
  numbersOf,
  type Tensor,
  tensorOf,
  zeros,
} from "../core/tensor.ts";

/** What the graph wants at an input, and gives at an output. */
export interface GraphPort {
  readonly dtype: DType;
  /** Known axes are numbers. `undefined`: not even the rank is known. */
  readonly shape: readonly (number | string)[] | undefined;
  /** It takes a picture as it is; default: as planes. */
  readonly isWhole?: boolean | undefined;
}

/** Where the tensors that a graph reads shall lie. */
export interface InputMemory {
  readonly allocate: (dtype: DType, shape: readonly number[]) => Tensor;
  /** Whether a caller's bytes can stay where they are. */
  readonly mayKeep: (bytes: Tensor["bytes"]) => boolean;
}

const anyMemory: InputMemory = { allocate: zeros, mayKeep: () => true };

/**
 * A caller's value as the graph's tensor: the caller's own where it is that already and may be kept, else in memory from
 * `allocate`. Default: kept, or new. Throws BAD_INPUT naming the input where value and description disagree.
 */
export function encodeFeature(
  description: FeatureDescription,
  value: FeatureValue,
  port: GraphPort,
  memory: InputMemory = anyMemory,
): Tensor {
  const { name, type } = description;
  switch (type.kind) {
    case "multiArray": {
      const tensor = requireTensor(name, value);
      checkShape(tensor.shape, type, `input "${name}"`);
      return place(tensor, port.dtype, memory);
    }
    case "image": {
      const tensor = requireTensor(name, value);
      checkPicture(name, tensor, type);
      if (port.isWhole) return place(tensor, tensor.dtype, memory);
      return pictureToPlanes(tensor, type.colorSpace, port.dtype, memory);
    }
    case "double":
    case "int64": {
      if (typeof value !== "number" && typeof value !== "bigint") return refuse(name, "a number");
      return place(tensorOf(port.dtype, [value], port.shape?.length === 0 ? [] : [1]), port.dtype, memory);
    }
    default:
      throw new CoremlxError("UNSUPPORTED", `Cannot pass "${name}": a graph takes no ${type.kind} input`);
  }
}

/** A missing optional input: the default shape filled with the declared default value. */
export function defaultFeature(description: FeatureDescription, port: GraphPort): Tensor | undefined {
  const { type } = description;
  if (type.kind !== "multiArray") return undefined;
  const fill = type.defaultValue ?? 0;
  const tensor = zeros(port.dtype, type.shape);
  if (fill === 0) return tensor;
  return tensorOf(
    port.dtype,
    Array.from({ length: elementCount(type.shape) }, () => fill),
    type.shape,
  );
}

/** The graph's tensor as the feature value its description promises. */
export function decodeFeature(name: string, type: FeatureType, tensor: Tensor): FeatureValue {
  switch (type.kind) {
    case "multiArray":
      return convertElements(tensor, type.dtype);
    case "image":
      return planesToPicture(name, tensor, type.colorSpace);
    case "double":
      return numbersOf(tensor)[0] ?? refuseOutput(name, "no element");
    case "int64":
      return BigInt(Math.trunc(numbersOf(tensor)[0] ?? refuseOutput(name, "no element")));
    default:
      return refuseOutput(name, `an array where a ${type.kind} is declared`);
  }
}

/** Whether a value is what a feature of that type holds. */
export function isOfKind(value: FeatureValue, type: FeatureType): boolean {
  switch (type.kind) {
    case "multiArray":
    case "image":
      return isTensor(value);
    case "int64":
      return typeof value === "bigint";
    case "double":
      return typeof value === "number";
    case "string":
      return typeof value === "string";
    case "dictionary":
      return value instanceof Map;
    case "sequence":
      return Array.isArray(value);
    case "state":
      return false;
  }
}

/** The same numbers in another element type; itself where it has that type already. */
export function convertElements(tensor: Tensor, dtype: DType): Tensor {
  if (tensor.dtype === dtype) return tensor;
  if (tensor.dtype === "int64" || tensor.dtype === "uint64") {
    return tensorOf(dtype, elementsOf(tensor), tensor.shape);
  }
  return tensorOf(dtype, numbersOf(tensor), tensor.shape);
}

/** The tensor as the graph takes it; itself where it is that already and may stay where it lies. */
function place(tensor: Tensor, dtype: DType, { allocate, mayKeep }: InputMemory): Tensor {
  if (tensor.dtype === dtype && mayKeep(tensor.bytes)) return tensor;
  const target = allocate(dtype, tensor.shape);
  if (tensor.dtype === dtype) target.bytes.set(tensor.bytes);
  else if (isPlain(tensor.dtype) && isPlain(dtype)) copyElements(elementsOf(tensor), elementsOf(target));
  else target.bytes.set(convertElements(tensor, dtype).bytes);
  return target;
}

/** Types whose elements typed arrays convert among each other without a word. */
function isPlain(dtype: DType): boolean {
  return dtype !== "bool" && dtype !== "bfloat16" && dtype !== "int64" && dtype !== "uint64";
}

function copyElements(source: NumericArray, target: NumericArray): void {
  for (let i = 0; i < target.length; i++) target[i] = source[i] ?? 0;
}

/** uint8 [H, W, 3], uint8 [H, W] or float16 [H, W] -> [1, C, H, W], values untouched, channels in the model's order. */
function pictureToPlanes(
  picture: Tensor,
  colorSpace: ColorSpace,
  dtype: DType,
  { allocate }: InputMemory,
): Tensor {
  const [height = 0, width = 0, channels = 1] = picture.shape;
  const planes = allocate(dtype, [1, channels, height, width]);
  const target = elementsOf(planes);
  if (channels === 1) {
    copyElements(elementsOf(picture), target);
    return planes;
  }
  const source = elementsOf(picture);
  const area = height * width;
  for (let channel = 0; channel < channels; channel++) {
    const from = colorSpace === "BGR" ? channels - 1 - channel : channel;
    for (let pixel = 0, at = from; pixel < area; pixel++, at += channels) {
      target[channel * area + pixel] = source[at] ?? 0;
    }
  }
  return planes;
}

/** [.., C, H, W] with values 0…255 -> uint8 [H, W, 3] in RGB order or [H, W]; saturating, to nearest. */
function planesToPicture(name: string, planes: Tensor, colorSpace: ColorSpace): Tensor {
  const channels = isColor({ colorSpace }) ? 3 : 1;
  const [height, width] = planes.shape.slice(-2);
  if (
    height === undefined ||
    width === undefined ||
    elementCount(planes.shape) !== channels * height * width
  ) {
    return refuseOutput(name, `shape [${planes.shape.join(", ")}] where ${channels} planes are declared`);
  }
  if (colorSpace === "GRAYSCALE_FLOAT16") {
    return { ...convertElements(planes, "float16"), shape: [height, width] };
  }
  const values = numbersOf(planes);
  const picture = zeros("uint8", channels === 3 ? [height, width, 3] : [height, width]);
  const area = height * width;
  const pixels = new Uint8ClampedArray(picture.bytes.buffer);
  for (let channel = 0; channel < channels; channel++) {
    const to = colorSpace === "BGR" ? channels - 1 - channel : channel;
    for (let pixel = 0; pixel < area; pixel++) {
      pixels[pixel * channels + to] = values[channel * area + pixel] ?? 0;
    }
  }
  return picture;
}

function checkPicture(name: string, tensor: Tensor, type: ImageType): void {
  const wantsColor = isColor(type);
  const dtype = pictureDType(type);
  const [height = 0, width = 0, channels] = tensor.shape;
  if (
    tensor.dtype !== dtype ||
    tensor.shape.length !== (wantsColor ? 3 : 2) ||
    (wantsColor && channels !== 3)
  ) {
    const wanted = wantsColor ? "uint8 [H, W, 3]" : `${dtype} [H, W]`;
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot pass "${name}": a ${type.colorSpace} picture is ${wanted}, got ${tensor.dtype} [${tensor.shape.join(", ")}]`,
    );
  }
  if (!allowsShape([height, width], type)) {
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot pass "${name}": the model takes pictures of ${type.width}x${type.height}, got ${width}x${height}`,
      { details: { name, expected: [type.height, type.width], actual: [height, width] } },
    );
  }
}

/** The value as a state takes it. Throws BAD_INPUT for another type or shape. */
export function toStateValue(
  name: string,
  value: FeatureValue,
  { dtype, shape }: Pick<Tensor, "dtype" | "shape">,
): Tensor {
  if (!isTensor(value) || value.dtype !== dtype || !isSameShape(value.shape, shape))
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot set state "${name}": it takes ${dtype} [${shape.join(", ")}]`,
    );
  checkTensorBytes(value, `state "${name}"`);
  return value;
}

function requireTensor(name: string, value: FeatureValue): Tensor {
  if (!isTensor(value)) return refuse(name, "an array");
  // Looked at again at the run: while the call waited, the caller may have transferred the memory away.
  checkTensorBytes(value, `input "${name}"`);
  return value;
}

function refuse(name: string, wanted: string): never {
  throw new CoremlxError("BAD_INPUT", `Cannot pass "${name}": the model takes ${wanted} there`);
}

function refuseOutput(name: string, why: string): never {
  throw new CoremlxError("BAD_MODEL", `Cannot give out "${name}": the model computed ${why}`);
}
