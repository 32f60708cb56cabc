// infer over sequences, in this process: what it prints, what it writes, what it refuses.

import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { runProgram } from "../../../src/cli/program.ts";
import { decodeNpy, decodeNpz, encodeNpy } from "../../../src/codecs/npy.ts";
import { f32, tensorOf } from "../../../src/core/tensor.ts";
import { testIo } from "../../support/io.ts";
import { writePictureModel, writeSlowModel, writeSumModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

const root = resolve(import.meta.dir, "../../..");
const counter = join(root, "examples/counter/Counter.mlpackage");
const digits = join(root, "examples/digits/Digits.mlpackage");
const cached = join(root, "tests/fixtures/packages/sequence.mlpackage");
const amounts = join(root, "examples/counter/amounts.npy"); // 3, 1.5, -2, 4
const days = ["monday", "tuesday", "wednesday"].map((day) => join(root, `examples/counter/${day}.json`));

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const place = (name: string) => join(folder.path, name);
const readNpy = (name: string) => decodeNpy(new Uint8Array(readFileSync(place(name))), name);

async function infer(...args: readonly string[]) {
  const io = testIo({ cwd: folder.path });
  const code = await runProgram(["infer", ...args], io);
  return { code, ...io.written };
}

interface Shown {
  readonly steps?: number;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly states?: unknown;
  readonly results?: readonly Shown[];
}

async function inferJson(...args: readonly string[]): Promise<Shown> {
  const { code, stdout, stderr } = await infer(...args, "--json");
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

async function fails(args: readonly string[], code: number, message: string, hint?: string): Promise<void> {
  const result = await infer(...args);
  const lines = result.stderr.trimEnd().split("\n");
  expect({ code: result.code, stdout: result.stdout, error: lines }).toEqual({
    code,
    stdout: "",
    error: [`error: ${message}`, ...(hint === undefined ? [] : [`hint: ${hint}`])],
  });
}

function data(shown: Shown | undefined, name: string): unknown {
  const output = shown?.outputs[name];
  return typeof output === "object" && output !== null && "data" in output ? output.data : undefined;
}
const total = (shown: Shown | undefined) => data(shown, "total");
const change = (shown: Shown | undefined) => data(shown, "change");

describe("--steps", () => {
  test("runs the steps of a file on one state", async () => {
    const shown = await inferJson(counter, amounts, "--steps", "4");
    expect(shown.steps).toBe(4);
    expect(shown.outputs["total"]).toEqual({
      dtype: "float16",
      shape: [4, 1],
      data: [[3], [4.5], [2.5], [6.5]],
    });
  });

  test("gives an input without the axis to every step", async () => {
    const shown = await inferJson(counter, amounts, "--steps", "4", "--input", "previous=1");
    expect(change(shown)).toEqual([[2], [0.5], [-3], [3]]);
    expect(total(await inferJson(counter, "--input", "2", "--steps", "3"))).toEqual([[2], [4], [6]]);
  });

  test("reads literals, archives and objects with a value for each step", async () => {
    expect(total(await inferJson(counter, "--input", "[1, 2, 4]", "--steps", "3"))).toEqual([[1], [3], [7]]);
    writeFileSync(place("all.json"), '{"amount": [[1], [2]], "previous": [[0], [1]]}');
    expect(change(await inferJson(counter, "all.json", "--steps", "2"))).toEqual([[1], [1]]);
  });

  test("says what it did on a terminal, and lists classes by step", async () => {
    const { stdout } = await infer(digits, "--steps", "2", "--input", "random", "--top", "2");
    expect(stdout).toMatch(/^classLabel: \[\d, \d\]\n/);
    expect(stdout).toMatch(/\nclassLabel_probs: 2 steps\n {2}step 1( {2}\d [\d.]+ %){2}\n {2}step 2/);
    expect(stdout).toMatch(/· 2 steps [\d.]+ m?s\n$/);
  });

  test("gives labels and dictionaries as lists", async () => {
    const shown = await inferJson(digits, "--steps", "2", "--input", "random");
    const { classLabel, classLabel_probs } = shown.outputs;
    expect(classLabel).toEqual([expect.stringMatching(/^\d$/), expect.stringMatching(/^\d$/)]);
    expect(classLabel_probs).toEqual([
      expect.objectContaining({ "0": expect.any(Number) }),
      expect.objectContaining({ "9": expect.any(Number) }),
    ]);
    const [first, second] = [classLabel_probs].flat();
    expect(first).not.toEqual(second); // other random pictures
  });

  test("shows the first twenty steps of a long list", async () => {
    const { stdout } = await infer(digits, "--steps", "25", "--input", "random");
    expect(stdout).toContain("step 20");
    expect(stdout).not.toContain("step 21");
    expect(stdout).toContain("… 5 more");
    expect(stdout).toMatch(/^classLabel: \[(\d, ){20}…\]/);
  });

  test("fills what is not given with other random values at every step, and says so", async () => {
    const { stdout, stderr, code } = await infer(
      counter,
      "--steps",
      "3",
      "--carry",
      "latest:previous",
      "--json",
    );
    expect(code).toBe(0);
    expect(stderr).toStartWith('no inputs given: "amount" filled with seeded random values\n');
    const shown: Shown = JSON.parse(stdout);
    const latest = [data(shown, "latest")].flat(2);
    expect(new Set(latest).size).toBe(3);
    expect([change(shown)].flat(2)[0]).toBe(latest[0]);
  });

  test("writes stacked arrays, pictures of all steps among them, and lists", async () => {
    expect((await infer(counter, amounts, "--steps", "4", "--output", "all.npz")).code).toBe(0);
    const stored = decodeNpz(new Uint8Array(readFileSync(place("all.npz"))), "all.npz");
    expect(stored.get("total")).toEqual(tensorOf("float16", [3, 4.5, 2.5, 6.5], [4, 1]));

    const picture = writePictureModel(place("picture.mlpackage"));
    const pixels = tensorOf(
      "uint8",
      Array.from({ length: 72 }, (_, i) => i),
      [2, 3, 4, 3],
    );
    writeFileSync(place("pixels.npy"), encodeNpy(pixels));
    const { stderr } = await infer(picture, "pixels.npy", "--steps", "2", "--output-dir", "pictures");
    expect(stderr).toBe("wrote pictures\n");
    expect(readdirSync(place("pictures")).toSorted()).toEqual(["copy.npy", "outputs.json"]);
    expect(readNpy("pictures/copy.npy")).toEqual(pixels);

    expect((await infer(digits, "--steps", "2", "--output", "labels.json")).code).toBe(0);
    const labels: { readonly classLabel: unknown } = JSON.parse(readFileSync(place("labels.json"), "utf8"));
    expect(labels.classLabel).toBeArrayOfSize(2);
    const { code, stderr: refused } = await infer(digits, "--steps", "2", "--output", "labels.npz");
    expect(code).toBe(4);
    expect(refused).toContain('Cannot write "classLabel" to a .npz file: it is a sequence');
  });

  test("makes each of several FILEs a sequence of its own", async () => {
    writeFileSync(place("ones.npy"), encodeNpy(f32([1, 1, 1, 1], [4, 1])));
    const { results } = await inferJson(counter, amounts, "ones.npy", "--steps", "4", "--state", "10");
    expect(results?.map(total)).toEqual([
      [[13], [14.5], [12.5], [16.5]],
      [[11], [12], [13], [14]],
    ]);
  });
});

describe("--carry", () => {
  test("feeds an output back, from zero or from what is given", async () => {
    const carry = ["--steps", "4", "--carry", "latest:previous"];
    expect(change(await inferJson(counter, amounts, ...carry))).toEqual([[3], [-1.5], [-3.5], [6]]);
    expect(change(await inferJson(counter, amounts, ...carry, "-i", "previous=2"))).toEqual([
      [1],
      [-1.5],
      [-3.5],
      [6],
    ]);
  });

  test("leaves one input open, which a FILE without a name is then for", async () => {
    const x = Array.from({ length: 12 }, (_, i) => i / 4);
    writeFileSync(place("x.npy"), encodeNpy(tensorOf("float16", x, [3, 1, 4])));
    const shown = await inferJson(cached, "x.npy", "--steps", "3", "--carry", "next_position:position");
    expect(data(shown, "next_position")).toEqual([[1], [2], [3]]);
  });

  test("is refused where names, shapes or values do not go together", async () => {
    const steps = [counter, amounts, "--steps", "4"];
    await fails(
      [...steps, "--carry", "lastest:previous"],
      4,
      'Cannot carry "lastest:previous": the model has no output "lastest"',
      'Did you mean "latest"?',
    );
    await fails(
      [...steps, "--carry", "total:amount"],
      4,
      'Cannot carry output "total" into input "amount": the input has a value for each of 4 steps already',
      "Give its value for the first step only",
    );
    await fails(
      [cached, "x.npy", "--steps", "3", "--carry", "smooth:position"],
      4,
      'Cannot carry output "smooth" into input "position": the output is a float16 array [4], the input takes a int32 array [1]',
    );
    await fails(
      [counter, amounts, "--carry", "latest:previous"],
      2,
      "Option --carry needs several steps",
      "Add --steps N, or --keep-state and a FILE for each step",
    );
  });
});

describe("--keep-state", () => {
  test("makes the FILEs the steps of one sequence, in order", async () => {
    const { results, states } = await inferJson(
      counter,
      ...days,
      "--keep-state",
      "--carry",
      "latest:previous",
      "--input",
      "previous=1",
      "--save-state",
      "kept",
    );
    expect(results?.map(total)).toEqual([[3], [4.5], [2.5]]);
    expect(results?.map(change)).toEqual([[2], [-1.5], [-3.5]]);
    expect(states).toEqual({ sum: { dtype: "float16", shape: [1], file: "sum.npy" } });
    expect(readNpy("kept/sum.npy")).toEqual(tensorOf("float16", [2.5]));
  });

  test("writes a folder for each step", async () => {
    await infer(counter, ...days, "--keep-state", "--output-dir", "week");
    expect(readdirSync(place("week")).toSorted()).toEqual(["monday", "tuesday", "wednesday"]);
    expect(readNpy("week/wednesday/total.npy")).toEqual(tensorOf("float16", [2.5]));
  });

  test("names the step and the file of a failure", async () => {
    writeFileSync(place("bad.json"), '{"amount": [1], "previous": [1]}');
    await fails(
      [counter, days[0] ?? "", "bad.json", "--keep-state", "--carry", "latest:previous"],
      4,
      'Cannot run step 2 (bad.json): cannot use input "previous": output "latest" is carried into it after the first step',
      "Give its value for the first step only",
    );
  });

  test("needs files, and something to keep", async () => {
    await fails(
      [counter, "--input", "amount=1", "--keep-state"],
      2,
      "Option --keep-state needs a FILE for each step",
      "Write coremlx infer MODEL STEP1 STEP2 … --keep-state, or use --steps N",
    );
    await fails(
      [digits, join(root, "examples/digits/digit_1.png"), "--keep-state"],
      4,
      "Cannot use --keep-state: the model has no state to keep",
      "Leave it out, or feed an output back with --carry OUTPUT:INPUT",
    );
  });
});

describe("--state and --save-state", () => {
  test("in parts give what the whole sequence gives", async () => {
    const whole = await inferJson(counter, amounts, "--steps", "4");
    const first = await inferJson(counter, "--input", "[3, 1.5]", "--steps", "2", "--save-state", "half");
    const second = await inferJson(
      counter,
      "--input",
      "[-2, 4]",
      "--steps",
      "2",
      "--state",
      "sum=half/sum.npy",
    );
    expect<unknown>([total(first), total(second)].flat()).toEqual(total(whole));
  });

  test("work for a single prediction, and for each FILE from the start", async () => {
    expect(
      total(await inferJson(counter, "amount=1", "--state", "sum=[100]", "--save-state", "one")),
    ).toEqual([101]);
    expect(readNpy("one/sum.npy")).toEqual(tensorOf("float16", [101]));
    const { results } = await inferJson(counter, ...days, "--state", "10");
    expect(results?.map(total)).toEqual([[13], [11.5], [8]]);
  });

  test("keep several states apart, by name", async () => {
    await inferJson(cached, "x=x.npy", "--steps", "3", "--input", "position=2", "--save-state", "caches");
    expect(readdirSync(place("caches")).toSorted()).toEqual(["average.npy", "keys.npy", "values.npy"]);
    expect(readNpy("caches/keys.npy").shape).toEqual([32, 4]);
    const again = ["--state", "keys=caches/keys.npy", "--state", "average=ones", "--save-state", "again"];
    await inferJson(cached, "x=x.npy", "--steps", "3", "--input", "position=9", ...again);
    const before = readNpy("caches/keys.npy").bytes.subarray(0, 9 * 8);
    expect(readNpy("again/keys.npy").bytes.subarray(0, 9 * 8)).toEqual(before);
  });

  test("are refused for what the model does not have or take", async () => {
    await fails(
      [counter, amounts, "--steps", "4", "--state", "sm=1"],
      4,
      'Unknown state "sm"',
      'Did you mean "sum"?',
    );
    await fails(
      [counter, amounts, "--steps", "4", "--state", "sum=[1, 2]"],
      4,
      'Cannot use state "sum": shape must be [1], got [2]: axis 0 must be 1',
    );
    await fails(
      [counter, amounts, "--steps", "4", "--state", "sum=much"],
      4,
      'Cannot read state "sum" from "much": line 1, column 1, at "much": expected a value',
    );
    const back = "What it gives out can be fed back with --carry OUTPUT:INPUT";
    await fails([digits, "--state", "x=1"], 4, "Cannot use --state: the model has no state", back);
    await fails([digits, "--save-state", "none"], 4, "Cannot use --save-state: the model has no state", back);
    await fails(
      [counter, ...days, "--save-state", "none"],
      2,
      "Option --save-state takes the states of one sequence",
      "Add --keep-state, which makes the FILEs its steps",
    );
    expect(existsSync(place("none"))).toBe(false);
  });

  test("nothing is written when a step fails, and a folder that cannot be is found out first", async () => {
    const { code } = await infer(
      counter,
      days[0] ?? "",
      "nowhere.json",
      "--keep-state",
      "--save-state",
      "failed",
    );
    expect(code).toBe(4);
    expect(readdirSync(place("failed"))).toEqual([]);
    writeFileSync(place("file"), "");
    const { code: blocked, stderr } = await infer(counter, amounts, "--steps", "4", "--save-state", "file");
    expect(blocked).toBe(1);
    expect(stderr).toContain("a file is in the place of the folder");
  });
});

describe("steps that cannot be", () => {
  test("inputs with other numbers of steps, or of another shape", async () => {
    await fails(
      [counter, amounts, "--steps", "3"],
      4,
      'Cannot use input "amount": it has values for 4 steps, the sequence has 3',
    );
    await fails(
      [counter, amounts, "--steps", "4", "--input", "previous=[1, 2]"],
      4,
      'Cannot use input "previous": it has values for 2 steps, the sequence has 4',
    );
    await fails(
      [counter, "--steps", "4", "--input", "amount=[[1, 2]]"],
      4,
      'Cannot use input "amount" in a sequence of 4 steps: it must be a float16 array [1] (the same at every step), or have a leading axis of 4 before that (a value for each), got [1, 2]',
    );
  });

  test("a model without memory whose inputs are the same at every step", async () => {
    const sum = writeSumModel(place("sum.mlpackage"));
    await fails(
      [sum, "--input", "left=zeros", "--input", "right=ones", "--steps", "3"],
      4,
      "Cannot run 3 steps: no input has a leading axis of 3, and the model has no state, so every step would be the same",
      "Give an input with a leading axis of 3, or feed an output back with --carry OUTPUT:INPUT",
    );
  });

  test("more steps than their outputs find room for", async () => {
    const { code, stderr } = await infer(
      cached,
      "x=x.npy",
      "--input",
      "position=0",
      "--steps",
      "3000000000000",
    );
    expect(code).toBe(4);
    expect(stderr).toMatch(/Cannot use input "x": it has values for 3 steps, the sequence has 3000000000000/);
    const { stderr: memory } = await infer(counter, "--input", "amount=1", "--steps", "3000000000");
    expect(memory).toContain("their outputs take 18000000000 bytes, more than the limit of 4294967296");
  });
});

describe("an end before the end", () => {
  const slow = writeSlowModel(place("slow.mlpackage"));

  test("--timeout limits each step, and names it", async () => {
    const { code, stderr } = await infer(
      slow,
      "--input",
      "x=zeros",
      "--steps",
      "2",
      "--carry",
      "y:x",
      "--timeout",
      "50ms",
    );
    expect(code).toBe(124);
    expect(stderr).toContain("error: Cannot run step 1 of 2: cannot predict: no answer within 50 ms\n");
  });

  test("Ctrl-C ends a sequence", async () => {
    const control = new AbortController();
    const io = testIo({ cwd: folder.path, signal: control.signal });
    const noticing = {
      ...io,
      stderr(text: string) {
        io.stderr(text);
        if (text.includes("predicting")) control.abort();
      },
    };
    const args = [
      "infer",
      counter,
      "--input",
      "amount=0",
      "--steps",
      "10000000",
      "--save-state",
      "cut",
      "--verbose",
    ];
    expect(await runProgram(args, noticing)).toBe(130);
    expect(io.written.stderr).toEndWith("error: Interrupted\n");
    expect(readdirSync(place("cut"))).toEqual([]);
  });
});
