// Element types, under their numpy names. Dense types fill whole bytes; packed ones exist only inside weights.

export const dtypes = [
  "bool",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "float16",
  "bfloat16",
  "float32",
  "float64",
] as const;

export type DType = (typeof dtypes)[number];

/** Sub-byte integers: element i occupies bits [i*n, i*n+n) of a stream whose bit 0 is the lowest bit of byte 0. */
export type PackedDType = "int4" | "uint1" | "uint2" | "uint3" | "uint4" | "uint6";

/** Everything a stored weight may be. The float8 types are read and described, but no op of any opset takes them yet. */
export type ElementType = DType | PackedDType | "float8e4m3fn" | "float8e5m2";

export const bitSize: Readonly<Record<ElementType, number>> = {
  bool: 8,
  int8: 8,
  int16: 16,
  int32: 32,
  int64: 64,
  uint8: 8,
  uint16: 16,
  uint32: 32,
  uint64: 64,
  float16: 16,
  bfloat16: 16,
  float32: 32,
  float64: 64,
  int4: 4,
  uint1: 1,
  uint2: 2,
  uint3: 3,
  uint4: 4,
  uint6: 6,
  float8e4m3fn: 8,
  float8e5m2: 8,
};

export function isPacked(type: ElementType): type is PackedDType {
  return bitSize[type] < 8;
}

export function isFloat(type: ElementType): boolean {
  return type.includes("float");
}

/** Bytes of one element of a dense type. */
export function byteSize(dtype: DType): number {
  return bitSize[dtype] / 8;
}

/** Bytes that `count` elements occupy, packed types rounded up to a whole byte. */
export function byteLengthOf(type: ElementType, count: number): number {
  return Math.ceil((bitSize[type] * count) / 8);
}
