// Number literals of MIL text, turned into the bits of their declared type: rounded once, to nearest even.

import type { ElementType } from "../core/dtype.ts";

export type FloatType = Extract<
  ElementType,
  "float16" | "bfloat16" | "float32" | "float64" | "float8e4m3fn" | "float8e5m2"
>;

/** Inclusive bounds of the integer types, the packed ones among them. */
export const integerRange = {
  int4: [-8n, 7n],
  int8: [-128n, 127n],
  int16: [-32_768n, 32_767n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint1: [0n, 1n],
  uint2: [0n, 3n],
  uint3: [0n, 7n],
  uint4: [0n, 15n],
  uint6: [0n, 63n],
  uint8: [0n, 255n],
  uint16: [0n, 65_535n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const satisfies Partial<Record<ElementType, readonly [bigint, bigint]>>;

export type IntegerType = keyof typeof integerRange;

export function isIntegerType(type: ElementType | "string"): type is IntegerType {
  return type in integerRange;
}

export function isFloatType(type: ElementType | "string"): type is FloatType {
  return type in floatFormats;
}

/** An integer written in decimal, or `undefined` when `text` is none. */
export function parseInteger(text: string): bigint | undefined {
  const start = text[0] === "-" || text[0] === "+" ? 1 : 0;
  if (start === text.length) return undefined;
  for (let i = start; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return undefined;
  return start === 1 && text[0] === "+" ? BigInt(text.slice(1)) : BigInt(text);
}

/**
 * A float in C's hexadecimal or decimal form, `inf` or `nan`, rounded to `type`; `undefined` when `text` is none.
 * A value too large becomes infinity, or NaN in float8e4m3fn, which has no infinity.
 */
export function parseFloatAs(text: string, type: FloatType): number | undefined {
  const format = floatFormats[type];
  const isNegative = text[0] === "-";
  const body = isNegative || text[0] === "+" ? text.slice(1) : text;
  const magnitude = parseMagnitude(body, format);
  if (magnitude === undefined) return undefined;
  const rounded = magnitude > format.largest ? format.overflow : magnitude;
  return isNegative ? -rounded : rounded;
}

/** The bits of a value that is already exact in `type`, for the types that DataView does not write. */
export function floatBits(value: number, type: "bfloat16" | "float8e4m3fn" | "float8e5m2"): number {
  const { precision, smallestExponent, bits } = floatFormats[type];
  const mantissaBits = precision - 1;
  const exponentBits = bits - precision;
  const sign = value < 0 || Object.is(value, -0) ? 2 ** (bits - 1) : 0;
  if (Number.isNaN(value)) return 2 ** (bits - 1) - (type === "bfloat16" ? 64 : 1);
  const magnitude = Math.abs(value);
  if (magnitude === Infinity) return sign + (2 ** exponentBits - 1) * 2 ** mantissaBits;
  const smallestNormal = 2 ** (smallestExponent + mantissaBits);
  if (magnitude < smallestNormal) return sign + magnitude / 2 ** smallestExponent;
  const exponent = exponentOf(magnitude);
  const biased = exponent - (smallestExponent + mantissaBits) + 1;
  return sign + biased * 2 ** mantissaBits + (magnitude / 2 ** exponent - 1) * 2 ** mantissaBits;
}

interface FloatFormat {
  readonly bits: number;
  /** Significant bits, the implicit one included. */
  readonly precision: number;
  /** Exponent of the smallest subnormal. */
  readonly smallestExponent: number;
  readonly largest: number;
  readonly overflow: number;
}

const floatFormats: Readonly<Record<FloatType, FloatFormat>> = {
  float16: { bits: 16, precision: 11, smallestExponent: -24, largest: 65_504, overflow: Infinity },
  bfloat16: {
    bits: 16,
    precision: 8,
    smallestExponent: -133,
    largest: (2 - 2 ** -7) * 2 ** 127,
    overflow: Infinity,
  },
  float32: {
    bits: 32,
    precision: 24,
    smallestExponent: -149,
    largest: (2 - 2 ** -23) * 2 ** 127,
    overflow: Infinity,
  },
  float64: {
    bits: 64,
    precision: 53,
    smallestExponent: -1074,
    largest: Number.MAX_VALUE,
    overflow: Infinity,
  },
  float8e4m3fn: { bits: 8, precision: 4, smallestExponent: -9, largest: 448, overflow: NaN },
  float8e5m2: { bits: 8, precision: 3, smallestExponent: -16, largest: 57_344, overflow: Infinity },
};

function parseMagnitude(body: string, format: FloatFormat): number | undefined {
  const first = body.charCodeAt(0);
  if (first === ZERO && (body.charCodeAt(1) | 0x20) === LOWER_X) return parseHexadecimal(body, format);
  if (isDigit(first) || first === DOT) return parseDecimal(body, format);
  const word = body.toLowerCase();
  if (word === "inf" || word === "infinity") return Infinity;
  return word === "nan" ? NaN : undefined;
}

/** "0x1.8p+1": digits with at most one point, then a power of two that may be left out. */
function parseHexadecimal(body: string, format: FloatFormat): number | undefined {
  let mantissa = 0;
  let significantDigits = 0;
  let digits = 0;
  let fractionDigits = 0;
  let hasPoint = false;
  let at = 2;
  for (; at < body.length; at++) {
    const code = body.charCodeAt(at);
    if (code === DOT) {
      if (hasPoint) return undefined;
      hasPoint = true;
      continue;
    }
    const digit = hexDigit(code);
    if (digit === undefined) break;
    digits++;
    if (hasPoint) fractionDigits++;
    if (significantDigits > 0 || digit > 0) significantDigits++;
    if (significantDigits <= EXACT_HEX_DIGITS) mantissa = mantissa * 16 + digit;
  }
  if (digits === 0) return undefined;
  const digitsEnd = at;
  let exponent = 0;
  if (at < body.length) {
    if ((body.charCodeAt(at) | 0x20) !== LOWER_P) return undefined;
    const parsed = parseExponent(body, at + 1);
    if (parsed === undefined) return undefined;
    exponent = parsed;
  }
  exponent -= 4 * fractionDigits;
  if (mantissa === 0) return 0;
  if (significantDigits <= EXACT_HEX_DIGITS) return roundBinary(mantissa, exponent, format);
  const all = BigInt(`0x${body.slice(2, digitsEnd).replace(".", "")}`);
  return roundLongBinary(all, exponent, format);
}

/** Digits after `at` with an optional sign, clamped far beyond every format's range; `undefined` when none. */
function parseExponent(body: string, at: number): number | undefined {
  const sign = body[at];
  const start = sign === "+" || sign === "-" ? at + 1 : at;
  if (start >= body.length) return undefined;
  let value = 0;
  for (let i = start; i < body.length; i++) {
    const code = body.charCodeAt(i);
    if (!isDigit(code)) return undefined;
    value = Math.min(value * 10 + (code - ZERO), EXPONENT_CLAMP);
  }
  return sign === "-" ? -value : value;
}

/** mantissa * 2^exponent with an exact mantissa below 2^53. */
function roundBinary(mantissa: number, exponent: number, format: FloatFormat): number {
  const top = exponentOf(mantissa) + exponent;
  if (top > MAX_EXPONENT) return Infinity;
  const drop = Math.max(top - format.precision + 1, format.smallestExponent) - exponent;
  if (drop <= 0) return scale(mantissa, exponent);
  if (drop > 60) return 0; // less than half of the smallest value
  const scaled = mantissa / 2 ** drop; // exact: a power of two
  return scale(roundTiesToEven(scaled), exponent + drop);
}

/** The same for a mantissa of any length. */
function roundLongBinary(mantissa: bigint, exponent: number, format: FloatFormat): number {
  const extra = mantissa.toString(2).length - 53;
  const cut = BigInt(Math.max(extra, 0));
  if (format.precision === 53) {
    // Nothing to spare for a sticky bit: round in integers, then only the exponent moves.
    const top = mantissa.toString(2).length - 1 + exponent;
    if (top > MAX_EXPONENT) return Infinity;
    const drop = Math.max(top - 52, format.smallestExponent) - exponent;
    if (drop <= 0) return scale(Number(mantissa), exponent);
    if (drop > mantissa.toString(2).length) return 0;
    const divisor = 1n << BigInt(drop);
    const quotient = mantissa / divisor;
    const twice = (mantissa % divisor) * 2n;
    const isUp = twice > divisor || (twice === divisor && quotient % 2n === 1n);
    return scale(Number(isUp ? quotient + 1n : quotient), exponent + drop);
  }
  const head = mantissa >> cut;
  const isInexact = head << cut !== mantissa;
  const odd = isInexact ? head | 1n : head; // round to odd: a later rounding to fewer bits sees what was cut
  return roundBinary(Number(odd), exponent + Number(cut), format);
}

/** Decimal digits with at most one point, then a power of ten that may be left out. */
function parseDecimal(body: string, format: FloatFormat): number | undefined {
  let at = 0;
  let digits = 0;
  let fractionDigits = 0;
  let hasPoint = false;
  for (; at < body.length; at++) {
    const code = body.charCodeAt(at);
    if (code === DOT) {
      if (hasPoint) return undefined;
      hasPoint = true;
    } else if (isDigit(code)) {
      digits++;
      if (hasPoint) fractionDigits++;
    } else break;
  }
  if (digits === 0) return undefined;
  const digitsEnd = at;
  let exponent = 0;
  if (at < body.length) {
    if ((body.charCodeAt(at) | 0x20) !== LOWER_E) return undefined;
    const parsed = parseExponent(body, at + 1);
    if (parsed === undefined) return undefined;
    exponent = parsed;
  }
  const nearest = Number(body); // correctly rounded to 53 bits
  if (format.precision === 53 || nearest === 0 || nearest === Infinity) return nearest;
  const mantissaExponent = exponentOf(nearest) - 52;
  const mantissa = scale(nearest, -mantissaExponent);
  const sign = isHalfway(mantissa, mantissaExponent, format)
    ? compareDecimal(
        body.slice(0, digitsEnd).replace(".", ""),
        exponent - fractionDigits,
        mantissa,
        mantissaExponent,
      )
    : 0;
  if (sign === 0) return roundBinary(mantissa, mantissaExponent, format);
  // The text lies just beside a tie that the 53 bits show as exact: step off it before rounding again.
  return roundLongBinary(BigInt(mantissa) * 4n + BigInt(sign), mantissaExponent - 2, format);
}

/** Does mantissa * 2^exponent lie exactly between two neighbours of the format? */
function isHalfway(mantissa: number, exponent: number, format: FloatFormat): boolean {
  const top = exponentOf(mantissa) + exponent;
  const drop = Math.max(top - format.precision + 1, format.smallestExponent) - exponent;
  if (drop <= 0 || drop > 60) return false;
  const scaled = mantissa / 2 ** drop;
  return scaled - Math.floor(scaled) === 0.5;
}

/** Sign of digits * 10^power - mantissa * 2^exponent, all exact. The numbers are close, so the powers are small. */
function compareDecimal(digits: string, power: number, mantissa: number, exponent: number): number {
  let left = BigInt(digits);
  let right = BigInt(mantissa);
  if (power >= 0) left *= 10n ** BigInt(power);
  else right *= 10n ** BigInt(-power);
  if (exponent >= 0) right <<= BigInt(exponent);
  else left <<= BigInt(-exponent);
  return left === right ? 0 : left > right ? 1 : -1;
}

function roundTiesToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest > 0.5 ? floor + 1 : floor;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** floor(log2(value)) of a positive finite number, exact. */
function exponentOf(value: number): number {
  scratch.setFloat64(0, value);
  const biased = (scratch.getUint32(0) >>> 20) & 0x7ff;
  return biased === 0 ? exponentOf(value * 2 ** 64) - 64 : biased - 1023;
}

/** value * 2^exponent in steps that neither overflow nor round before the last. */
function scale(value: number, exponent: number): number {
  let scaled = value;
  let left = exponent;
  for (; left > 1000; left -= 1000) scaled *= 2 ** 1000;
  for (; left < -1000; left += 1000) scaled *= 2 ** -1000;
  return scaled * 2 ** left;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= ZERO + 9;
}

function hexDigit(code: number): number | undefined {
  if (isDigit(code)) return code - ZERO;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}

const ZERO = 0x30;
const DOT = 0x2e;
const LOWER_E = 0x65;
const LOWER_P = 0x70;
const LOWER_X = 0x78;
/** 13 hexadecimal digits are 52 bits, which a JavaScript number holds exactly. */
const EXACT_HEX_DIGITS = 13;
const MAX_EXPONENT = 1023;
/** No literal's digits can bring an exponent beyond this back into range: tokens are shorter. */
const EXPONENT_CLAMP = 1_000_000;

const scratch = new DataView(new ArrayBuffer(8));
