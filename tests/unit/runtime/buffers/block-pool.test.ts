import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { type Block, BlockPool, type BlockPoolOptions } from "../../../../src/runtime/buffers/block-pool.ts";
import { describeError, errorOf } from "../../../support/codec-fixtures.ts";

/** Blocks that only count their lives. */
class PaperBlock implements Block {
  readonly address = 1;
  readonly bytes = new Uint8Array(new ArrayBuffer(1));
  isDisposed = false;
  revokeViews(): void {}
  [Symbol.dispose](): void {
    this.isDisposed = true;
  }
}

function paperPool(
  source: Partial<BlockPoolOptions<PaperBlock>["source"]> = {},
  options: Partial<BlockPoolOptions<PaperBlock>> = {},
): BlockPool<PaperBlock> {
  return new BlockPool({
    capacityBytes: 100,
    maxBlocks: 100,
    maxIdlePerKey: 100,
    maxLentPerKey: 100,
    quarantineBytes: 100,
    quarantineCount: 100,
    revokesViews: false,
    now: () => 0,
    name: "paper",
    action: "Cannot lend paper",
    ...options,
    source: { blockBytes: (bytes) => bytes, create: () => new PaperBlock(), ...source },
  });
}

describe("a system that has no memory left", () => {
  test("is asked again once what lies idle was given back", () => {
    let idle: PaperBlock | undefined;
    using pool = paperPool({
      create: () => {
        if (idle?.isDisposed === false)
          throw new CoremlxError("OVERLOADED", "Cannot map 20 bytes of memory: ENOMEM");
        return new PaperBlock();
      },
    });
    const loan = pool.lend("small", 10);
    idle = loan.block;
    loan.return();
    expect(pool.lend("large", 20).block).toBeInstanceOf(PaperBlock);
    expect(pool.stats).toMatchObject({ trimmed: 1, lentBytes: 20, idleBytes: 0 });
  });

  test("is an error with its reason when that does not help, and nothing is counted as lent", () => {
    using pool = paperPool({
      create: () => {
        throw new CoremlxError("OVERLOADED", "Cannot map 20 bytes of memory: ENOMEM");
      },
    });
    expect(describeError(errorOf(() => pool.lend("large", 20)))).toBe(
      "OVERLOADED: Cannot lend paper: Cannot map 20 bytes of memory: ENOMEM",
    );
    expect(pool.stats).toMatchObject({ refused: 1, heldBytes: 0, allocations: 0, acquired: 0 });
  });

  test("is not confused with any other trouble, which goes to the caller as it is", () => {
    let attempts = 0;
    using pool = paperPool({
      create: () => {
        attempts++;
        throw new CoremlxError("IO", "Cannot reserve 20 bytes: ENOSPC");
      },
    });
    expect(describeError(errorOf(() => pool.lend("large", 20)))).toBe("IO: Cannot reserve 20 bytes: ENOSPC");
    expect(attempts).toBe(1);
  });
});

describe("a block that cannot be recovered", () => {
  test("is freed when it comes back, and its place is free", () => {
    using pool = paperPool({ recover: () => false });
    const loan = pool.lend("key", 100);
    loan.return();
    expect(loan.block.isDisposed).toBe(true);
    expect(pool.stats).toMatchObject({ dropped: 1, heldBytes: 0 });
    pool.lend("key", 100).return();
  });

  test("is freed as well when finding that out fails", () => {
    using pool = paperPool({
      recover: () => {
        throw new CoremlxError("IO", "Cannot duplicate a file descriptor: EMFILE");
      },
    });
    const loan = pool.lend("key", 100);
    loan.return();
    expect(loan.block.isDisposed).toBe(true);
    expect(pool.stats.heldBytes).toBe(0);
  });
});

test("keys that come and go do not pile up", () => {
  using pool = paperPool({}, { maxBlocks: 2 });
  for (let i = 0; i < 5_000; i++) pool.lend(`key ${i}`, 1 + (i % 50)).return();
  const { idleCount, heldBytes, acquired } = pool.stats;
  expect(acquired).toBe(5_000);
  expect(idleCount).toBeLessThanOrEqual(2);
  expect(heldBytes).toBeLessThanOrEqual(100);
});
