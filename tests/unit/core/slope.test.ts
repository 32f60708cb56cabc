// The least-squares slope against lines and a worked example.

import { expect, test } from "bun:test";
import { SlopeWindow } from "../../../src/core/slope.ts";

test("the slope of points on a line is the line's", () => {
  const window = new SlopeWindow();
  for (let x = 0; x < 100; x++) window.add(x * 0.5, 1e9 + 4096 * x * 0.5);
  expect(window.slope).toBeCloseTo(4096, 6);
});

test("noise around a level has a small slope", () => {
  const window = new SlopeWindow();
  for (let x = 0; x < 100; x++) window.add(x, x % 2 === 0 ? 10 : 20);
  expect(Math.abs(window.slope ?? 1)).toBeLessThan(0.01);
});

test("four points give the slope of the textbook formula", () => {
  // Points (1,6) (2,5) (3,7) (4,10): the line 3.5 + 1.4 x.
  const window = new SlopeWindow();
  for (const [x, y] of [
    [1, 6],
    [2, 5],
    [3, 7],
    [4, 10],
  ] as const)
    window.add(x, y);
  expect(window.slope).toBeCloseTo(1.4, 12);
});

test("only the newest points count", () => {
  const window = new SlopeWindow({ capacity: 10 });
  for (let x = 0; x < 100; x++) window.add(x, x < 90 ? x * 1000 : 7);
  expect({ slope: window.slope, count: window.count, span: window.span }).toEqual({
    slope: 0,
    count: 10,
    span: 9,
  });
});

test("points that follow too closely are left out", () => {
  const window = new SlopeWindow({ minimumStep: 1 });
  for (const x of [0, 0.2, 0.9, 1, 1.5, 2.1]) window.add(x, x);
  expect(window.count).toBe(3);
});

test("there is no slope without two different x", () => {
  const window = new SlopeWindow();
  expect({ slope: window.slope, span: window.span }).toEqual({ slope: undefined, span: 0 });
  window.add(1, 5);
  window.add(1, 6);
  expect(window.slope).toBeUndefined();
  window.add(2, 7);
  expect(window.slope).toBeCloseTo(1.5, 12);
  window.clear();
  expect(window.count).toBe(0);
});

test("the fit is 1 on a line, three quarters at most for a step, and nothing without a line", () => {
  const line = new SlopeWindow();
  const step = new SlopeWindow();
  const flat = new SlopeWindow();
  for (let x = 0; x < 100; x++) {
    line.add(x, 5 - 3 * x);
    step.add(x, x < 50 ? 1 : 2);
    flat.add(x, 7);
  }
  expect(line.fit).toBeCloseTo(1, 12);
  expect(step.fit).toBeCloseTo(0.75, 3);
  expect([flat.fit, new SlopeWindow().fit]).toEqual([0, 0]);
});
