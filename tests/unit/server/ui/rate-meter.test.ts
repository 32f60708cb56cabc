// A rate is the growth of a count between two looks.

import { expect, test } from "bun:test";
import { RateMeter } from "../../../../src/server/ui/rate-meter.ts";

test("it is known from the second look on, and again after the count began anew", () => {
  const meter = new RateMeter();
  const look = (count: number, atMs: number) => {
    meter.note("a", count, atMs);
    return meter.perSecond("a");
  };
  expect([look(10, 0), look(30, 2_000), look(30, 4_000), look(5, 6_000), look(6, 7_000)]).toEqual([
    undefined,
    10,
    0,
    undefined,
    1,
  ]);
  expect(meter.perSecond("b")).toBeUndefined();
});
