import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../../src/core/dtype.ts";
import { elementsOf, f32, numbersOf, type Tensor, tensorOf, zeros } from "../../../src/core/tensor.ts";
import { OnnxRuntime, type OrtSession, type SessionOptions } from "../../../src/native/onnxruntime.ts";
import { onnxElementType } from "../../../src/native/element-type.ts";
import { libraryPath, onnxModel, testFile } from "../../support/onnxruntime.ts";
import { tempFolder } from "../../support/temp.ts";
import { firstHandleOf } from "../../support/native/terminate-handle.ts";

const library = await libraryPath();
const runtime = OnnxRuntime.open(library);
afterAll(() => runtime[Symbol.dispose]());

const load = (name: string, options?: SessionOptions) =>
  runtime.createSession(onnxModel(name), { threads: 1, ...options });
const inputs = (values: Record<string, Tensor>) => new Map(Object.entries(values));
const failure = (code: string, message: string | RegExp) =>
  expect.objectContaining({
    code,
    message: typeof message === "string" ? message : expect.stringMatching(message),
  });
/** TensorProto.DataType's name. */
const onnxName = (dtype: DType) =>
  dtype === "float32" ? "FLOAT" : dtype === "float64" ? "DOUBLE" : dtype.toUpperCase();
const a = f32([1, 2, 3, 4], [1, 4]);
const b = f32([10, 20, 30, 40], [1, 4]);

describe("the library", () => {
  test("says its version", () => {
    const { devDependencies } = JSON.parse(readFileSync(testFile("../package.json"), "utf8")) as {
      devDependencies: Record<string, string>;
    };
    expect(runtime.version).toBe(devDependencies["onnxruntime-node"] ?? "");
  });

  test("that is not one is refused with the loader's reason", () => {
    using folder = tempFolder();
    const path = join(folder.path, "libtext.so");
    writeFileSync(path, "no machine code");
    expect(() => OnnxRuntime.open(path)).toThrow(failure("NATIVE", /^Cannot load .*libtext\.so: .+/));
  });

  test.if(process.platform === "linux")("that is another one is refused", () => {
    expect(() => OnnxRuntime.open("libc.so.6")).toThrow(failure("NATIVE", /OrtGetApiBase/));
  });
});

const compiler = Bun.which("cc");
if (compiler === null)
  process.stderr.write("Not tested: a library that is too old, for want of a C compiler\n");

test.if(compiler !== null)("a library that is too old says which version it is and which is needed", () => {
  using folder = tempFolder();
  const source = join(folder.path, "old.c");
  const path = join(folder.path, "libold.so");
  writeFileSync(
    source,
    `static const void *table(unsigned version) { return 0; }
     static const char *version(void) { return "1.17.3"; }
     static const struct { const void *(*get)(unsigned); const char *(*version)(void); } base = { table, version };
     const void *OrtGetApiBase(void) { return &base; }`,
  );
  expect(Bun.spawnSync([compiler ?? "", "-shared", "-fPIC", "-o", path, source]).exitCode).toBe(0);
  expect(() => OnnxRuntime.open(path)).toThrow(
    failure("NATIVE", `Cannot use ${path}: it is ONNX Runtime 1.17.3, 1.24 or newer is needed`),
  );
});

describe("a session", () => {
  test("describes its inputs and outputs, with the names of open axes", () => {
    using session = load("add");
    const dims = ["batch", 4];
    expect(session.inputs).toEqual([
      { name: "a", dtype: "float32", dims },
      { name: "b", dtype: "float32", dims },
    ]);
    expect(session.outputs).toEqual([
      { name: "sum", dtype: "float32", dims },
      { name: "product", dtype: "float32", dims },
    ]);
  });

  test("tells a scalar from an open rank and an unnamed axis from a named one", () => {
    using session = load("ranks");
    expect(session.inputs.map(({ dims }) => dims)).toEqual([[], undefined, ["batch", undefined, 3]]);
  });

  test("gives every output, or those that are wanted in the order they are wanted", () => {
    using session = load("add");
    const all = session.run(inputs({ a, b }));
    expect(all).toEqual(
      inputs({ sum: f32([11, 22, 33, 44], [1, 4]), product: f32([10, 40, 90, 160], [1, 4]) }),
    );
    expect([...session.run(inputs({ a, b }), { outputNames: ["product", "sum"] }).keys()]).toEqual([
      "product",
      "sum",
    ]);
    expect([...session.run(inputs({ a, b }), { outputNames: ["product"] }).keys()]).toEqual(["product"]);
  });

  test("keeps results apart: a later run does not change an earlier one's", () => {
    using session = load("add");
    const first = session.run(inputs({ a, b }));
    session.run(inputs({ a: b, b }));
    expect(numbersOf(first.get("sum") ?? a)).toEqual(new Float64Array([11, 22, 33, 44]));
  });

  test("takes more shapes than it remembers, in any order", () => {
    using session = load("add");
    for (const rows of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 12, 3]) {
      const x = tensorOf(
        "float32",
        Array.from({ length: 4 * rows }, (_, i) => i),
        [rows, 4],
      );
      const { sum } = Object.fromEntries(session.run(inputs({ a: x, b: x })));
      expect(sum?.shape).toEqual([rows, 4]);
      expect([...numbersOf(sum ?? x)]).toEqual(Array.from({ length: 4 * rows }, (_, i) => 2 * i));
    }
  });

  test("takes tensors of every element type", () => {
    using session = load("identity");
    const dtypes = Object.keys(onnxElementType) as DType[];
    const names = Object.fromEntries(dtypes.map((dtype) => [onnxName(dtype), dtype]));
    expect(Object.fromEntries(session.inputs.map(({ name, dtype }) => [name.slice(2), dtype]))).toEqual(
      names,
    );
    const tensors = Object.entries(names).map(([name, dtype]) => [name, tensorOf(dtype, [0, 1, 1])] as const);
    const results = session.run(new Map(tensors.map(([name, tensor]) => [`x_${name}`, tensor])));
    expect(results).toEqual(new Map(tensors.map(([name, tensor]) => [`y_${name}`, tensor])));
  });

  test("takes any non-zero byte for true, as C++ cannot", () => {
    using session = load("identity");
    const values = new Map(session.inputs.map(({ name, dtype }) => [name, zeros(dtype, [3])]));
    values.set("x_BOOL", { dtype: "bool", shape: [3], bytes: new Uint8Array([0, 2, 255]) });
    expect(session.run(values).get("y_BOOL")?.bytes).toEqual(new Uint8Array([0, 1, 1]));
  });

  test("takes and gives tensors without elements", () => {
    using session = load("add");
    const none = zeros("float32", [0, 4]);
    expect(session.run(inputs({ a: none, b: none }))).toEqual(inputs({ sum: none, product: none }));
    using search = load("nonzero");
    expect(search.run(inputs({ x: f32([0, 0]) }))).toEqual(inputs({ where: zeros("int64", [1, 0]) }));
    expect(search.run(inputs({ x: f32([0, 5, 6]) }))).toEqual(
      inputs({ where: tensorOf("int64", [1, 2], [1, 2]) }),
    );
    expect(search.run(inputs({ x: f32([]) }))).toEqual(inputs({ where: zeros("int64", [1, 0]) }));
  });

  test("takes a scalar and a shape of open rank", () => {
    using session = load("ranks");
    const results = session.run(
      inputs({ scalar: f32([7], []), open: f32([-1, 2, -3, 4], [2, 1, 2]), x: f32([-1, 0, 1], [1, 1, 3]) }),
    );
    expect(results).toEqual(
      inputs({ same: f32([7], []), any: f32([0, 2, 0, 4], [2, 1, 2]), y: f32([0, 0, 1], [1, 1, 3]) }),
    );
  });

  test("reads large, small and badly aligned memory alike", () => {
    using session = load("add");
    for (const rows of [1, 1000, 4096, 100_000]) {
      const values = Float32Array.from({ length: 4 * rows }, (_, i) => i % 1000);
      const padded = new Uint8Array(values.byteLength + 1);
      padded.set(new Uint8Array(values.buffer), 1);
      const odd: Tensor = { dtype: "float32", shape: [rows, 4], bytes: padded.subarray(1) };
      const even: Tensor = { dtype: "float32", shape: [rows, 4], bytes: new Uint8Array(values.buffer) };
      const sum = session.run(inputs({ a: odd, b: even })).get("sum");
      expect(elementsOf(sum ?? even)).toEqual(values.map((value) => 2 * value));
    }
  });
});

describe("results in the caller's memory", () => {
  test("land there, large or small", () => {
    using session = load("add");
    for (const rows of [1, 100_000]) {
      const ones = tensorOf("float32", new Float32Array(4 * rows).fill(1), [rows, 4]);
      const sum = zeros("float32", [rows, 4]);
      for (const factor of [1, 2]) {
        const x = tensorOf("float32", new Float32Array(4 * rows).fill(factor), [rows, 4]);
        const results = session.run(inputs({ a: x, b: ones }), { outputs: inputs({ sum }) });
        expect(results.get("sum")).toBe(sum);
        expect(elementsOf(sum)).toEqual(new Float32Array(4 * rows).fill(factor + 1));
        expect(elementsOf(results.get("product") ?? x)).toEqual(new Float32Array(4 * rows).fill(factor));
      }
      const other = zeros("float32", [rows, 4]);
      session.run(inputs({ a: ones, b: ones }), { outputs: inputs({ sum: other }) });
      expect(elementsOf(other)).toEqual(new Float32Array(4 * rows).fill(2));
      expect(elementsOf(sum)).toEqual(new Float32Array(4 * rows).fill(3));
    }
  });

  test("without elements are fine", () => {
    using session = load("add");
    const none = zeros("float32", [0, 4]);
    const results = session.run(inputs({ a: none, b: none }), { outputs: inputs({ sum: none }) });
    expect(results.get("sum")).toBe(none);
  });

  test("must have the result's type, shape and size", () => {
    using session = load("add");
    const write = (sum: Tensor) => () => session.run(inputs({ a, b }), { outputs: inputs({ sum }) });
    expect(write(zeros("float16", [1, 4]))).toThrow(
      failure("BAD_INPUT", 'Cannot use output "sum": it must be float32, got float16'),
    );
    expect(write({ ...a, bytes: new Uint8Array(12) })).toThrow(
      failure("BAD_INPUT", 'Cannot use output "sum": float32 [1, 4] takes 16 bytes, got 12'),
    );
    expect(write(zeros("float32", [2, 4]))).toThrow(failure("NATIVE", /^Cannot run the model: /));
    expect(session.run(inputs({ a, b })).get("sum")).toEqual(f32([11, 22, 33, 44], [1, 4]));
  });

  test("may not be named without being made", () => {
    using session = load("add");
    const make = (name: string) => () =>
      session.run(inputs({ a, b }), { outputNames: ["sum"], outputs: inputs({ [name]: a }) });
    expect(make("product")).toThrow(
      failure("BAD_INPUT", 'Cannot write output "product": the run does not make it'),
    );
    expect(make("y")).toThrow(failure("BAD_INPUT", 'Cannot write output "y": the run does not make it'));
  });

  test("may not share memory with an input or with each other", () => {
    using session = load("add");
    const x = zeros("float32", [10_000, 4]);
    const shared = (name: string) =>
      failure("INTERNAL", `Cannot write output "${name}" in place: its memory is in use in the same call`);
    expect(() => session.run(inputs({ a: x, b: x }), { outputs: inputs({ product: x }) })).toThrow(
      shared("product"),
    );
    const pair = new Uint8Array(x.bytes.byteLength + 64);
    const sum: Tensor = { ...x, bytes: pair.subarray(0, x.bytes.byteLength) };
    const product: Tensor = { ...x, bytes: pair.subarray(64) };
    expect(() => session.run(inputs({ a: x, b: x }), { outputs: inputs({ sum, product }) })).toThrow(
      shared("sum"),
    );
  });
});

describe("inputs that do not fit are refused before native code sees them", () => {
  using session = load("add");
  const cases: [string, Record<string, Tensor>, string][] = [
    ["a missing one", { a }, 'Cannot run the model: no input "b"'],
    ["an unknown one", { a, b, c: a }, 'Cannot run the model: it has no input "c"'],
    [
      "another element type",
      { a, b: zeros("int32", [1, 4]) },
      'Cannot use input "b": it must be float32, got int32',
    ],
    ["another rank", { a, b: f32([1, 2, 3, 4]) }, 'Cannot use input "b": it must have 2 axes, got [4]'],
    [
      "another size of a fixed axis",
      { a, b: zeros("float32", [1, 5]) },
      'Cannot use input "b": axis 1 must be 4, got 5',
    ],
    [
      "too few bytes",
      { a, b: { ...b, bytes: new Uint8Array(15) } },
      'Cannot use input "b": float32 [1, 4] takes 16 bytes, got 15',
    ],
    [
      "too many bytes",
      { a, b: { ...b, bytes: new Uint8Array(17) } },
      'Cannot use input "b": float32 [1, 4] takes 16 bytes, got 17',
    ],
    ["a negative axis", { a, b: { ...b, shape: [-1, 4] } }, 'Cannot use input "b": axis 0 is -1'],
    ["a broken axis", { a, b: { ...b, shape: [0.25, 4] } }, 'Cannot use input "b": axis 0 is 0.25'],
    ["no number", { a, b: { ...b, shape: [Number.NaN, 4] } }, 'Cannot use input "b": axis 0 is NaN'],
    [
      "an absurd axis",
      { a, b: { ...b, shape: [2 ** 52, 4] } },
      'Cannot use input "b": float32 [4503599627370496, 4] takes 72057594037927940 bytes, got 16',
    ],
  ];
  for (const [what, values, message] of cases) {
    test(what, () => {
      using own = load("add");
      expect(() => own.run(inputs(values))).toThrow(failure("BAD_INPUT", message));
    });
  }

  test("a rank beyond every use", () => {
    using open = load("ranks");
    const x = zeros(
      "float32",
      Array.from({ length: 65 }, () => 1),
    );
    const values = inputs({ scalar: f32([1], []), open: x, x: zeros("float32", [1, 1, 3]) });
    expect(() => open.run(values)).toThrow(
      failure("BAD_INPUT", 'Cannot use input "open": 65 axes are too many'),
    );
  });

  test("memory that was given away", () => {
    using own = load("add");
    const bytes = new Uint8Array(16);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expect(() => own.run(inputs({ a, b: { ...b, bytes } }))).toThrow(
      failure("BAD_INPUT", /takes 16 bytes, got 0$/),
    );
  });

  test("an unknown output", () => {
    using own = load("add");
    expect(() => own.run(inputs({ a, b }), { outputNames: ["z"] })).toThrow(
      failure("BAD_INPUT", 'Cannot run the model: it has no output "z"'),
    );
  });

  session[Symbol.dispose]();
});

describe("models that cannot be loaded", () => {
  const create = (bytes: Uint8Array<ArrayBuffer>) => () => runtime.createSession(bytes, { threads: 1 });

  test("empty, random and truncated bytes", () => {
    expect(create(new Uint8Array(0))).toThrow(failure("BAD_MODEL", "Cannot load the model: it has 0 bytes"));
    expect(create(Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256))).toThrow(
      failure("NATIVE", /^Cannot load the model: /),
    );
    expect(create(onnxModel("add").slice(0, 100))).toThrow(failure("NATIVE", /protobuf/));
  });

  test("large bytes that are no model, taken without a copy", () => {
    expect(create(new Uint8Array(200_000).fill(255))).toThrow(failure("NATIVE", /protobuf/));
  });

  test("an op without a kernel for its type is UNSUPPORTED", () => {
    expect(() => load("no_kernel")).toThrow(
      failure("UNSUPPORTED", /could not find an implementation for Relu/i),
    );
  });

  test("inputs and outputs that are no tensors of numbers", () => {
    expect(() => load("string")).toThrow(
      failure("UNSUPPORTED", 'Cannot use "x": ONNX element type 8 has no equal here'),
    );
    expect(() => load("sequence")).toThrow(failure("UNSUPPORTED", 'Cannot use "y": it is not a tensor'));
  });

  test("settings that cannot be", () => {
    for (const threads of [0, -1, 1.5, 5000, Number.NaN]) {
      expect(() => load("add", { threads })).toThrow(
        failure("BAD_INPUT", `Cannot use ${threads} threads: choose 1 to 1024`),
      );
    }
    expect(() => load("add", { config: { "bad\0key": "1" } })).toThrow(failure("BAD_INPUT", /NUL/));
    expect(() => load("add", { config: { ["k".repeat(5000)]: "1" } })).toThrow(
      failure("NATIVE", /^Cannot set /),
    );
  });
});

describe("a run that fails inside", () => {
  const broken = inputs({ x: f32([1, 2, 3]), index: tensorOf("int64", [9]) });

  test("says why, without folders of this machine or of the one that built the library", () => {
    using session = load("gather");
    let message = "";
    try {
      session.run(broken);
    } catch (error) {
      message = String(error);
    }
    expect(message).toMatch(/Gather.*idx=9/);
    expect(message).not.toMatch(/\/[a-z_]+\/[a-z_]+\//);
    expect(message).not.toMatch(/\n/);
  });

  test("carries the library's status, and leaves the session usable", () => {
    using session = load("gather");
    for (let i = 0; i < 100; i++) {
      expect(() => session.run(broken)).toThrow(
        expect.objectContaining({ code: "NATIVE", details: { status: "INVALID_ARGUMENT" } }),
      );
    }
    const fine = inputs({ x: f32([1, 2, 3]), index: tensorOf("int64", [2, 0]) });
    expect(session.run(fine)).toEqual(inputs({ y: f32([3, 1]) }));
  });

  test("writes nothing to stderr by itself", () => {
    const done = Bun.spawnSync([process.execPath, testFile("support/native/failing-run.ts"), library]);
    expect(done.stdout.toString()).toBe("NATIVE NATIVE");
    expect(done.stderr.toString()).toBe("");
    expect(done.exitCode).toBe(0);
  });
});

describe("external data", () => {
  const identity4 = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 3 : 0)); // three times the identity
  const weights = new Uint8Array([...new Uint8Array(64), ...new Uint8Array(identity4.buffer)]);
  const x = f32([1, 2, 3, 4], [1, 4]);

  test("is read at its offset in the given folder", () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "weights.bin"), weights);
    for (const lowMemory of [false, true]) {
      using session = load("external", { externalDataFolder: folder.path, lowMemory });
      expect(session.run(inputs({ x }))).toEqual(inputs({ y: f32([3, 6, 9, 12], [1, 4]) }));
    }
  });

  test("that is missing, too short or a link out of the folder is refused, without naming the folder", () => {
    using folder = tempFolder();
    using outside = tempFolder();
    writeFileSync(join(outside.path, "weights.bin"), weights);
    const attempt = () => load("external", { externalDataFolder: folder.path });
    const path = join(folder.path, "weights.bin");
    expect(attempt).toThrow(failure("NATIVE", /^Cannot load the model: /));
    symlinkSync(join(outside.path, "weights.bin"), path);
    expect(attempt).toThrow(failure("NATIVE", /^Cannot load the model: /));
    expect(attempt).not.toThrow(failure("NATIVE", new RegExp(outside.path)));
    using short = tempFolder();
    writeFileSync(join(short.path, "weights.bin"), weights.slice(0, 100));
    expect(() => load("external", { externalDataFolder: short.path })).toThrow(
      failure("NATIVE", /^Cannot load the model: /),
    );
  });
});

describe("weights stored quantised", () => {
  const x = tensorOf(
    "float32",
    Array.from({ length: 32 }, (_, i) => Math.sin(i + 1)),
    [1, 32],
  );

  /** The error against the graph run as written, relative to the result's root mean square. */
  function errorOf(options: SessionOptions): number {
    using plain = load("dequantize", { optimization: "none" });
    using session: OrtSession = load("dequantize", options);
    const expected = numbersOf(plain.run(inputs({ x })).get("y") ?? x);
    const actual = numbersOf(session.run(inputs({ x })).get("y") ?? x);
    const rms = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length);
    return Math.max(...actual.map((value, i) => Math.abs(value - (expected[i] ?? 0)))) / rms;
  }

  test("are multiplied as the numbers they stand for, also in little memory", () => {
    expect(errorOf({})).toBeLessThan(1e-5);
    expect(errorOf({ lowMemory: true })).toBeLessThan(1e-5);
  });

  test("lose precision only when that is asked for", () => {
    expect(errorOf({ config: { "session.disable_quant_qdq": "0" } })).toBeGreaterThan(1e-4);
  });
});

describe("other settings", () => {
  test("give the same numbers", () => {
    const expected = f32([11, 22, 33, 44], [1, 4]);
    for (const options of [
      { arena: false },
      { threads: 2 },
      { optimization: "none" },
      { optimization: "basic" },
      { optimization: "extended" },
    ] as const) {
      using session = load("add", options);
      expect(session.run(inputs({ a, b })).get("sum")).toEqual(expected);
    }
    using session = runtime.createSession(onnxModel("add"));
    expect(session.run(inputs({ a, b })).get("sum")).toEqual(expected);
  });

  test("a profile names the ops that ran", () => {
    using folder = tempFolder();
    using session = load("add", { profilePrefix: join(folder.path, "profile") });
    session.run(inputs({ a, b }));
    const path = session.endProfiling();
    expect(path.startsWith(join(folder.path, "profile_"))).toBe(true);
    expect(existsSync(path)).toBe(true);
    expect(readFileSync(path, "utf8")).toContain('"op_name" : "Add"');
  });
});

describe("the end of a lifetime", () => {
  test("may come twice, and use after it is a clear error", () => {
    const session = load("add");
    session.run(inputs({ a, b }));
    session[Symbol.dispose]();
    session[Symbol.dispose]();
    const gone = failure("INTERNAL", "Cannot use an ONNX Runtime session that was disposed");
    expect(() => session.run(inputs({ a, b }))).toThrow(gone);
    expect(() => session.endProfiling()).toThrow(gone);
    expect(() => session.handle).toThrow(gone);
    expect(() => firstHandleOf(session)).toThrow(gone);
    expect(session.inputs).toHaveLength(2);
  });

  test("takes a runtime's sessions along, and leaves other runtimes alone", () => {
    const own = OnnxRuntime.open(library);
    const session = own.createSession(onnxModel("add"), { threads: 1 });
    using other = load("add");
    own[Symbol.dispose]();
    own[Symbol.dispose]();
    expect(() => session.run(inputs({ a, b }))).toThrow(failure("INTERNAL", /disposed/));
    session[Symbol.dispose]();
    const gone = failure("INTERNAL", "Cannot use an ONNX Runtime that was disposed");
    expect(() => own.createSession(onnxModel("add"))).toThrow(gone);
    expect(() => own.borrowSession(other.handle)).toThrow(gone);
    expect(other.run(inputs({ a, b })).get("sum")).toEqual(f32([11, 22, 33, 44], [1, 4]));
  });

  test("of a borrowed session leaves the owner's alone", () => {
    using owner = load("add");
    const borrowed = runtime.borrowSession(owner.handle);
    expect(borrowed.run(inputs({ a, b })).get("sum")).toEqual(f32([11, 22, 33, 44], [1, 4]));
    borrowed[Symbol.dispose]();
    expect(owner.run(inputs({ a, b })).get("sum")).toEqual(f32([11, 22, 33, 44], [1, 4]));
  });

  test("of the process does not wait for it", () => {
    const done = Bun.spawnSync([process.execPath, testFile("support/native/left-open.ts"), library]);
    expect(done.stdout.toString()).toBe("11,22,33,44");
    expect(done.stderr.toString()).toBe("");
    expect(done.exitCode).toBe(0);
  });
});
