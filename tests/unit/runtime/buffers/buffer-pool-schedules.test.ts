// Any schedule of acquire, return, quarantine, late completion, trim and close, against a model of a few lines.

import { expect, test } from "bun:test";
import type { Pointer } from "bun:ffi";
import fc from "fast-check";
import type { DType } from "../../../../src/core/dtype.ts";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { viewMemory } from "../../../../src/native/memory.ts";
import { wholePages } from "../../../../src/native/pages.ts";
import { type BufferLease, BufferPool } from "../../../../src/runtime/buffers/buffer-pool.ts";
import type { QuarantineTicket } from "../../../../src/runtime/buffers/quarantine.ts";

const page = wholePages(1);
const limits = {
  capacityBytes: 12 * page,
  maxBlocks: 8,
  maxIdlePerKey: 2,
  maxLentPerKey: 3,
  quarantineBytes: 6 * page,
  quarantineCount: 3,
};

const kinds: readonly (readonly [DType, readonly number[]])[] = [
  ["float32", [1]],
  ["float32", [2, 3]],
  ["uint8", [6]],
  ["float16", []],
  ["int64", [0, 4]],
  ["float32", [page / 2]], // two pages
  ["uint8", [2 * page - 3]], // two pages, another key
  ["float64", [3 * (page / 8)]], // four
  ["uint8", [page, 9]], // sixteen: more than the pool has
];

/** Block size of each kind, by hand: powers of two pages. */
const blockPages = [1, 1, 1, 1, 1, 2, 2, 4, 16];

interface Held {
  readonly kind: number;
  readonly address: number;
  readonly pattern: number;
}
interface Model {
  lent: (Held & { readonly lease: BufferLease })[];
  quarantined: (Held & { readonly ticket: QuarantineTicket })[];
  /** Returned leases, to be disposed again at any later time. */
  returned: BufferLease[];
  isClosed: boolean;
  step: number;
}
type Step = (model: Model, pool: BufferPool) => void;

const bytesOf = (held: readonly Held[]) =>
  held.reduce((sum, { kind }) => sum + (blockPages[kind] ?? 0) * page, 0);

/** What acquiring must do, from what is lent and in quarantine alone: idle memory never stands in the way. */
function expectedRefusal(model: Model, kind: number): string | undefined {
  const { lent, quarantined } = model;
  const bytes = (blockPages[kind] ?? 0) * page;
  if (model.isClosed) return "UNAVAILABLE";
  if (bytes > limits.capacityBytes) return "UNSUPPORTED";
  const isQuarantineFull =
    quarantined.length > limits.quarantineCount || bytesOf(quarantined) > limits.quarantineBytes;
  const isFull =
    bytesOf([...lent, ...quarantined]) + bytes > limits.capacityBytes ||
    lent.length + quarantined.length + 1 > limits.maxBlocks ||
    lent.filter((held) => held.kind === kind).length >= limits.maxLentPerKey;
  return isQuarantineFull || isFull ? "OVERLOADED" : undefined;
}

const acquire =
  (kind: number): Step =>
  (model, pool) => {
    const [dtype, shape] = kinds[kind] ?? ["float32", []];
    let lease: BufferLease | undefined;
    let refusal: string | undefined;
    try {
      lease = pool.acquire(dtype, shape);
    } catch (error) {
      if (!(error instanceof CoremlxError)) throw error;
      refusal = error.code;
    }
    expect(refusal).toBe(expectedRefusal(model, kind));
    if (lease === undefined) return;
    expect(lease.tensor).toMatchObject({ dtype, shape });
    const pattern = 1 + (model.step % 250);
    lease.bytes.fill(pattern);
    model.lent.push({ lease, kind, address: lease.address, pattern });
  };

const giveBack =
  (at: number): Step =>
  (model) => {
    const [held] = model.lent.splice(at % Math.max(model.lent.length, 1), 1);
    if (held === undefined) return;
    expectPattern(held);
    held.lease[Symbol.dispose]();
    model.returned.push(held.lease);
  };

const giveBackAgain =
  (at: number): Step =>
  (model) =>
    model.returned[at % Math.max(model.returned.length, 1)]?.[Symbol.dispose]();

const quarantine =
  (at: number): Step =>
  (model, pool) => {
    const [held] = model.lent.splice(at % Math.max(model.lent.length, 1), 1);
    if (held === undefined) return;
    const ticket = pool.quarantine(held.lease);
    model.quarantined.push({ ...held, ticket });
    model.returned.push(held.lease);
  };

/** The call that was given up writes its result, late, and then is over. */
const complete =
  (at: number): Step =>
  (model) => {
    const [held] = model.quarantined.splice(at % Math.max(model.quarantined.length, 1), 1);
    if (held === undefined) return;
    viewMemory(held.address as Pointer, page).fill(0xff);
    held.ticket.release();
    held.ticket.release();
  };

const trim: Step = (_, pool) => pool.trimIdle();
const close: Step = (model, pool) => {
  pool[Symbol.dispose]();
  model.isClosed = true;
};

function expectPattern({ lease, pattern }: { readonly lease: BufferLease; readonly pattern: number }): void {
  expect(lease.bytes.every((value) => value === pattern)).toBe(true);
}

function checkInvariants(model: Model, pool: BufferPool): void {
  const { stats } = pool;
  const live = [...model.lent, ...model.quarantined];
  expect({
    lentCount: stats.lentCount,
    lentBytes: stats.lentBytes,
    quarantinedCount: stats.quarantinedCount,
    quarantinedBytes: stats.quarantinedBytes,
    heldBytes: stats.heldBytes,
  }).toEqual({
    lentCount: model.lent.length,
    lentBytes: bytesOf(model.lent),
    quarantinedCount: model.quarantined.length,
    quarantinedBytes: bytesOf(model.quarantined),
    heldBytes: stats.allocatedBytes - stats.freedBytes,
  });
  expect(stats.lentBytes + stats.idleBytes + stats.quarantinedBytes).toBe(stats.heldBytes);
  expect(stats.heldBytes).toBeLessThanOrEqual(limits.capacityBytes);
  expect(stats.highWaterBytes).toBeLessThanOrEqual(limits.capacityBytes);
  expect(stats.hits + stats.misses).toBe(stats.acquired);
  if (model.isClosed) expect(stats.idleBytes).toBe(0);
  expect(new Set(live.map((held) => held.address)).size).toBe(live.length);
}

const anyStep = fc.oneof(
  { weight: 8, arbitrary: fc.nat(kinds.length - 1).map(acquire) },
  { weight: 5, arbitrary: fc.nat(20).map(giveBack) },
  { weight: 1, arbitrary: fc.nat(20).map(giveBackAgain) },
  { weight: 2, arbitrary: fc.nat(20).map(quarantine) },
  { weight: 2, arbitrary: fc.nat(20).map(complete) },
  { weight: 1, arbitrary: fc.constant(trim) },
);
const schedules = fc.record({
  steps: fc.array(anyStep, { maxLength: 60 }),
  /** Where in the schedule the pool is closed; what follows happens to a closed pool. */
  closeAt: fc.nat(80),
  debug: fc.boolean(),
});

test("every schedule keeps to the model, and ends with everything given back", () => {
  fc.assert(
    fc.property(schedules, ({ steps, closeAt, debug }) => {
      const pool = new BufferPool({ ...limits, debug });
      const model: Model = { lent: [], quarantined: [], returned: [], isClosed: false, step: 0 };
      for (const step of steps) {
        if (model.step++ === closeAt) close(model, pool);
        step(model, pool);
        checkInvariants(model, pool);
      }
      close(model, pool);
      while (model.lent.length > 0) giveBack(0)(model, pool);
      while (model.quarantined.length > 0) complete(0)(model, pool);
      checkInvariants(model, pool);
      expect(pool.stats.heldBytes).toBe(0);
    }),
    { numRuns: 300, seed: 20_240_917 },
  );
});
