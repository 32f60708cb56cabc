import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type FloatType, floatBits, parseFloatAs, parseInteger } from "../../../src/formats/mil-number.ts";

/** The bits of a literal read as `type`, in hexadecimal; the text itself when it is no number. */
function bitsOf(text: string, type: FloatType): string {
  const value = parseFloatAs(text, type);
  if (value === undefined) return text;
  const view = new DataView(new ArrayBuffer(8));
  if (type === "float16") {
    view.setFloat16(0, value);
    return view.getUint16(0).toString(16).padStart(4, "0");
  }
  if (type === "float32") {
    view.setFloat32(0, value);
    return view.getUint32(0).toString(16).padStart(8, "0");
  }
  if (type === "float64") {
    view.setFloat64(0, value);
    return view.getBigUint64(0).toString(16).padStart(16, "0");
  }
  return floatBits(value, type)
    .toString(16)
    .padStart(type === "bfloat16" ? 4 : 2, "0");
}

describe("parseFloatAs", () => {
  // Right-hand sides: numpy's casts of Python's float.fromhex; bfloat16 and float8 by hand.
  const cases: readonly (readonly [FloatType, string, string])[] = [
    ["float16", "0x1.388p+13", "70e2"],
    ["float16", "0x1p-24", "0001"],
    ["float16", "0x1.5p-17", "00a8"],
    ["float16", "-0x1.5p-17", "80a8"],
    ["float16", "0x1.ff8p-15", "03ff"],
    ["float16", "0x1.ffcp+15", "7bff"],
    ["float16", "0x1.ffep+15", "7c00"],
    ["float16", "0x1p-25", "0000"],
    ["float16", "0x1.8p-25", "0001"],
    ["float16", "0x1.004p+0", "3c01"],
    ["float16", "0x1.002p+0", "3c00"],
    ["float16", "0x1.006p+0", "3c02"],
    ["float16", "0x0p+0", "0000"],
    ["float16", "-0x0p+0", "8000"],
    ["float16", "-inf", "fc00"],
    ["float16", "INF", "7c00"],
    ["float16", "+infinity", "7c00"],
    ["float16", "nan", "7e00"],
    ["float16", "1e400", "7c00"],
    ["float16", "0x1p+99999999999", "7c00"],
    ["float16", "0x1p-99999999999", "0000"],
    ["float16", "-70000", "fc00"],
    ["float16", "0.1", "2e66"],
    ["float16", "1.", "3c00"],
    ["float16", ".5", "3800"],
    ["float16", "+5E-1", "3800"],
    ["float16", "0X8.P-3", "3c00"],
    ["float16", "0x3c", "5380"],
    ["float32", "0x1.fffffefffffffp+0", "3fffffff"],
    ["float32", "0x1.921fb54442d18p+1", "40490fdb"],
    ["float32", "0x1.000001p+0", "3f800000"],
    ["float32", "0x1.0000010000001p+0", "3f800001"],
    ["float32", "0x1p-149", "00000001"],
    ["float32", "0x1p-150", "00000000"],
    ["float32", "0x1.8p-150", "00000001"],
    ["float32", "0x1.fffffep+127", "7f7fffff"],
    ["float32", "0x1.ffffffp+127", "7f800000"],
    ["float32", "3.4028235e38", "7f7fffff"],
    ["float64", "0x1.921fb54442d18p+1", "400921fb54442d18"],
    ["float64", "0x1.00000000000008p+0", "3ff0000000000000"],
    ["float64", "0x1.000000000000080000001p+0", "3ff0000000000001"],
    ["float64", "0x1.00000000000018p+0", "3ff0000000000002"],
    ["float64", "0x0.00000000000001p-1024", "0000000000000000"],
    ["float64", "0x1.00000000000001p-1074", "0000000000000001"],
    ["float64", "0x1.80000000000001p-1075", "0000000000000001"],
    ["float64", "0x10000000000000000p+1000", "7ff0000000000000"],
    ["float64", "0x100000000000000p+0", "4370000000000000"],
    ["float64", "5e-324", "0000000000000001"],
    ["bfloat16", "0x1p+0", "3f80"],
    ["bfloat16", "0x1.01p+0", "3f80"],
    ["bfloat16", "0x1.03p+0", "3f82"],
    ["bfloat16", "0x1p-133", "0001"],
    ["bfloat16", "-0x1.fep+127", "ff7f"],
    ["bfloat16", "inf", "7f80"],
    ["bfloat16", "nan", "7fc0"],
    ["float8e4m3fn", "1", "38"],
    ["float8e4m3fn", "-1.5", "bc"],
    ["float8e4m3fn", "448", "7e"],
    ["float8e4m3fn", "464", "7e"],
    ["float8e4m3fn", "464.5", "7f"],
    ["float8e4m3fn", "inf", "7f"],
    ["float8e4m3fn", "0x1p-9", "01"],
    ["float8e4m3fn", "0x1p-6", "08"],
    ["float8e5m2", "1", "3c"],
    ["float8e5m2", "57344", "7b"],
    ["float8e5m2", "-inf", "fc"],
    ["float8e5m2", "nan", "7f"],
    ["float8e5m2", "0x1p-16", "01"],
  ];
  test.each(cases)("reads, as %s, %s as the bits %s", (type, text, bits) => {
    expect(bitsOf(text, type)).toBe(bits);
  });

  test("rounds once: digits beyond the 53rd bit decide a tie", () => {
    // 1 + 2^-11 and 1 + 3 * 2^-11 lie exactly between two float16 values.
    expect(bitsOf("1.00048828125", "float16")).toBe("3c00");
    expect(bitsOf("1.00048828125000000000000000000000000001", "float16")).toBe("3c01");
    expect(bitsOf("1.00146484375", "float16")).toBe("3c02");
    expect(bitsOf("1.00146484374999999999999999999999999999", "float16")).toBe("3c01");
    expect(bitsOf("100146484374999999999999999999999999999e-38", "float16")).toBe("3c01");
    expect(bitsOf("0x1.0020000000000000000001p+0", "float16")).toBe("3c01");
    expect(bitsOf("0x1.005ffffffffffffffffff8p+0", "float16")).toBe("3c01");
    expect(bitsOf("65519.99999999999999999999", "float16")).toBe("7bff");
    expect(bitsOf("65520", "float16")).toBe("7c00");
    // Half of float32's smallest value.
    expect(bitsOf("7.00649232162408535461864791644958e-46", "float32")).toBe("00000000");
    expect(bitsOf("7.1e-46", "float32")).toBe("00000001");
  });

  test.each([
    "",
    "-",
    ".",
    "1.2.3",
    "0x",
    "0x.p1",
    "0x1.2.3p0",
    "0x1p",
    "0x1p+",
    "0x1q2",
    "1e",
    "1e+",
    "1f",
    "infinite",
    "--1",
    "0x1p1x",
  ])("refuses %p", (text) => {
    expect(parseFloatAs(text, "float32")).toBeUndefined();
  });

  test("gives every float16 back from its hexadecimal form", () => {
    const view = new DataView(new ArrayBuffer(2));
    for (let bits = 0; bits < 0x7c00; bits++) {
      view.setUint16(0, bits);
      const exponent = bits >>> 10;
      const fraction = bits & 0x3ff;
      // Three digits hold ten bits shifted up by two; subnormals have a leading zero.
      const digits = (fraction << 2).toString(16).padStart(3, "0");
      const text = exponent === 0 ? `0x0.${digits}p-14` : `0x1.${digits}p${exponent - 15}`;
      expect(parseFloatAs(text, "float16")).toBe(view.getFloat16(0));
    }
  });

  test("agrees with the runtime's own rounding of doubles", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (value) => {
        const text = Object.is(value, -0) ? "-0" : String(value);
        expect(parseFloatAs(text, "float64")).toBe(value);
        expect(parseFloatAs(text, "float32")).toBe(Math.fround(value));
        expect(parseFloatAs(text, "float16")).toBe(Math.f16round(value));
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test("reads any text as a number or as none, without throwing", () => {
    const text = fc.string({ unit: fc.constantFrom(..."0123456789abcdefxp+-.infty".split("")) });
    fc.assert(
      fc.property(text, fc.constantFrom<FloatType>("float16", "float64", "float8e5m2"), (body, type) => {
        const value = parseFloatAs(body, type);
        expect(value === undefined || typeof value === "number").toBe(true);
      }),
      { seed: 2, numRuns: 5000 },
    );
  });
});

test("parseInteger reads decimal integers of any size and nothing else", () => {
  expect(parseInteger("0")).toBe(0n);
  expect(parseInteger("-17")).toBe(-17n);
  expect(parseInteger("+5")).toBe(5n);
  expect(parseInteger("18446744073709551615")).toBe(18_446_744_073_709_551_615n);
  for (const text of ["", "-", "+", "1.0", "0x10", "1e3", "true"]) expect(parseInteger(text)).toBeUndefined();
});
