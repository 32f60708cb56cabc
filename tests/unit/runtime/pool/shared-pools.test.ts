import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import fc from "fast-check";
import { type PoolPlan, SharedPools } from "../../../support/runtime/shared-pools.ts";

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const resources = { ane: 1, cpu: 3 };

const plan: fc.Arbitrary<PoolPlan> = fc.record({
  takes: fc.constantFrom<PoolPlan["takes"]>(
    {},
    { ane: 1 },
    { cpu: 1 },
    { cpu: 3 },
    { ane: 1, cpu: 1 },
    { ane: 1, cpu: 2 },
  ),
  weight: fc.constantFrom(0.5, 1, 3),
  maximum: fc.integer({ min: 1, max: 3 }),
  isKillable: fc.boolean(),
  hasQueueTimeout: fc.boolean(),
});

const pick = fc.nat(3);
const which = fc.nat(9);
const step = fc.oneof(
  { weight: 30, arbitrary: fc.record({ kind: fc.constant("acquire" as const), pick, priority: fc.nat(2) }) },
  { weight: 20, arbitrary: fc.record({ kind: fc.constant("return" as const), pick, which }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("crash" as const), pick, which }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("cancel" as const), pick, which }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("give up" as const), pick, which }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("complete" as const), pick, which }) },
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant("time" as const), tens: fc.integer({ min: 1, max: 12 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("limit" as const), pick, which: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), pick }) },
);

test("any schedule over several models and resources keeps every promise and ends with everything returned", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(plan, { minLength: 1, maxLength: 4 }),
      fc.array(step, { maxLength: 80 }),
      async (plans, steps) => {
        const pools = new SharedPools(resources, plans);
        for (const each of steps) {
          if (each.kind === "acquire") pools.acquire(each.pick, each.priority);
          else if (each.kind === "return") pools.giveBack(each.pick, each.which, false);
          else if (each.kind === "crash") pools.giveBack(each.pick, each.which, true);
          else if (each.kind === "cancel") pools.abort(each.pick, each.which);
          else if (each.kind === "give up") pools.giveUp(each.pick, each.which);
          else if (each.kind === "complete") pools.complete(each.pick, each.which);
          else if (each.kind === "limit") pools.limit(each.pick, each.which);
          else if (each.kind === "close") pools.close(each.pick);
          else for (let ten = 0; ten < each.tens; ten++) await pools.pass(10);
          await pools.check();
        }
        await pools.finish();
      },
    ),
    { numRuns: 400, seed: 4 },
  );
  expect.hasAssertions();
});
