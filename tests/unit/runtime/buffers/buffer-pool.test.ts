import { describe, expect, test } from "bun:test";
import type { Pointer } from "bun:ffi";
import type { DType } from "../../../../src/core/dtype.ts";
import type { LogFields, Telemetry } from "../../../../src/core/telemetry.ts";
import { viewMemory } from "../../../../src/native/memory.ts";
import { wholePages } from "../../../../src/native/pages.ts";
import { statsSince } from "../../../../src/runtime/buffers/block-pool-stats.ts";
import {
  BufferPool,
  type BufferPoolOptions,
  bufferPoolDefaults,
  checkByteLength,
} from "../../../../src/runtime/buffers/buffer-pool.ts";
import { describeError, errorOf } from "../../../support/codec-fixtures.ts";

const page = wholePages(1);

/** A pool of so many pages. */
function poolOf(pages: number, options: BufferPoolOptions = {}): BufferPool {
  return new BufferPool({ capacityBytes: pages * page, ...options });
}

/** A shape of float32 that fills so many pages. */
const pagesOf = (count: number) => [count, page / 4];

describe("a lease", () => {
  test("is a tensor in memory that native code may address", () => {
    using pool = poolOf(4);
    using lease = pool.acquire("float32", [2, 3]);
    expect(lease.tensor).toEqual({ dtype: "float32", shape: [2, 3], bytes: new Uint8Array(24) });
    expect(lease.address % page).toBe(0);
    lease.bytes[23] = 9;
    expect(viewMemory((lease.address + 23) as Pointer, 1)[0]).toBe(9);
  });

  test("of an empty tensor and of a scalar are leases like any other", () => {
    using pool = poolOf(4);
    using empty = pool.acquire("int64", [3, 0, 5]);
    using scalar = pool.acquire("float64", []);
    expect([empty.bytes.byteLength, scalar.bytes.byteLength]).toEqual([0, 8]);
    expect(empty.address).toBeGreaterThan(0);
  });

  test("may be returned twice and gives its memory back once", () => {
    using pool = poolOf(4);
    const lease = pool.acquire("float32", [4]);
    lease[Symbol.dispose]();
    using next = pool.acquire("float32", [4]);
    lease[Symbol.dispose]();
    expect(lease.isReturned).toBe(true);
    expect(next.isReturned).toBe(false);
    expect(pool.stats).toMatchObject({ lentCount: 1, idleCount: 0 });
  });

  test("cannot be used once it was returned", () => {
    using pool = poolOf(4);
    const lease = pool.acquire("float32", [4]);
    lease[Symbol.dispose]();
    for (const use of [() => lease.tensor, () => lease.bytes, () => lease.address]) {
      expect(describeError(errorOf(use))).toBe("INTERNAL: Cannot use a buffer that was returned to its pool");
    }
  });

  test("does not change when its caller changes the shape it gave", () => {
    using pool = poolOf(4);
    const shape = [2, 2];
    using lease = pool.acquire("float32", shape);
    shape[0] = 99;
    expect(lease.tensor.shape).toEqual([2, 2]);
  });
});

describe("reuse", () => {
  test("gives the same type and shape the same memory, most recently used first, uncleared", () => {
    using pool = poolOf(8);
    const [a, b] = [pool.acquire("float32", [8]), pool.acquire("float32", [8])];
    const [first, second] = [a.address, b.address];
    b.bytes[0] = 5;
    a[Symbol.dispose]();
    b[Symbol.dispose]();
    using c = pool.acquire("float32", [8]);
    using d = pool.acquire("float32", [8]);
    expect([c.address, d.address]).toEqual([second, first]);
    expect(c.bytes[0]).toBe(5);
    expect(pool.stats).toMatchObject({ hits: 2, misses: 2, allocations: 2, hitRatio: 0.5 });
  });

  test("makes nothing new: the very tensor of the last time comes back", () => {
    using pool = poolOf(4);
    const lease = pool.acquire("float32", [8]);
    const { tensor } = lease;
    lease[Symbol.dispose]();
    using again = pool.acquire("float32", [8]);
    expect(again.tensor).toBe(tensor);
  });

  test("falls back on any block of the same size, the one unused longest", () => {
    using pool = poolOf(8);
    const [old, young] = [pool.acquire("float32", [10]), pool.acquire("int8", [11])];
    const oldest = old.address;
    old[Symbol.dispose]();
    young[Symbol.dispose]();
    using lease = pool.acquire("float16", [3, 3]);
    expect(lease.address).toBe(oldest);
    expect(lease.tensor).toMatchObject({ dtype: "float16", shape: [3, 3] });
    expect(lease.bytes.byteLength).toBe(18);
    expect(pool.stats).toMatchObject({
      hits: 0,
      misses: 3,
      resized: 1,
      allocations: 2,
      allocationsAvoided: 1,
    });
  });

  test("never takes a block of another size", () => {
    using pool = poolOf(16);
    pool.acquire("float32", pagesOf(4))[Symbol.dispose]();
    using small = pool.acquire("float32", pagesOf(2));
    expect(pool.stats).toMatchObject({ allocations: 2, idleBytes: 4 * page, lentBytes: 2 * page });
    expect(small.bytes.byteLength).toBe(2 * page);
  });

  test("tells types of one shape, and shapes of one size, apart", () => {
    using pool = poolOf(8);
    for (const [dtype, shape] of [
      ["float32", [1, 23]],
      ["float32", [12, 3]],
      ["int32", [1, 23]],
      ["float32", [1, 2, 3]],
    ] as const) {
      pool.acquire(dtype, shape)[Symbol.dispose]();
    }
    expect(pool.stats).toMatchObject({ hits: 0, resized: 3, allocations: 1 });
  });

  test("works after somebody transferred a lease's buffer away", () => {
    using pool = poolOf(4);
    const lease = pool.acquire("uint8", [4]);
    lease.bytes[1] = 7;
    structuredClone(lease.bytes.buffer, { transfer: [lease.bytes.buffer] });
    lease[Symbol.dispose]();
    using again = pool.acquire("uint8", [4]);
    expect([...again.bytes]).toEqual([0, 7, 0, 0]);
  });
});

describe("limits", () => {
  test("at capacity nothing more is lent, and the error says how things stand", () => {
    using pool = poolOf(2);
    using first = pool.acquire("float32", pagesOf(1));
    using second = pool.acquire("float32", pagesOf(1));
    const error = errorOf(() => pool.acquire("float32", [1]));
    expect(describeError(error)).toBe(
      `OVERLOADED: Cannot lend a buffer: ${page} bytes are wanted, ${2 * page} of ${2 * page} are lent, 0 in quarantine, 2 of 4096 blocks in use`,
    );
    expect(pool.stats.refused).toBe(1);
    first[Symbol.dispose]();
    using third = pool.acquire("float32", [1]);
    expect([second.isReturned, third.isReturned]).toEqual([false, false]);
  });

  test("more than the whole pool is refused as something that waiting will not help", () => {
    using pool = poolOf(2);
    expect(describeError(errorOf(() => pool.acquire("float32", pagesOf(3))))).toBe(
      `UNSUPPORTED: Cannot lend a buffer for float32 3 ${page / 4}: it takes ${4 * page} bytes, the pool has ${2 * page}`,
    );
  });

  test("idle memory makes room, the least recently used first, and no more than needed", () => {
    using pool = poolOf(8);
    const leases = [pagesOf(1), pagesOf(2), pagesOf(4)].map((shape) => pool.acquire("float32", shape));
    for (const lease of leases) lease[Symbol.dispose]();
    using large = pool.acquire("uint8", [2 * page + 1]); // a block of four: the idle one of that size serves
    expect(pool.stats).toMatchObject({ trimmed: 0, lentBytes: 4 * page, idleBytes: 3 * page });
    using another = pool.acquire("uint8", [4 * page]);
    expect(pool.stats).toMatchObject({ trimmed: 2, idleBytes: 0, lentBytes: 8 * page, freedBytes: 3 * page });
    expect([large.isReturned, another.isReturned]).toEqual([false, false]);
  });

  test("so many buffers of one shape are kept idle, the rest is freed on return", () => {
    using pool = poolOf(16, { maxIdlePerKey: 2 });
    const leases = Array.from({ length: 5 }, () => pool.acquire("float32", [4]));
    for (const lease of leases) lease[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ idleCount: 2, dropped: 3, heldBytes: 2 * page, freedBytes: 3 * page });
  });

  test("so many buffers of one shape are lent, other shapes are not concerned", () => {
    using pool = poolOf(16, { maxLentPerKey: 2 });
    using a = pool.acquire("float32", [4]);
    using b = pool.acquire("float32", [4]);
    expect(describeError(errorOf(() => pool.acquire("float32", [4])))).toBe(
      "OVERLOADED: Cannot lend a buffer: 2 of float32 4 are lent",
    );
    using c = pool.acquire("float32", [5]);
    expect([a, b, c].map((lease) => lease.isReturned)).toEqual([false, false, false]);
  });

  test("so many blocks live at once, however small", () => {
    using pool = poolOf(100, { maxBlocks: 2 });
    pool.acquire("float32", pagesOf(2))[Symbol.dispose]();
    using a = pool.acquire("float32", [1]);
    using b = pool.acquire("float32", [2]); // the idle one had to go
    expect(() => pool.acquire("float32", [3])).toThrow(expect.objectContaining({ code: "OVERLOADED" }));
    expect([a.isReturned, b.isReturned, pool.stats.trimmed]).toEqual([false, false, 1]);
  });
});

describe("shapes that nobody checked", () => {
  const bad: [string, DType, readonly number[], string][] = [
    ["negative", "float32", [2, -1], "axis 1 is -1"],
    ["fractional", "float32", [1.5], "axis 0 is 1.5"],
    ["not a number", "float32", [Number.NaN], "axis 0 is NaN"],
    ["infinite", "float32", [Number.POSITIVE_INFINITY], "axis 0 is Infinity"],
    ["2^60", "float32", [2 ** 60], "axis 0 is 1152921504606847000"],
    ["overflowing", "float32", [2 ** 31, 2 ** 31, 2 ** 31], "it has more bytes than can be counted"],
    ["overflowing beside a zero", "uint8", [2 ** 40, 2 ** 40, 0], "it has more bytes than can be counted"],
    ["of 65 axes", "uint8", Array.from({ length: 65 }, () => 1), "65 axes are more than 64"],
  ];
  for (const [what, dtype, shape, why] of bad) {
    test(`that are ${what} are BAD_INPUT, and take nothing`, () => {
      using pool = poolOf(4);
      const error = errorOf(() => pool.acquire(dtype, shape));
      expect(describeError(error)).toMatch(/^BAD_INPUT: Cannot lend a buffer for \w+ \[/);
      expect(error.message).toEndWith(`: ${why}`);
      expect(pool.stats).toMatchObject({ acquired: 0, heldBytes: 0 });
    });
  }

  test("of a type that is none are BAD_INPUT", () => {
    const dtype = JSON.parse('"toString"');
    expect(errorOf(() => checkByteLength(dtype, [1], "lend a buffer")).code).toBe("BAD_INPUT");
    expect(errorOf(() => checkByteLength(JSON.parse('"int4"'), [1], "lend a buffer")).code).toBe("BAD_INPUT");
  });

  test("have as many bytes as their elements take", () => {
    expect(checkByteLength("float16", [2, 3, 4], "x")).toBe(48);
    expect(checkByteLength("float64", [], "x")).toBe(8);
    expect(checkByteLength("int64", [0, 2 ** 40], "x")).toBe(0);
  });
});

describe("statistics", () => {
  test("say what reuse saved, over a run and after its warm-up", () => {
    using pool = poolOf(64);
    const run = (count: number) => {
      for (let i = 0; i < count; i++) {
        using input = pool.acquire("float32", [1, 100]);
        using output = pool.acquire("float32", [1, 10]);
        output.bytes[0] = input.bytes[0] ?? 0;
      }
    };
    run(1);
    const warm = pool.stats;
    run(999);
    expect(pool.stats).toMatchObject({
      acquired: 2_000,
      hits: 1_998,
      misses: 2,
      allocations: 2,
      allocationsAvoided: 1_998,
      hitRatio: 0.999,
      avoidedRatio: 0.999,
      bytesSaved: 999 * 440,
      allocatedBytes: 2 * page,
      highWaterBytes: 2 * page,
    });
    expect(statsSince(warm, pool.stats)).toMatchObject({
      acquired: 1_998,
      hits: 1_998,
      misses: 0,
      allocations: 0,
      hitRatio: 1,
      avoidedRatio: 1,
      bytesSaved: 999 * 440,
      allocatedBytes: 0,
      freedBytes: 0,
    });
  });

  test("say what rounding up to powers of two costs, now and on average", () => {
    using pool = poolOf(64);
    expect(pool.stats).toMatchObject({ fragmentation: 0, averageFragmentation: 0, hitRatio: 0 });
    pool.acquire("uint8", [4 * page])[Symbol.dispose]();
    using lease = pool.acquire("uint8", [3 * page]);
    expect(lease.bytes.byteLength).toBe(3 * page);
    expect(pool.stats).toMatchObject({
      fragmentation: 0.25,
      averageFragmentation: 0.125,
      lentRequestedBytes: 3 * page,
    });
  });

  test("remember the high water after it has fallen", () => {
    using pool = poolOf(64, { maxIdlePerKey: 0 });
    const leases = Array.from({ length: 5 }, () => pool.acquire("float32", pagesOf(2)));
    for (const lease of leases) lease[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ highWaterBytes: 10 * page, heldBytes: 0 });
  });

  test("are plain data", () => {
    using pool = poolOf(1);
    expect(JSON.parse(JSON.stringify(pool.stats))).toEqual(pool.stats);
  });
});

describe("quarantine", () => {
  test("keeps memory out of circulation until the late completion, which then may write no more", () => {
    using pool = poolOf(8);
    const lease = pool.acquire("uint8", [16]);
    const { address } = lease;
    const ticket = pool.quarantine(lease);
    lease[Symbol.dispose](); // by the caller's `using`: harmless
    expect(lease.isReturned).toBe(true);
    using next = pool.acquire("uint8", [16]);
    expect(next.address).not.toBe(address);
    viewMemory(address as Pointer, 16).fill(0xee); // the call that never came back, coming back
    expect([...next.bytes]).toEqual(Array.from({ length: 16 }, () => 0));
    expect(pool.stats).toMatchObject({ quarantinedCount: 1, quarantinedBytes: page, lentCount: 1 });
    ticket.release();
    ticket.release();
    expect(ticket.isReleased).toBe(true);
    expect(pool.stats).toMatchObject({
      quarantinedCount: 0,
      quarantinedBytes: 0,
      quarantined: 1,
      releasedLate: 1,
      idleCount: 1,
    });
    using after = pool.acquire("uint8", [16]);
    expect(after.address).toBe(address);
  });

  test("counts against the capacity", () => {
    using pool = poolOf(2);
    const ticket = pool.quarantine(pool.acquire("uint8", [1]));
    using lease = pool.acquire("uint8", [1]);
    expect(() => pool.acquire("uint8", [1])).toThrow(expect.objectContaining({ code: "OVERLOADED" }));
    ticket.release();
    using third = pool.acquire("uint8", [1]);
    expect([lease.isReturned, third.isReturned]).toEqual([false, false]);
  });

  test("that is over its limit stops the lending, and says so", () => {
    using pool = poolOf(64, { quarantineCount: 1, quarantineBytes: 64 * page });
    const first = pool.quarantine(pool.acquire("uint8", [1]));
    using between = pool.acquire("uint8", [1]);
    pool.quarantine(pool.acquire("uint8", [1]));
    expect(pool.stats.isQuarantineFull).toBe(true);
    expect(describeError(errorOf(() => pool.acquire("uint8", [1])))).toBe(
      `OVERLOADED: Cannot lend a buffer: 2 calls never came back and keep ${2 * page} bytes`,
    );
    first.release();
    using after = pool.acquire("uint8", [1]);
    expect([between.isReturned, after.isReturned]).toEqual([false, false]);
  });

  test("takes no lease that is over: its memory may be in other hands", () => {
    using pool = poolOf(2);
    const lease = pool.acquire("uint8", [1]);
    lease[Symbol.dispose]();
    expect(describeError(errorOf(() => pool.quarantine(lease)))).toBe(
      "INTERNAL: Cannot put memory into quarantine: it was returned already",
    );
    expect(pool.stats.quarantined).toBe(0);
  });

  test("takes nothing that is no lease", () => {
    using pool = poolOf(2);
    const forged = { ...pool.acquire("uint8", [1]), isReturned: false, [Symbol.dispose]() {} };
    expect(() => pool.quarantine(forged as never)).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });

  test("may outlast hundreds of shapes that came and went", () => {
    using pool = poolOf(4_000);
    const ticket = pool.quarantine(pool.acquire("uint8", [7]));
    for (let size = 1; size < 700; size++) pool.acquire("float32", [size])[Symbol.dispose]();
    ticket.release();
    pool.acquire("uint8", [7])[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
    expect(pool.stats.heldBytes).toBe(pool.stats.idleBytes);
  });
});

describe("idle memory", () => {
  test("goes when it is old enough", () => {
    let now = 0;
    using pool = poolOf(8, { now: () => now });
    const [a, b] = [pool.acquire("float32", [1]), pool.acquire("float32", pagesOf(2))];
    a[Symbol.dispose]();
    now = 1_000;
    b[Symbol.dispose]();
    pool.trimIdle(500);
    expect(pool.stats).toMatchObject({ idleBytes: 2 * page, trimmed: 1 });
    pool.trimIdle();
    expect(pool.stats).toMatchObject({ idleBytes: 0, trimmed: 2 });
  });
});

describe("closing", () => {
  test("gives idle memory back, and the rest when it comes back", () => {
    const pool = poolOf(8);
    pool.acquire("float32", pagesOf(2))[Symbol.dispose]();
    const lease = pool.acquire("float32", [1]);
    const ticket = pool.quarantine(pool.acquire("float32", [2]));
    pool[Symbol.dispose]();
    pool[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ idleBytes: 0, heldBytes: 2 * page });
    lease.bytes[0] = 1; // still good
    lease[Symbol.dispose]();
    expect(pool.stats.heldBytes).toBe(page);
    ticket.release();
    expect(pool.stats).toMatchObject({ heldBytes: 0, freedBytes: pool.stats.allocatedBytes });
  });

  test("ends the lending", () => {
    const pool = poolOf(8);
    pool[Symbol.dispose]();
    expect(describeError(errorOf(() => pool.acquire("float32", [1])))).toBe(
      "UNAVAILABLE: Cannot lend a buffer: the pool is closed",
    );
  });
});

describe("in debug", () => {
  test("an array used after its return is empty, instead of somebody else's", () => {
    using pool = poolOf(8, { debug: true });
    const lease = pool.acquire("uint8", [4]);
    const { bytes } = lease;
    bytes[0] = 1;
    lease[Symbol.dispose]();
    expect(bytes.byteLength).toBe(0);
    using next = pool.acquire("uint8", [4]);
    expect([...next.bytes]).toEqual([1, 0, 0, 0]);
  });

  test("a lease that vanishes unreturned is counted, logged with its place, and freed with the pool", async () => {
    const logged: LogFields[] = [];
    const telemetry: Telemetry = {
      log: (level, message, fields) => {
        logged.push({ level, message, ...fields });
      },
    };
    const pool = poolOf(64, { debug: true, telemetry });
    leak(pool);
    await collected(() => pool.stats.leaked >= 10);
    expect(logged[0]).toMatchObject({
      level: "warn",
      message: "buffer leaked",
      key: "float32 4",
      acquiredAt: expect.stringContaining("leak"),
    });
    const { leaked, lentCount } = pool.stats;
    expect(lentCount).toBe(20); // still lent: a view may outlive its lease
    pool[Symbol.dispose]();
    expect(pool.stats.lentCount).toBe(20 - leaked);
  });

  test("a lease that is returned or quarantined is no leak", async () => {
    using pool = poolOf(64, { debug: true });
    for (let i = 0; i < 20; i++) {
      pool.acquire("float32", [4])[Symbol.dispose]();
      pool.quarantine(pool.acquire("float32", [4])).release();
    }
    Bun.gc(true);
    await Promise.resolve();
    Bun.gc(true);
    expect(pool.stats).toMatchObject({ leaked: 0, lentCount: 0 });
  });
});

test("the limits that hold when nothing is said are within one another", () => {
  expect(bufferPoolDefaults.quarantineBytes).toBeLessThan(bufferPoolDefaults.capacityBytes);
  expect(bufferPoolDefaults.maxBlocks).toBeLessThan(65_000);
});

function leak(pool: BufferPool): void {
  for (let i = 0; i < 20; i++) pool.acquire("float32", [4]);
}

/** Collects until the finalizers have run: they do so in their own time. */
async function collected(isDone: () => boolean): Promise<void> {
  for (let round = 0; round < 200 && !isDone(); round++) {
    Bun.gc(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isDone()).toBe(true);
}
