// State ops on programs written by hand; whole packages with states are in tests/models/packages.test.ts.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../src/core/errors.ts";
import { type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { MilFunction } from "../../src/formats/mil.ts";
import { type Lowered, lower } from "../../src/lowering/lower.ts";
import { serializeModel } from "../../src/onnx/serialize.ts";
import { expectAllClose } from "../support/close.ts";
import { milBlock, milFunction, milOp, stateType, tensorType } from "../support/mil-program.ts";
import { portableRuntime } from "../support/portable.ts";

const half = tensorType("float16", [2]);
const inputs = { x: half, memory: stateType("float16", [2]) };
const read = (name: string) => milOp("read_state", { input: "=memory" }, { [name]: half });
const write = (name: string) => milOp("write_state", { input: "=memory", data: `=${name}` });
const add = milOp("add", { x: "=old", y: "=x" }, { sum: half });

/** Feeds x once, with a state of [10, 20]: results and states by feature name. */
async function once(fn: MilFunction): Promise<Readonly<Record<string, Tensor>>> {
  const lowered = lower(fn);
  const runtime = await portableRuntime();
  using session = runtime.createSession(serializeModel(lowered.graph).bytes, { threads: 1 });
  const given = new Map<string, Tensor>();
  for (const { feature, name } of lowered.inputs) given.set(name, feature === "p" ? truth : x);
  for (const { input } of lowered.states) given.set(input, tensorOf("float16", [10, 20]));
  const results = session.run(given);
  return Object.fromEntries(
    ports(lowered).flatMap(([feature, name]) => {
      const tensor = results.get(name);
      return tensor ? [[feature, tensor]] : [];
    }),
  );
}

function ports({ outputs, states }: Lowered): readonly (readonly [string, string])[] {
  return [
    ...outputs.map(({ feature, name }) => [feature, name] as const),
    ...states.flatMap(({ feature, output }) => (output === undefined ? [] : [[feature, output] as const])),
  ];
}

const x = tensorOf("float16", [1, 2]);
const truth = tensorOf("bool", [1], []);

describe("states", () => {
  test("read, changed and written back", async () => {
    const fn = milFunction(inputs, [read("old"), add, write("sum")], ["sum"]);
    const sum = tensorOf("float16", [11, 22]);
    expectAllClose(await once(fn), { sum, memory: sum });
  });

  test("reads see what was written before them, not after", async () => {
    const fn = milFunction(inputs, [read("old"), write("x"), read("new")], ["old", "new"]);
    expectAllClose(await once(fn), { old: tensorOf("float16", [10, 20]), new: x, memory: x });
  });

  test("the dialect's op writes and reads", async () => {
    const update = milOp("coreml_update_state", { state: "=memory", value: "=sum" }, { y: half });
    const sum = tensorOf("float16", [11, 22]);
    expectAllClose(await once(milFunction(inputs, [read("old"), add, update], ["y"])), {
      y: sum,
      memory: sum,
    });
  });

  test("that are only read have no output", () => {
    const { states } = lower(milFunction(inputs, [read("old"), add], ["sum"]));
    expect(states).toEqual([
      { feature: "memory", dtype: "float16", shape: [2], input: "memory", output: undefined },
    ]);
  });

  test("written in one branch keep their value in the other", async () => {
    const writes = milBlock({}, [write("x")], []);
    const nothing = milBlock({}, [], []);
    const fn = (blocks: Parameters<typeof milOp>[3]) =>
      milFunction(
        { ...inputs, p: tensorType("bool", []) },
        [milOp("cond", { pred: "=p" }, {}, blocks), read("y")],
        ["y"],
      );
    const kept = tensorOf("float16", [10, 20]);
    expectAllClose(await once(fn([writes, nothing])), { y: x, memory: x });
    expectAllClose(await once(fn([nothing, writes])), { y: kept, memory: kept });
    const still = lower(fn([nothing, nothing]));
    expect(still.graph.nodes.map(({ op }) => op)).not.toContain("If");
  });

  test("written in a branch that is known are written for all", async () => {
    const block = milBlock({}, [write("x")], []);
    const cond = milOp("cond", { pred: true }, {}, [block, block]);
    expectAllClose(await once(milFunction(inputs, [cond, read("y")], ["y"])), { y: x, memory: x });
  });

  test("refuse other shapes, and names that are no states", () => {
    const messages = [
      milFunction({ ...inputs, z: tensorType("float16", [3]) }, [write("z")], []),
      milFunction(inputs, [milOp("read_state", { input: "=x" }, { y: half })], ["y"]),
      milFunction(inputs, [milOp("write_state", { input: "=x", data: "=x" })], []),
      milFunction(inputs, [milOp("write_state", { data: "=x" })], []),
      milFunction(inputs, [milOp("read_state", { input: 3 }, { y: half })], ["y"]),
      milFunction(
        { ...inputs, p: tensorType("bool", []) },
        [
          milOp("cond", { pred: "=p" }, {}, [
            milBlock({}, [milOp("write_state", { input: "=x", data: "=x" })], []),
            milBlock({}, [], []),
          ]),
        ],
        [],
      ),
    ].map((fn) => {
      try {
        lower(fn);
        return "lowered";
      } catch (error) {
        return error instanceof CoremlxError ? error.message : String(error);
      }
    });
    expect(messages).toEqual([
      'Cannot lower write_state "write_state": state "memory" has shape [2], the value written [3]',
      'Cannot lower read_state "y": "x" is not a state',
      'Cannot lower write_state "write_state": "x" is not a state',
      'Cannot lower write_state "write_state": input "input" is missing',
      'Cannot lower read_state "y": input "input" must name a value',
      'Cannot lower write_state "write_state": "x" is not a state',
    ]);
  });
});
