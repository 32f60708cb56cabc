import { describe, expect, test } from "bun:test";
import { tooLate } from "../../../../src/runtime/pool/deadline.ts";

describe("a call that is not started", () => {
  test("with time left, says what the queue took of it and what a run may take", () => {
    const patience = { timeoutMs: 500, deadline: performance.now() + 60_000 };
    const { code, message, details } = tooLate("predict", patience, { queueMs: 479.6, neededMs: 24.2 });
    expect({ code, message, details }).toEqual({
      code: "DEADLINE",
      message: "Cannot predict: 480 of 500 ms went by in the queue, and a run may take 25 ms",
      details: { timeoutMs: 500, stage: "waiting", queueMs: 479.6, neededMs: 24.2 },
    });
  });

  test.each([
    ["with no time left", -1, 24],
    ["when nothing is known of runs", 60_000, 0],
  ])("%s, says that the deadline passed in the queue", (_, leftMs, neededMs) => {
    const patience = { timeoutMs: 500, deadline: performance.now() + leftMs };
    const { message, details } = tooLate("predict", patience, { queueMs: 500, neededMs });
    expect({ message, details }).toEqual({
      message: "Cannot predict: no answer within 500 ms",
      details: { timeoutMs: 500, stage: "waiting" },
    });
  });
});
