import { describe, expect, test } from "bun:test";
import {
  formatBytes,
  formatCount,
  formatLatency,
  formatMs,
  formatRate,
  formatShare,
  formatSignedBytes,
  formatTime,
} from "../../../src/core/quantity.ts";

describe("a number as people read it", () => {
  test("sizes and times carry their unit", () => {
    expect([0, 999, 1500, 123_456_789, 5e15].map(formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.5 kB",
      "123 MB",
      "5000 TB",
    ]);
    expect([0.0214, 1.26, 12.3, 61_500].map(formatMs)).toEqual(["21 µs", "1.3 ms", "12 ms", "61.5 s"]);
  });

  test.each([
    [0.0000654, "0.0654 µs"],
    [0.0653, "65.3 µs"],
    [0.9999, "1 ms"],
    [999.9, "1 s"],
    [1.2345, "1.23 ms"],
    [999.4, "999 ms"],
    [1_000, "1 s"],
    [62_345, "62.3 s"],
  ])("%p ms is %p", (ms, text) => {
    expect(formatLatency(ms)).toBe(text);
  });

  test("of a long time has hours and minutes", () => {
    expect([2_500, 330_000, 3_900_000].map(formatTime)).toEqual(["2.5 s", "5 min 30 s", "1 h 05 min"]);
  });

  test("says its sign where growth is meant", () => {
    expect([1_500, -2e6, 0].map(formatSignedBytes)).toEqual(["+1.5 kB", "-2.0 MB", "+0 B"]);
  });

  test("has separators, few digits, and is never rounded up to everything", () => {
    expect([formatCount(1_234_567), formatRate(1_234.5), formatRate(0.12345)]).toEqual([
      "1,234,567",
      "1,235",
      "0.123",
    ]);
    expect([0.9999, 0.999999, 1, 0.1].map(formatShare)).toEqual(["99.99 %", "99.9999 %", "100 %", "10 %"]);
  });
});
