import { expect, test } from "bun:test";
import { Collection } from "../../../../src/runtime/worker/collection.ts";

function watched() {
  const clock = { ms: 0 };
  const collectedAt: number[] = [];
  const collection = new Collection({
    now: () => clock.ms,
    collect: () => collectedAt.push(clock.ms),
  });
  const run = (count: number, stepMs: number) => {
    for (let i = 0; i < count; i++) {
      clock.ms += stepMs;
      collection.countRun();
    }
  };
  return { collectedAt, run };
}

test("what loading left is collected after some hundred runs", () => {
  const { collectedAt, run } = watched();
  run(499, 1);
  expect(collectedAt).toEqual([]);
  run(1, 1);
  expect(collectedAt).toEqual([500]);
});

test("short runs are held up once in ten seconds", () => {
  const { collectedAt, run } = watched();
  run(60_000, 0.5);
  expect(collectedAt).toEqual([250, 10_250, 20_250]);
});

test("long runs are held up once in five hundred", () => {
  const { collectedAt, run } = watched();
  run(1_500, 100);
  expect(collectedAt).toEqual([50_000, 100_000, 150_000]);
});

test("a thread that has little to do is left alone", () => {
  const { collectedAt, run } = watched();
  run(10, 3_600_000);
  expect(collectedAt).toEqual([]);
});
