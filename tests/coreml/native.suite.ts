// The calls into libcoremlx, on the stand-in: what goes in and comes out, and what is left behind.

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CoremlxError } from "../../src/core/errors.ts";
import { f32, numbersOf, type Tensor, tensorOf, zeros } from "../../src/core/tensor.ts";
import { CoremlLibrary } from "../../src/native/coreml.ts";
import { type CoremlCall, CoremlCallPlan, type CoremlPort } from "../../src/native/coreml-call.ts";
import { CoremlModel } from "../../src/native/coreml-model.ts";
import { coremlPath, standInModel } from "../support/standin.ts";
import { tempFolder } from "../support/temp.ts";

const library = CoremlLibrary.open(coremlPath());

const array = (name: string, feature = 0): CoremlPort => ({ name, feature, kind: "array" });
const picture = (name: string, feature = 0): CoremlPort => ({ name, feature, kind: "picture" });
const [x, y] = [array("x"), array("y")];

/** y = 2x, on [2, 3] unless the spec says otherwise. */
const doubling = (changes: Record<string, unknown> = {}, shape: readonly number[] = [2, 3]) => ({
  inputs: [{ name: "x", shape }],
  outputs: [{ name: "y", shape }],
  scale: 2,
  ...changes,
});

function withModel(spec: unknown, body: (model: CoremlModel) => void): void {
  const before = library.liveHandles;
  {
    using folder = standInModel(spec);
    using model = CoremlModel.load(library, folder.path, { units: "all" });
    body(model);
  }
  expect(library.liveHandles).toBe(before);
}

function caught(body: () => unknown): CoremlxError {
  try {
    body();
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("It went well");
}

const six = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const doubled = f32([2, 4, 6, 8, 10, 12], [2, 3]);

function run(model: CoremlModel, call: CoremlCall): readonly Tensor[] {
  return new CoremlCallPlan(model, call).run(call).tensors;
}

describe("arrays", () => {
  for (const backing of ["honour", "ignore", "padded", "f16", "f64"]) {
    test(`come back exact where Core ML's memory is "${backing}"`, () =>
      withModel(doubling({ backing }), (model) => {
        const place = zeros("float32", [2, 3]);
        expect(run(model, { inputs: [[x, six]], outputs: [[y, place]] })).toEqual([doubled]);
        expect(place).toEqual(doubled);
        expect(run(model, { inputs: [[x, six]], outputs: [[y, undefined]] })).toMatchObject([
          {
            shape: [2, 3],
            dtype:
              backing === "honour" || backing === "ignore" || backing === "padded"
                ? "float32"
                : expect.any(String),
          },
        ]);
      }));
  }

  test("of 64 KiB and more are read and written where they lie", () =>
    withModel(doubling({ backing: "padded" }, [40, 1001]), (model) => {
      const values = Float32Array.from({ length: 40 * 1001 }, (_, i) => i % 977);
      const place = zeros("float32", [40, 1001]);
      run(model, { inputs: [[x, f32([...values], [40, 1001])]], outputs: [[y, place]] });
      expect(numbersOf(place)).toEqual(Float64Array.from(values, (value) => value * 2));
    }));

  test("of every type go in and out", () => {
    for (const [name, dtype] of [
      ["f64", "float64"],
      ["f32", "float32"],
      ["f16", "float16"],
      ["i32", "int32"],
    ] as const) {
      const spec = {
        inputs: [{ name: "x", shape: [3], dtype: name }],
        outputs: [{ name: "y", shape: [3], dtype: name }],
        scale: 3,
      };
      withModel(spec, (model) => {
        const call = { inputs: [[x, tensorOf(dtype, [1, 2, 3])]], outputs: [[y, undefined]] } as const;
        expect(run(model, call)).toEqual([tensorOf(dtype, [3, 6, 9])]);
      });
    }
  });

  test("that the description leaves open come in the shape they have", () =>
    withModel(
      {
        inputs: [
          {
            name: "x",
            shape: [1, 3],
            ranges: [
              [1, -1],
              [3, 3],
            ],
          },
        ],
        outputs: [{ name: "y", constraint: "unspecified" }],
        scale: 2,
      },
      (model) => {
        expect(run(model, { inputs: [[x, six]], outputs: [[y, undefined]] })).toEqual([doubled]);
      },
    ));

  test("that do not fit their place say which shape they have, and the plan goes on", () =>
    withModel(
      {
        inputs: [
          {
            name: "x",
            shape: [1, 3],
            ranges: [
              [1, -1],
              [3, 3],
            ],
          },
        ],
        outputs: [{ name: "y", constraint: "unspecified" }],
        scale: 2,
      },
      (model) => {
        const call: CoremlCall = { inputs: [[x, six]], outputs: [[y, zeros("float32", [3, 2])]] };
        const plan = new CoremlCallPlan(model, call);
        const error = caught(() => plan.run(call));
        expect(error.details).toMatchObject({ status: "CMLX_E_BUFFER_TOO_SMALL", needs: { y: [2, 3] } });
        expect(caught(() => plan.run(call)).details).toEqual(error.details);
      },
    ));

  test("of another type than declared are refused", () =>
    withModel(doubling(), (model) => {
      const error = caught(() =>
        run(model, {
          inputs: [[x, tensorOf("float16", [1, 2, 3, 4, 5, 6], [2, 3])]],
          outputs: [[y, undefined]],
        }),
      );
      expect(error.code).toBe("BAD_INPUT");
      expect(error.message).toContain("float16");
    }));

  test("are told apart by shape: a plan fits only calls like its own", () =>
    withModel(doubling(), (model) => {
      const place = zeros("float32", [2, 3]);
      const plan = new CoremlCallPlan(model, { inputs: [[x, six]], outputs: [[y, place]] });
      expect(plan.fits({ inputs: [[x, doubled]], outputs: [[y, zeros("float32", [2, 3])]] })).toBe(true);
      expect(plan.fits({ inputs: [[x, f32([1, 2, 3], [1, 3])]], outputs: [[y, place]] })).toBe(false);
      expect(plan.fits({ inputs: [[x, six]], outputs: [[y, zeros("float16", [2, 3])]] })).toBe(false);
      expect(plan.fits({ inputs: [[x, six]], outputs: [[y, undefined]] })).toBe(false);
      expect(plan.fits({ inputs: [], outputs: [[y, place]] })).toBe(false);
    }));
});

describe("pictures", () => {
  const [height, width] = [2, 3];
  const spec = (format: string) => ({
    inputs: [{ name: "x", type: "image", format, height, width }],
    outputs: [{ name: "y", type: "image", format, height, width }],
    scale: 2,
  });

  test("in colour are red, green, blue", () =>
    withModel(spec("BGRA"), (model) => {
      const pixels = Array.from({ length: 18 }, (_, i) => i);
      const given = tensorOf("uint8", pixels, [height, width, 3]);
      const wanted = tensorOf(
        "uint8",
        pixels.map((value) => value * 2),
        [height, width, 3],
      );
      expect(run(model, { inputs: [[picture("x"), given]], outputs: [[picture("y"), undefined]] })).toEqual([
        wanted,
      ]);
      const place = zeros("uint8", [height, width, 3]);
      run(model, { inputs: [[picture("x"), given]], outputs: [[picture("y"), place]] });
      expect(place).toEqual(wanted);
    }));

  test("in gray have 8 bits or are float16", () => {
    for (const [format, dtype] of [
      ["gray8", "uint8"],
      ["gray16f", "float16"],
    ] as const) {
      withModel(spec(format), (model) => {
        const given = tensorOf(dtype, [1, 2, 3, 4, 5, 6], [height, width]);
        const wanted = tensorOf(dtype, [2, 4, 6, 8, 10, 12], [height, width]);
        expect(run(model, { inputs: [[picture("x"), given]], outputs: [[picture("y"), undefined]] })).toEqual(
          [wanted],
        );
      });
    }
  });
});

test("values that are no arrays travel as JSON", () =>
  withModel({ inputs: [{ name: "n", type: "int64" }], outputs: [{ name: "m", type: "int64" }] }, (model) => {
    const call = { inputs: [], outputs: [] };
    const values = JSON.stringify({ n: { type: "int64", value: "-9007199254740993" } });
    const plan = new CoremlCallPlan(model, call);
    expect(JSON.parse(plan.run(call, { values }).values)).toEqual({
      m: { type: "int64", value: "-9007199254740993" },
    });
  }));

test("a state keeps what the predictions leave in it, and can be read and written", () =>
  withModel(doubling({ states: [{ name: "s", shape: [2, 3] }] }), (model) => {
    using state = model.createState();
    const call: CoremlCall = { inputs: [[x, six]], outputs: [[y, undefined]] };
    const plan = new CoremlCallPlan(model, call);
    plan.run(call, { state });
    const held = zeros("float32", [2, 3]);
    state.read("s", held);
    expect(held).toEqual(six);
    state.write("s", f32([10, 10, 10, 10, 10, 10], [2, 3]));
    expect(plan.run(call, { state }).tensors).toEqual([f32([22, 24, 26, 28, 30, 32], [2, 3])]);
    expect(caught(() => state.read("t", held)).message).toContain('"t"');
  }));

describe("a call that is given up", () => {
  const slow = doubling({ faults: { hangAfter: 0, hangUs: 300_000, pattern: 171 } });
  const call = (place: Tensor): CoremlCall => ({ inputs: [[x, six]], outputs: [[y, place]] });

  /** Until Core ML has really ended. */
  async function waitForLate(model: CoremlModel): Promise<void> {
    while (model.stats.late === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  test("ends at its deadline, holds the model until Core ML ends, and writes into nobody's memory", async () => {
    using folder = standInModel(slow);
    using model = CoremlModel.load(library, folder.path, { units: "all" });
    const place = zeros("float32", [2, 3]);
    const plan = new CoremlCallPlan(model, call(place));
    const started = performance.now();
    expect(caught(() => plan.run(call(place), { timeoutMs: 20 })).code).toBe("DEADLINE");
    expect(performance.now() - started).toBeLessThan(250);
    expect(model.stats).toMatchObject({ isHung: true, givenUp: 1, late: 0 });
    expect(caught(() => plan.run(call(place), { timeoutMs: 20 })).details).toMatchObject({
      status: "CMLX_E_QUARANTINED",
    });
    await waitForLate(model);
    expect(place).toEqual(zeros("float32", [2, 3]));
    expect(model.stats).toMatchObject({ isHung: false, givenUp: 1, late: 1 });
    plan.run(call(place), { timeoutMs: 5_000 });
    expect(place).toEqual(doubled);
  });

  test("ends when another thread cancels", async () => {
    using folder = standInModel(slow);
    using model = CoremlModel.load(library, folder.path, { units: "all" });
    const canceller = library.createCanceller();
    const source = `
      const { CoremlLibrary } = await import(${JSON.stringify(join(import.meta.dir, "../../src/native/coreml.ts"))});
      const library = CoremlLibrary.open(${JSON.stringify(coremlPath())});
      postMessage("ready");
      onmessage = ({ data }) => { while (library.functions.cmlx_monotonic_ns() < data.atNs); library.cancel(data.canceller); };`;
    using helper = tempFolder();
    const path = join(helper.path, "canceller.ts");
    writeFileSync(path, source);
    const worker = new Worker(path);
    await new Promise<void>((resolve) => (worker.onmessage = () => resolve()));
    const place = zeros("float32", [2, 3]);
    worker.postMessage({ canceller, atNs: BigInt(library.functions.cmlx_monotonic_ns()) + 50_000_000n });
    const started = performance.now();
    const error = caught(() => new CoremlCallPlan(model, call(place)).run(call(place), { canceller }));
    expect(error.code).toBe("INTERRUPTED");
    expect(performance.now() - started).toBeLessThan(250);
    // Until it is reset, it ends what comes, too.
    expect(caught(() => new CoremlCallPlan(model, call(place)).run(call(place), { canceller })).code).toBe(
      "INTERRUPTED",
    );
    worker.terminate();
    await waitForLate(model);
    library.resetCanceller(canceller);
    new CoremlCallPlan(model, call(place)).run(call(place), { canceller });
    expect(place).toEqual(doubled);
    library.release(canceller);
  });
});

describe("errors", () => {
  test("of Core ML say what lies beneath", () =>
    withModel(doubling({ faults: { errorAfter: 0 } }), (model) => {
      const error = caught(() => run(model, { inputs: [[x, six]], outputs: [[y, undefined]] }));
      expect(error.code).toBe("NATIVE");
      expect(error.message).toBe(
        "Cannot predict: Unable to compute the prediction using ML Program: Could not create an IOSurface",
      );
      expect(error.details).toEqual({
        status: "CMLX_E_CORE_ML",
        domain: "com.apple.CoreML",
        code: 0,
        underlying: [
          {
            domain: "com.apple.appleneuralengine.espresso",
            code: -6,
            message: "Could not create an IOSurface.",
          },
        ],
      });
    }));

  test("that were exceptions poison the model", () =>
    withModel(doubling({ faults: { raiseAfter: 0 } }), (model) => {
      const call: CoremlCall = { inputs: [[x, six]], outputs: [[y, undefined]] };
      expect(caught(() => run(model, call)).details).toMatchObject({ domain: "NSException" });
      expect(model.stats).toMatchObject({ isPoisoned: true });
      expect(caught(() => run(model, call)).details).toMatchObject({ status: "CMLX_E_POISONED" });
    }));

  test("name a library that is none, and a model that is none", () => {
    expect(caught(() => CoremlLibrary.open("/does/not/exist.so"))).toMatchObject({ code: "BAD_INPUT" });
    expect(caught(() => CoremlLibrary.open(import.meta.path))).toMatchObject({ code: "NATIVE" });
    expect(
      caught(() => CoremlModel.load(library, "/does/not/exist.mlmodelc", { units: "cpu" })),
    ).toMatchObject({ code: "NOT_FOUND" });
  });
});

test("a model is compiled to its place, whole", () => {
  using source = standInModel(doubling(), "Source");
  using folder = tempFolder();
  const destination = join(folder.path, "compiled.mlmodelc");
  library.compile(source.path, destination);
  using model = CoremlModel.load(library, destination, { units: "cpu" });
  expect(run(model, { inputs: [[x, six]], outputs: [[y, undefined]] })).toEqual([doubled]);
  expect(caught(() => library.compile(source.path, destination)).message).toContain("it exists");
});

test("the stand-in is never taken for Core ML", () => {
  expect(library.isApple).toBe(process.platform === "darwin");
});
