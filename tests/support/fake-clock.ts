// Time that passes only when everybody waits: what is due next happens at once, in order.

import type { Clock } from "../../src/suites/clock.ts";

interface Due {
  readonly atMs: number;
  readonly order: number;
  happen(): void;
}

export class FakeClock implements Clock {
  #nowMs: number;
  #order = 0;
  readonly #due: Due[] = [];

  constructor(startMs = 1_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  /** Work that keeps everybody from running: time passes, nothing else happens. */
  block(ms: number): void {
    this.#nowMs += ms;
  }

  sleepUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    if (timeMs <= this.#nowMs || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#add(timeMs, resolve);
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  sleep(ms: number): Promise<void> {
    return this.sleepUntil(this.#nowMs + ms);
  }

  yield(): Promise<void> {
    return new Promise((resolve) => this.#add(this.#nowMs, resolve));
  }

  every(intervalMs: number, tick: () => void): Disposable {
    let isOver = false;
    const again = () => {
      if (isOver) return;
      tick();
      this.#add(this.#nowMs + intervalMs, again);
    };
    this.#add(this.#nowMs + intervalMs, again);
    return { [Symbol.dispose]: () => void (isOver = true) };
  }

  at(timeMs: number, happen: () => void): void {
    this.#add(timeMs, happen);
  }

  /** Lets time pass until the work is done. Throws when it waits for something that will never happen. */
  async run<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const settle = () => {
      isDone = true;
    };
    work.then(settle, settle);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isDone) return work;
      const next = this.#due.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) throw new Error("Nothing is due, and the work is not done");
      this.#due.splice(this.#due.indexOf(next), 1);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.happen();
    }
  }

  #add(atMs: number, happen: () => void): void {
    this.#due.push({ atMs, order: this.#order++, happen });
  }
}
