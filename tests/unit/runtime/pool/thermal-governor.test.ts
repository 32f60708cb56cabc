import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import fc from "fast-check";
import type { ThermalState } from "../../../../src/core/thermal.ts";
import { allowedOf, ThermalGovernor } from "../../../../src/runtime/pool/thermal-governor.ts";

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

function open() {
  let state: ThermalState | undefined = "fair";
  const told: number[] = [];
  const logged: string[] = [];
  const governor = new ThermalGovernor({
    source: { read: () => state },
    telemetry: { log: (level, message) => logged.push(`${level} ${message}`) },
  });
  const watching = governor.watch((share) => told.push(share));
  /** So many readings, five seconds apart. */
  const read = (next: ThermalState | undefined, times = 1) => {
    state = next;
    for (let i = 0; i < times; i++) jest.advanceTimersByTime(5_000);
    return governor.share;
  };
  return { governor, watching, read, told, logged };
}

test("a serious state lowers step by step to half, a critical one to the last instance", () => {
  const { governor, read, told, logged } = open();
  expect(read("nominal")).toBe(1);
  expect(read("serious")).toBe(0.75);
  expect(read("serious")).toBe(0.5);
  expect(read("serious", 10)).toBe(0.5);
  expect(read("critical")).toBe(0.25);
  expect(read("critical")).toBe(0);
  expect(read("critical", 10)).toBe(0);
  expect(told).toEqual([1, 0.75, 0.5, 0.25, 0]);
  expect(governor.stats).toEqual({ state: "critical", share: 0, lowered: 4, raised: 0 });
  expect(logged).toEqual(Array<string>(4).fill("warn machine hot"));
});

test("it raises one step after each half minute of cool readings", () => {
  const { governor, read, logged } = open();
  read("critical", 4);
  expect(read("nominal", 6)).toBe(0); // the first reading only starts the time
  expect(read("nominal")).toBe(0.25);
  expect(read("nominal", 5)).toBe(0.25);
  expect(read("nominal")).toBe(0.5);
  expect(read("nominal", 100)).toBe(1);
  expect(governor.stats).toEqual({ state: "nominal", share: 1, lowered: 4, raised: 4 });
  expect(logged.slice(4)).toEqual(Array<string>(4).fill("info machine cooler"));
});

test("a fair state keeps what there is, and the time of being cool starts anew after it", () => {
  const { read } = open();
  read("serious", 2);
  expect(read("fair", 100)).toBe(0.5);
  expect(read("nominal", 6)).toBe(0.5);
  expect(read("fair")).toBe(0.5);
  expect(read("nominal", 6)).toBe(0.5);
  expect(read("nominal")).toBe(0.75);
});

test("where the source knows nothing any more, nothing stays lowered for ever", () => {
  const { governor, read } = open();
  read("serious", 2);
  expect(read(undefined, 100)).toBe(1);
  expect(governor.stats.state).toBeUndefined();
});

test("any course of temperature moves one step at a time, and down only when it is hot", () => {
  const states = fc.constantFrom<ThermalState | undefined>(
    "nominal",
    "fair",
    "serious",
    "critical",
    undefined,
  );
  fc.assert(
    fc.property(fc.array(states, { maxLength: 200 }), (course) => {
      const { read } = open();
      let before = 1;
      for (const state of course) {
        const share = read(state);
        expect(Math.abs(share - before)).toBeLessThanOrEqual(0.25);
        if (share < before) expect(["serious", "critical"]).toContain(state as string);
        if (share > before) expect(["nominal", undefined]).toContain(state);
        before = share;
      }
    }),
    { seed: 4 },
  );
});

test("who stops watching is told nothing more, and a closed governor reads nothing more", () => {
  const { governor, watching, read, told } = open();
  watching[Symbol.dispose]();
  read("critical");
  expect(told).toEqual([1]);
  expect(governor.reading).toEqual({ thermalState: "critical" });
  governor[Symbol.dispose]();
  read("critical", 10);
  expect(governor.stats).toMatchObject({ share: 0.75, lowered: 1 });
});

describe("of a model's instances", () => {
  test.each([
    [4, [4, 3, 2, 1, 1]],
    [3, [3, 3, 2, 1, 1]],
    [2, [2, 2, 1, 1, 1]],
    [1, [1, 1, 1, 1, 1]],
  ])("%i, the steps allow %p", (maximum, allowed) => {
    expect([1, 0.75, 0.5, 0.25, 0].map((share) => allowedOf(maximum, share))).toEqual(allowed);
  });
});
