import { describe, expect, test } from "bun:test";
import type { InputOptions } from "../../../src/cli/inputs.ts";
import {
  nameStates,
  readCarry,
  readSequenceFlags,
  type SequenceFlags,
  stepInputOptions,
} from "../../../src/cli/sequence-options.ts";
import type { FeatureDescription } from "../../../src/core/model.ts";
import { elementsOf, isTensor } from "../../../src/core/tensor.ts";
import { arrayType, describeError, errorOf, feature } from "../../support/codec-fixtures.ts";
import { testIo } from "../../support/io.ts";

const none: SequenceFlags = {
  steps: undefined,
  "keep-state": false,
  state: [],
  "save-state": undefined,
  carry: [],
  repeat: "1",
  "output-dir": undefined,
};
const read = (flags: Partial<SequenceFlags>) => readSequenceFlags({ ...none, ...flags });
const refusal = (flags: Partial<SequenceFlags>) => describeError(errorOf(() => read(flags)));

describe("the flags of sequences", () => {
  test("are settings where any is given", () => {
    expect(read({ repeat: "5" })).toBeUndefined();
    expect(read({ steps: "3", carry: ["a:b"] })).toEqual({
      steps: 3,
      keepsState: false,
      states: [],
      saveTo: undefined,
      carries: ["a:b"],
    });
    expect(read({ "keep-state": true })?.keepsState).toBe(true);
    expect(read({ state: ["a=1"] })?.states).toEqual(["a=1"]);
    expect(read({ "save-state": "x", "output-dir": "y" })?.saveTo).toBe("x");
  });

  test("that do not go together are refused", () => {
    expect(refusal({ steps: "0" })).toBe(
      'USAGE: Cannot read --steps "0": it must be a whole number of at least 1',
    );
    expect(refusal({ steps: "2", "keep-state": true })).toBe(
      "USAGE: Options --steps and --keep-state exclude each other",
    );
    expect(refusal({ carry: ["a:b"] })).toBe("USAGE: Option --carry needs several steps");
    expect(refusal({ state: ["a=1"], repeat: "2" })).toBe(
      "USAGE: Option --repeat does not go with states and sequences",
    );
    expect(refusal({ "save-state": "out/", "output-dir": "./out" })).toBe(
      "USAGE: Options --save-state and --output-dir need folders of their own",
    );
  });
});

const array = arrayType("float32", [2]);

describe("OUTPUT:INPUT", () => {
  const model = {
    inputs: [feature(array, "h"), feature(array, "in:h")],
    outputs: [feature(array, "next_h"), feature(array, "out:1")],
  };
  const failure = (text: string) => errorOf(() => readCarry(text, model));

  test("names an output and an input, also with colons in their names", () => {
    expect(readCarry("next_h:h", model)).toEqual({ output: "next_h", input: "h" });
    expect(readCarry("out:1:in:h", model)).toEqual({ output: "out:1", input: "in:h" });
  });

  test("has a colon, and something on both sides", () => {
    for (const text of ["next_h", ":h", "next_h:"]) {
      expect(describeError(failure(text))).toBe(
        `USAGE: Cannot read --carry "${text}": it must be OUTPUT:INPUT`,
      );
    }
  });

  test("with unknown names is answered with those meant", () => {
    expect(failure("nxt_h:h")).toMatchObject({
      code: "BAD_INPUT",
      message: 'Cannot carry "nxt_h:h": the model has no output "nxt_h"',
      hint: 'Did you mean "next_h"?',
    });
    expect(failure("next_h:x")).toMatchObject({
      message: 'Cannot carry "next_h:x": the model has no input "x"',
      hint: 'Did you mean "h"?',
    });
    expect(failure("next_h:unknown").hint).toBe('The inputs are: "h", "in:h"');
    expect(failure("h:next_h").hint).toBe("The output comes first: --carry next_h:h");
  });
});

describe("a state's start value", () => {
  const states = ["memory", "cache"].map((name) => feature({ kind: "state", array }, name));

  test("names its state, or is for the only one", () => {
    expect(nameStates(["memory=1", "cache=x.npy"], states)).toEqual(["memory=1", "cache=x.npy"]);
    expect(nameStates(["[1, 2]"], states.slice(0, 1))).toEqual(["memory=[1, 2]"]);
  });

  test("for a state that is not there, or without a name among several, is refused", () => {
    const failure = (spec: string, of: readonly FeatureDescription[] = states) =>
      errorOf(() => nameStates([spec], of));
    expect(failure("memry=1")).toMatchObject({
      message: 'Unknown state "memry"',
      hint: 'Did you mean "memory"?',
    });
    expect(failure("x=1", states.slice(0, 1)).hint).toBe('The states are: "memory"');
    expect(failure("0")).toMatchObject({
      message: 'Cannot tell which state "0" is for: the model has 2',
      hint: "Write --state NAME=VALUE",
    });
  });
});

describe("inputs that may have a value for each step", () => {
  const input = (type: FeatureDescription["type"], name = "x") => feature(type, name);
  const base: InputOptions = {
    inputs: [],
    fit: "stretch",
    isMixdown: false,
    resampleHz: undefined,
    seed: 0,
    io: testIo(),
    log() {},
  };
  const { convert, generate } = stepInputOptions(base, 3, [{ output: "y", input: "h" }]);
  if (convert === undefined || generate === undefined) throw new Error("not made");

  test("are not looked at while they are read", () => {
    expect(convert("anything", input(array))).toBe("anything");
  });

  test("are random at every step, each as its seed says", () => {
    const all = generate(input(array), "random", { seed: 5 });
    if (!isTensor(all)) throw new Error("no array");
    expect(all.shape).toEqual([3, 2]);
    const { generate: one } = stepInputOptions(base, 1, []);
    const rows = [5, 6, 7].map((seed) => one?.(input(array), "random", { seed }));
    expect([...elementsOf(all)]).toEqual(
      rows.flatMap((row) => (row !== undefined && isTensor(row) ? [...elementsOf(row)].map(Number) : [])),
    );
    expect(generate(input({ kind: "double" }), "random")).toMatchObject({ dtype: "float64", shape: [3] });
    expect(generate(input({ kind: "int64" }), "random")).toMatchObject({ dtype: "int64", shape: [3] });
  });

  test("are one value where that is the same, or carried later, or no array", () => {
    expect(generate(input(array), "ones")).toMatchObject({ shape: [2] });
    expect(generate(input(array, "h"), "random")).toMatchObject({ shape: [2] });
    expect(generate(input({ kind: "string" }), "random")).toBeString();
  });
});
