import { expect, test } from "bun:test";
import fc from "fast-check";
import { PriorityQueue, type QueuePlace } from "../../../../src/runtime/pool/priority-queue.ts";

/** What a queue is: an array kept sorted. Items are numbered as they come. */
class SortedArray {
  #places: { readonly item: number; readonly priority: number }[] = [];
  push(item: number, priority: number): void {
    this.#places.push({ item, priority });
    this.#places = this.#places.toSorted((a, b) => b.priority - a.priority || a.item - b.item);
  }
  shift(): number | undefined {
    return this.#places.shift()?.item;
  }
  remove(item: number): boolean {
    const index = this.#places.findIndex((place) => place.item === item);
    if (index >= 0) this.#places.splice(index, 1);
    return index >= 0;
  }
  get size(): number {
    return this.#places.length;
  }
}

const join = fc.record({ kind: fc.constant("join" as const), priority: fc.integer({ min: -2, max: 2 }) });
const serve = fc.record({ kind: fc.constant("serve" as const) });
const leave = fc.record({ kind: fc.constant("leave" as const), pick: fc.nat(100) });

const restore = fc.record({ kind: fc.constant("restore" as const), pick: fc.nat(100) });

test("any mix of joining, being served, leaving and coming back goes as through an array kept sorted", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(join, join, serve, leave, restore), { maxLength: 200 }), (steps) => {
      const queue = new PriorityQueue<number>();
      const reference = new SortedArray();
      const places: QueuePlace<number>[] = [];
      for (const step of steps) {
        if (step.kind === "join") {
          places.push(queue.push(places.length, step.priority));
          reference.push(places.length - 1, step.priority);
        } else if (step.kind === "serve") expect(queue.shift()).toBe(reference.shift());
        else {
          const place = places[step.pick % Math.max(places.length, 1)];
          if (step.kind === "restore") {
            if (place === undefined || place.index >= 0) continue;
            queue.restore(place);
            reference.push(place.item, place.priority);
          } else if (place) expect(queue.remove(place)).toBe(reference.remove(place.item));
        }
        expect(queue.size).toBe(reference.size);
      }
      while (reference.size > 0) expect(queue.shift()).toBe(reference.shift());
      expect(queue.shift()).toBeUndefined();
    }),
    { seed: 4, numRuns: 300 },
  );
});

test("a priority that is no number counts as 0", () => {
  const queue = new PriorityQueue<string>();
  queue.push("none", Number.NaN);
  queue.push("low", -1);
  queue.push("high", 1);
  queue.push("zero", 0);
  expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual([
    "high",
    "none",
    "zero",
    "low",
  ]);
});

test("who comes back stands where it stood, before those that came later", () => {
  const queue = new PriorityQueue<string>();
  const first = queue.push("first", 1);
  queue.push("second", 1);
  queue.push("high", 2);
  queue.remove(first);
  queue.push("third", 1);
  queue.restore(first);
  expect([first.index >= 0, queue.first?.item]).toEqual([true, "high"]);
  expect(Array.from({ length: 4 }, () => queue.shift())).toEqual(["high", "first", "second", "third"]);
});
