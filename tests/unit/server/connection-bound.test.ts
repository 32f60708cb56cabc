// When connections are closed, with counts that the test says.

import { expect, test } from "bun:test";
import { ConnectionBound, countOpenFiles } from "../../../src/server/connection-bound.ts";

test("idle connections are closed beyond the bound, and where no file can be opened any more", () => {
  let files: number | undefined = 30;
  const closedAt: (number | undefined)[] = [];
  const bound = new ConnectionBound(5, {
    countFiles: () => files,
    closeIdle() {
      closedAt.push(files);
      return 3;
    },
  });
  const closed = [30, 35, 36, undefined, 31].map((count) => {
    files = count;
    return bound.check();
  });
  expect({ closed, closedAt }).toEqual({ closed: [0, 0, 3, 3, 0], closedAt: [36, undefined] });
});

test("an open file counts", async () => {
  const before = countOpenFiles() ?? 0;
  const { openSync, closeSync } = await import("node:fs");
  const descriptors = Array.from({ length: 8 }, () => openSync("/dev/null", "r"));
  expect(countOpenFiles()).toBe(before + 8);
  for (const descriptor of descriptors) closeSync(descriptor);
});
