// States by sequence, over the socket: the counter example and the stateful fixture.

import { afterAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { serveModels } from "../support/server/serve.ts";

const counter = resolve(import.meta.dir, "../../examples/counter/Counter.mlpackage");
const served = await serveModels([{ name: "counter", path: counter }], {
  limits: { maxSequences: 2, sequenceIdleMs: 60_000 },
});
afterAll(() => served[Symbol.asyncDispose]());

async function step(amount: number, parameters: Readonly<Record<string, unknown>> = {}) {
  const { status, json } = await served.post("/v2/models/counter/infer", {
    parameters,
    inputs: [{ name: "amount", datatype: "FP32", shape: [1], data: [amount] }],
    outputs: [{ name: "total" }],
  });
  const {
    outputs,
    error,
    parameters: echo,
  } = json as {
    readonly outputs?: readonly { readonly data: readonly number[] }[];
    readonly error?: string;
    readonly parameters?: unknown;
  };
  return { status, total: outputs?.[0]?.data[0], error, echo };
}

test("a sequence keeps its state from start to end, beside another", async () => {
  const first = { sequence_id: 7 };
  const second = { sequence_id: "seven" };
  expect(await step(1, { ...first, sequence_start: true })).toEqual({
    status: 200,
    total: 1,
    error: undefined,
    echo: { sequence_id: 7, sequence_start: true, sequence_end: false },
  });
  expect((await step(10, { ...second, sequence_start: true })).total).toBe(10);
  expect((await step(2, first)).total).toBe(3);
  expect((await step(20, second)).total).toBe(30);
  expect((await step(4, { ...first, sequence_end: true })).total).toBe(7);
  expect(await step(4, first)).toMatchObject({
    status: 400,
    error:
      "inference request for sequence 7 to model 'counter' must specify the START flag on the first request of the sequence",
  });
  expect((await step(0, { ...second, sequence_end: true })).total).toBe(30);
});

test("requests without a sequence begin at zero, each", async () => {
  expect((await step(3)).total).toBe(3);
  expect((await step(3, { sequence_id: 0 })).total).toBe(3);
});

test("many requests of one sequence at once are all counted", async () => {
  await step(0, { sequence_id: 1, sequence_start: true });
  const amounts = Array.from({ length: 20 }, () => step(1, { sequence_id: 1 }));
  const totals = (await Promise.all(amounts)).map(({ total }) => total);
  expect(totals.toSorted((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  expect((await step(0, { sequence_id: 1, sequence_end: true })).total).toBe(20);
});

test("beyond the bound a sequence is refused, and told when to come again", async () => {
  for (const id of [1, 2]) await step(0, { sequence_id: id, sequence_start: true });
  expect(await step(0, { sequence_id: 3, sequence_start: true })).toMatchObject({
    status: 429,
    error: "Model 'counter' has no room for more than 2 sequences",
  });
  for (const id of [1, 2]) await step(0, { sequence_id: id, sequence_end: true });
});

test.each([
  [{ sequence_start: true }, "sequence_start and sequence_end need a sequence_id"],
  [{ sequence_id: 1.5 }, "sequence_id must be a whole number or a text of up to 1024 characters"],
  [{ sequence_id: 1, sequence_start: 1 }, 'parameter "sequence_start" must be true or false, got 1'],
])("%p is refused", async (parameters, message) => {
  expect(await step(0, parameters)).toMatchObject({
    status: 400,
    error: `Cannot read the request: ${message}`,
  });
});

test("the configuration says how long a sequence may be idle", async () => {
  expect((await served.get("/v2/models/counter/config")).json).toMatchObject({
    sequence_batching: { max_sequence_idle_microseconds: 60_000_000 },
  });
});
