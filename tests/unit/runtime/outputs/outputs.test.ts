import { afterEach, describe, expect, jest, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { LogFields, Telemetry } from "../../../../src/core/telemetry.ts";
import { BufferPool } from "../../../../src/runtime/buffers/buffer-pool.ts";
import {
  type MappedOutput,
  OutputStore,
  type OutputStoreOptions,
} from "../../../../src/runtime/outputs/outputs.ts";
import { openSharedOutput } from "../../../../src/runtime/outputs/shared-output.ts";
import { describeError, errorOf } from "../../../support/codec-fixtures.ts";
import { tempFolder } from "../../../support/temp.ts";

const linux = process.platform === "linux";
const kinds = linux ? (["memory", "file"] as const) : (["file"] as const);

/** A store in a folder of its own, with results above 1,000 bytes mapped. */
function openStore(options: Partial<OutputStoreOptions> = {}) {
  const temp = tempFolder();
  const buffers = new BufferPool();
  const folder = join(temp.path, "outputs");
  const store = new OutputStore({ folder, buffers, maxInlineBytes: 1_000, ...options });
  return {
    store,
    buffers,
    folder,
    [Symbol.dispose]() {
      store[Symbol.dispose]();
      buffers[Symbol.dispose]();
      temp[Symbol.dispose]();
    },
  };
}

function acquireMapped(store: OutputStore, byteLength = 100_000): MappedOutput {
  const lease = store.acquire("uint8", [byteLength]);
  if (lease.kind !== "mapped") throw new Error("not mapped");
  return lease;
}

/** Names of what is published, without the lock. */
function publishedIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) =>
    readdirSync(join(folder, name)).filter((file) => file !== "lock"),
  );
}

describe("a result", () => {
  test("travels inline up to the limit, and is mapped above it", () => {
    using opened = openStore();
    const { store, buffers } = opened;
    using small = store.acquire("float32", [250]);
    using large = store.acquire("float32", [251]);
    expect([small.kind, large.kind]).toEqual(["inline", "mapped"]);
    expect(small.tensor).toMatchObject({ dtype: "float32", shape: [250] });
    expect(large.tensor).toMatchObject({ dtype: "float32", shape: [251] });
    expect([small.bytes.byteLength, large.bytes.byteLength]).toEqual([1_000, 1_004]);
    expect(small.address).toBeGreaterThan(0);
    expect(large.address).toBeGreaterThan(0);
    expect(buffers.stats.lentCount).toBe(1);
    expect(store.stats).toMatchObject({ inline: 1, mapped: { lentCount: 1, lentBytes: 1_004 } });
  });

  test("of 10 MB is inline by default, and one byte more is not", () => {
    using temp = tempFolder();
    using buffers = new BufferPool();
    using store = new OutputStore({ folder: join(temp.path, "outputs"), buffers });
    using inline = store.acquire("uint8", [10_000_000]);
    using mapped = store.acquire("uint8", [10_000_001]);
    expect([inline.kind, mapped.kind]).toEqual(["inline", "mapped"]);
  });

  test("that nobody publishes leaves no trace on the disk", () => {
    using opened = openStore();
    acquireMapped(opened.store)[Symbol.dispose]();
    expect(() => lstatSync(opened.folder)).toThrow("ENOENT");
  });

  test("of an untrusted shape is checked first", () => {
    using opened = openStore();
    expect(describeError(errorOf(() => opened.store.acquire("float32", [2 ** 40, 2 ** 40])))).toBe(
      `BAD_INPUT: Cannot lend an output for float32 [${2 ** 40}, ${2 ** 40}]: it has more bytes than can be counted`,
    );
  });

  test("that was returned cannot be used, published, handed over or quarantined", () => {
    using opened = openStore();
    const { store } = opened;
    for (const byteLength of [10, 100_000]) {
      const lease = store.acquire("uint8", [byteLength]);
      lease[Symbol.dispose]();
      lease[Symbol.dispose]();
      expect(lease.isReturned).toBe(true);
      for (const use of [() => lease.bytes, () => lease.tensor, () => store.quarantine(lease)])
        expect(errorOf(use).code).toBe("INTERNAL");
      if (lease.kind === "inline") continue;
      expect(errorOf(() => lease.publish()).code).toBe("INTERNAL");
      expect(errorOf(() => store.handOver(lease)).code).toBe("INTERNAL");
      expect(errorOf(() => lease.address).code).toBe("INTERNAL");
    }
  });

  test("that no store lent is refused", () => {
    using opened = openStore();
    const forged = { kind: "mapped" } as unknown as MappedOutput;
    expect(describeError(errorOf(() => opened.store.handOver(forged)))).toBe(
      "INTERNAL: Cannot take an output that is no mapped lease of a store",
    );
  });
});

for (const kind of kinds) {
  describe(`a mapped output of kind "${kind}"`, () => {
    test("is published under a name of its own, in a folder for its owner alone", () => {
      using opened = openStore({ kind });
      const { store, folder } = opened;
      using lease = acquireMapped(store);
      lease.bytes.fill(7);
      const output = lease.publish();
      expect(lease.publish()).toEqual(output);
      expect(output).toMatchObject({
        dtype: "uint8",
        shape: [100_000],
        byteLength: 100_000,
        pid: process.pid,
      });
      expect(JSON.parse(JSON.stringify(output))).toEqual(output);
      const [subfolder = ""] = readdirSync(folder);
      for (const path of [folder, join(folder, subfolder)]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
      for (const path of [output.path, ...(linux ? [output.descriptorPath ?? ""] : [])]) {
        const content = readFileSync(path);
        expect(content.byteLength).toBe(100_000);
        expect(content.every((value) => value === 7)).toBe(true);
      }
      expect(store.stats.published).toBe(1);
    });

    test("loses its name when it is returned, and its memory serves the next", () => {
      using opened = openStore({ kind });
      const { store, folder } = opened;
      const first = acquireMapped(store);
      const { address } = first;
      const { path } = first.publish();
      first[Symbol.dispose]();
      expect(() => lstatSync(path)).toThrow("ENOENT");
      using second = acquireMapped(store);
      if (linux) expect(second.address).toBe(address);
      second.bytes.fill(9);
      const again = second.publish();
      expect(again.path).not.toBe(path);
      expect(readFileSync(again.path).every((value) => value === 9)).toBe(true);
      expect(publishedIn(folder)).toHaveLength(1);
      if (linux) expect(store.stats.mapped).toMatchObject({ hits: 1, dropped: 0 });
    });

    test("is never written again while somebody has it open", () => {
      using opened = openStore({ kind });
      const { store } = opened;
      const first = acquireMapped(store);
      first.bytes.fill(1);
      using reader = openSharedOutput(first.publish());
      first[Symbol.dispose]();
      using second = acquireMapped(store);
      second.bytes.fill(2);
      second.publish();
      expect(reader.tensor.bytes.every((value) => value === 1)).toBe(true);
    });

    test("leaves nothing behind, though ten thousand come and go", () => {
      using opened = openStore({ kind });
      const { store, folder } = opened;
      let wrong = 0;
      for (let i = 0; i < 10_000; i++) {
        using lease = acquireMapped(store, 5_000);
        lease.bytes.fill(i % 251, 0, 4);
        const { path } = lease.publish();
        if (i % 1_000 === 0 && readFileSync(path)[3] !== i % 251) wrong++;
      }
      expect(wrong).toBe(0);
      expect(publishedIn(folder).filter((name) => !name.startsWith("."))).toEqual([]);
      expect(store.stats).toMatchObject({ published: 10_000, mapped: { lentCount: 0 } });
      if (linux) expect(store.stats.mapped).toMatchObject({ allocations: 1, heldBytes: 5_000 });
      store[Symbol.dispose]();
      expect(readdirSync(folder)).toEqual([]);
    }, 30_000);

    test("that was put into quarantine is not lent again before the late completion", () => {
      using opened = openStore({ kind });
      const { store } = opened;
      const lease = acquireMapped(store);
      const { address } = lease;
      const { path } = lease.publish();
      const ticket = store.quarantine(lease);
      lease[Symbol.dispose]();
      expect(() => lstatSync(path)).toThrow("ENOENT");
      const next = acquireMapped(store);
      expect(next.address).not.toBe(address);
      next[Symbol.dispose]();
      expect(store.stats.mapped.quarantinedCount).toBe(1);
      ticket.release();
      expect(store.stats.mapped).toMatchObject({ quarantinedCount: 0, releasedLate: 1 });
    });

    test("stays good after the store was closed, until it is returned", () => {
      using opened = openStore({ kind });
      const { store, folder } = opened;
      const lease = acquireMapped(store);
      const other = acquireMapped(store, 200_000);
      lease.bytes.fill(3);
      const { path } = lease.publish();
      store[Symbol.dispose]();
      store[Symbol.dispose]();
      expect(() => lstatSync(path)).toThrow("ENOENT");
      expect(readdirSync(folder)).toEqual([]);
      expect(lease.bytes[99_999]).toBe(3);
      expect(describeError(errorOf(() => other.publish()))).toBe(
        "UNAVAILABLE: Cannot publish an output: the store is closed",
      );
      expect(errorOf(() => acquireMapped(store)).code).toBe("UNAVAILABLE");
      lease[Symbol.dispose]();
      other[Symbol.dispose]();
      expect(store.stats.mapped.heldBytes).toBe(0);
      expect(readdirSync(folder)).toEqual([]);
    });

    test("that cannot be published is an error, and can be published once the folder is back", () => {
      using opened = openStore({ kind });
      const { store, folder } = opened;
      using lease = acquireMapped(store);
      lease.publish();
      const [subfolder = ""] = readdirSync(folder);
      rmSync(join(folder, subfolder), { recursive: true });
      using next = acquireMapped(store, 2_000);
      expect(describeError(errorOf(() => next.publish()))).toBe(
        `IO: Cannot publish an output in ${join(folder, subfolder)}: ENOENT`,
      );
      mkdirSync(join(folder, subfolder), { mode: 0o700 });
      expect(readFileSync(next.publish().path).byteLength).toBe(2_000);
      lease[Symbol.dispose](); // its name was taken from under it
      expect(store.stats.mapped.lentCount).toBe(1);
    });
  });
}

describe("an output that is handed over", () => {
  test("outlives its lease, until it is too old", () => {
    let now = 0;
    using opened = openStore({ now: () => now, maxAgeMs: 1_000 });
    const { store } = opened;
    const lease = acquireMapped(store);
    lease.bytes.fill(4);
    const output = store.handOver(lease);
    lease[Symbol.dispose](); // by the caller's `using`: harmless
    expect(lease.isReturned).toBe(true);
    now = 999;
    store.trim();
    expect(readFileSync(output.path)[0]).toBe(4);
    expect(store.stats).toMatchObject({ handedOver: 1, handedOverBytes: 100_000 });
    now = 1_000;
    store.trim();
    expect(() => lstatSync(output.path)).toThrow("ENOENT");
    expect(store.stats).toMatchObject({ handedOver: 0, handedOverBytes: 0, mapped: { lentCount: 0 } });
  });

  test("goes when the room is needed, the oldest first", () => {
    using opened = openStore({ limits: { capacityBytes: 250_000 } });
    const { store } = opened;
    const [first, second] = [store.handOver(acquireMapped(store)), store.handOver(acquireMapped(store))];
    using third = acquireMapped(store);
    expect(third.isReturned).toBe(false);
    expect(() => lstatSync(first.path)).toThrow("ENOENT");
    expect(lstatSync(second.path).size).toBeGreaterThan(0);
  });

  test("does not go for what could not be lent all the same", () => {
    using opened = openStore({ limits: { capacityBytes: 250_000, quarantineCount: 0 } });
    const { store } = opened;
    const output = store.handOver(acquireMapped(store));
    const ticket = store.quarantine(acquireMapped(store));
    expect(errorOf(() => acquireMapped(store)).code).toBe("OVERLOADED"); // the quarantine is full
    expect(errorOf(() => acquireMapped(store, 250_001)).code).toBe("UNSUPPORTED");
    expect(lstatSync(output.path).size).toBeGreaterThan(0);
    ticket.release();
  });

  test("can be taken back by its path", () => {
    using opened = openStore();
    const { store } = opened;
    const [first, second] = [store.handOver(acquireMapped(store)), store.handOver(acquireMapped(store))];
    expect([store.takeBack(second.path), store.takeBack(second.path), store.takeBack("elsewhere")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(() => lstatSync(second.path)).toThrow("ENOENT");
    expect(lstatSync(first.path).size).toBeGreaterThan(0);
  });

  test("goes with the store", () => {
    using opened = openStore();
    const { path } = opened.store.handOver(acquireMapped(opened.store));
    opened.store[Symbol.dispose]();
    expect(() => lstatSync(path)).toThrow("ENOENT");
    expect(opened.store.stats).toMatchObject({ handedOver: 0, mapped: { heldBytes: 0 } });
  });
});

describe("by itself", () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  test("a store gives back what nobody used for long", () => {
    jest.useFakeTimers();
    let now = 0;
    using opened = openStore({ now: () => now, maxAgeMs: 1_000 });
    const { store } = opened;
    store.handOver(acquireMapped(store));
    acquireMapped(store, 200_000)[Symbol.dispose]();
    for (let round = 1; round <= 3; round++) {
      now += 1_000;
      jest.advanceTimersByTime(1_000);
    }
    expect(store.stats).toMatchObject({ handedOver: 0, mapped: { heldBytes: 0 } });
  });

  test("a store that keeps everything for ever sets no timer", () => {
    jest.useFakeTimers();
    using opened = openStore({ maxAgeMs: Number.POSITIVE_INFINITY });
    acquireMapped(opened.store)[Symbol.dispose]();
    jest.advanceTimersByTime(1_000_000);
    expect(opened.store.stats.mapped.idleCount).toBe(1);
  });
});

describe("the guard", () => {
  test("removes the name of an output whose lease vanished, counts it, and frees it with the store", async () => {
    const logged: LogFields[] = [];
    const telemetry: Telemetry = {
      log: (level, message, fields) => {
        logged.push({ level, message, ...fields });
      },
    };
    using opened = openStore({ telemetry });
    const { store, folder } = opened;
    publishAndForget(store, 20);
    for (let round = 0; round < 200 && store.stats.mapped.leaked < 10; round++) {
      Bun.gc(true);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { leaked } = store.stats.mapped;
    expect(leaked).toBeGreaterThanOrEqual(10);
    expect(publishedIn(folder).filter((name) => !name.startsWith("."))).toHaveLength(20 - leaked);
    expect(logged[0]).toEqual({ level: "warn", message: "mapped output leaked", bytes: 2_000 });
    store[Symbol.dispose]();
    expect(store.stats.mapped.lentCount).toBe(20 - leaked);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("the folder", () => {
  test("is refused when it is a link, at the start where it is there, else when it is first used", () => {
    using temp = tempFolder();
    using buffers = new BufferPool();
    mkdirSync(join(temp.path, "elsewhere"), { mode: 0o700 });
    const folder = join(temp.path, "link");
    const options = { folder, buffers, maxInlineBytes: 0 };
    using late = new OutputStore(options);
    symlinkSync("elsewhere", folder);
    const message = `IO: Cannot use the folder ${folder}: it is a link`;
    expect(describeError(errorOf(() => new OutputStore(options)))).toBe(message);
    using lease = acquireMapped(late);
    expect(describeError(errorOf(() => lease.publish()))).toBe(message);
    expect(readdirSync(join(temp.path, "elsewhere"))).toEqual([]);
  });
});

function publishAndForget(store: OutputStore, count: number): void {
  for (let i = 0; i < count; i++) acquireMapped(store, 2_000).publish();
}
