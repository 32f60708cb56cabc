import { describe, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createLogger } from "../../../src/cli/logger.ts";
import { BrokenPipe, painter, plain, plainLine, table, writeAll } from "../../../src/cli/output.ts";
import { writeFileWhole } from "../../../src/native/write-file.ts";
import { safeName, summarizeOutputs, uniqueName, writeOutputFolder } from "../../../src/cli/results.ts";
import { f32, type FeatureValue, tensorOf } from "../../../src/core/tensor.ts";
import { testIo } from "../../support/io.ts";
import { tempFolder } from "../../support/temp.ts";

const unpainted = (_: string, text: string) => text;

describe("text for a terminal", () => {
  test("escapes from a model's metadata become visible", () => {
    expect(plain("a\u001b[31mred\u0007\u009b2J\n\tb\u202e")).toBe("a\\x1b[31mred\\x07\\x9b2J\n\tb\\x202e");
    expect(plainLine("a\nb\tc\r")).toBe("a b c\\x0d");
  });

  test("colours follow --color, NO_COLOR, FORCE_COLOR and the terminal, in this order", () => {
    const on = { stdout: true, stderr: false };
    const painted = (color: string, env: Record<string, string>, isTerminal = on) =>
      painter({ env, isTerminal }, color, "stdout")("red", "x") !== "x";
    expect(painted("auto", {})).toBe(true);
    expect(painted("auto", { TERM: "dumb" })).toBe(false);
    expect(painted("auto", { NO_COLOR: "1", FORCE_COLOR: "1" })).toBe(false);
    expect(painted("auto", { FORCE_COLOR: "1" }, { stdout: false, stderr: false })).toBe(true);
    expect(painted("auto", { FORCE_COLOR: "0" })).toBe(false);
    expect(painted("always", { NO_COLOR: "1" })).toBe(true);
    expect(painted("never", { FORCE_COLOR: "1" })).toBe(false);
  });

  test("tables align by what is seen, not by bytes", () => {
    expect(
      table(
        [
          ["é", "1"],
          ["long", "22"],
        ],
        { right: [1] },
      ),
    ).toBe("é      1\nlong  22");
  });
});

describe("logs", () => {
  const options = { quiet: false, verbose: false, color: "never", "log-format": "text" } as const;

  test("go to stderr, with level and fields", () => {
    const io = testIo();
    const logger = createLogger(io, options);
    logger.log("info", "hello");
    logger.log("warn", "odd", { count: 2 });
    logger.log("debug", "unseen");
    expect(io.written).toEqual({ stdout: "", stderr: "hello\nwarn: odd count=2\n" });
  });

  test("are one JSON object a line when asked", () => {
    const io = testIo();
    createLogger(io, { ...options, "log-format": "json" }).log("warn", "odd", { count: 2 });
    expect(JSON.parse(io.written.stderr)).toMatchObject({ level: "warn", message: "odd", count: 2 });
  });

  test("--quiet keeps errors, --verbose adds details", () => {
    const io = testIo();
    createLogger(io, { ...options, quiet: true }).log("warn", "odd");
    createLogger(io, { ...options, quiet: true }).log("error", "bad");
    createLogger(io, { ...options, verbose: true }).log("debug", "detail");
    expect(io.written.stderr).toBe("error: bad\ndebug: detail\n");
  });
});

describe("files", () => {
  test("a file is written whole, and a failure leaves nothing", () => {
    using folder = tempFolder();
    const path = join(folder.path, "a.bin");
    writeFileWhole(path, new Uint8Array([1, 2, 3]));
    expect([...readFileSync(path)]).toEqual([1, 2, 3]);
    mkdirSync(join(folder.path, "taken"));
    writeFileSync(join(folder.path, "taken", "x"), "");
    expect(() => writeFileWhole(join(folder.path, "taken"), new Uint8Array(1))).toThrow();
    expect(() => writeFileWhole(join(folder.path, "missing", "b"), new Uint8Array(1))).toThrow(
      "a folder on its way is missing",
    );
    expect(readdirSync(folder.path).toSorted()).toEqual(["a.bin", "taken"]);
  });

  test("names of outputs cannot climb out or overwrite each other", () => {
    expect(["../x", "a b/c", "..", ""].map(safeName)).toEqual([".._x", "a_b_c", "_..", "_"]);
    const taken = new Set<string>();
    expect([
      uniqueName("A", ".npy", taken),
      uniqueName("a", ".npy", taken),
      uniqueName("A", ".npy", taken),
    ]).toEqual(["A.npy", "a-2.npy", "A-3.npy"]);
  });

  test("a folder of outputs holds arrays, pictures and an index of everything", () => {
    using folder = tempFolder();
    const picture = {
      kind: "image",
      width: 2,
      height: 1,
      colorSpace: "GRAYSCALE",
      constraint: { kind: "fixed" },
    } as const;
    const outputs = new Map<string, FeatureValue>([
      ["y", f32([1, 2])],
      ["Y", f32([3])],
      ["mask", tensorOf("uint8", [0, 255], [1, 2])],
      ["label", "cat"],
      ["probs", new Map([["cat", 0.75]])],
      ["count", 3n],
    ]);
    const index = writeOutputFolder(folder.path, outputs, [
      { name: "mask", description: "", type: picture, isOptional: false },
    ]);
    expect(index).toEqual({
      y: { dtype: "float32", shape: [2], file: "y.npy" },
      Y: { dtype: "float32", shape: [1], file: "Y-2.npy" },
      mask: { dtype: "uint8", shape: [1, 2], file: "mask.png" },
      label: "cat",
      probs: { cat: 0.75 },
      count: 3,
    });
    expect(JSON.parse(readFileSync(join(folder.path, "outputs.json"), "utf8"))).toEqual(index);
    expect(existsSync(join(folder.path, "mask.png"))).toBe(true);
  });
});

test("a summary shows classes by probability, arrays by range and first values", () => {
  const outputs = new Map<string, FeatureValue>([
    ["label", "b\u001b"],
    [
      "probs",
      new Map([
        ["a", 0.2],
        ["b\u001b", 0.7],
        ["c", 0.1],
      ]),
    ],
    ["counts", new Map([[1n, 12]])],
    ["x", f32([0.5, -1, 2], [1, 3])],
    ["one", tensorOf("float16", [0.1], [])],
    ["none", f32([], [0])],
    ["big", tensorOf("int64", [2n ** 60n, 1n])],
    ["ids", [1n, 2n]],
    ["nan", f32([Number.NaN, 1])],
    ["score", 0.25],
  ]);
  const style = { top: 2, probabilities: "probs", hasBars: false, paint: unpainted };
  expect(summarizeOutputs(outputs, style)).toBe(
    [
      "label: b\\x1b",
      "probs:",
      "  b\\x1b  70.0 %",
      "  a      20.0 %",
      "  … 1 more (--top 3)",
      "counts:",
      "  1  12",
      "x: float32 [1, 3]  min -1  max 2  mean 0.5",
      "  0.5 -1 2",
      "one: float16 [] = 0.1",
      "none: float32 [0] (empty)",
      "big: int64 [2]  min 1  max 1152921504606846976  mean 576460752303423500",
      "  1152921504606846976 1",
      "ids: [1, 2]",
      "nan: float32 [2]  min 1  max 1  mean 1  1 NaN",
      "  NaN 1",
      "score: 0.25",
    ].join("\n"),
  );
});

test("on a terminal probabilities have bars, and what is no probability is no percentage", () => {
  const outputs = new Map<string, FeatureValue>([["probs", new Map([["cat", 0.5]])]]);
  const style = { top: 5, probabilities: "probs", hasBars: true, paint: unpainted };
  expect(summarizeOutputs(outputs, style)).toBe(`probs:\n  cat  50.0 %  ${"█".repeat(15)}`);
  const logits = new Map<string, FeatureValue>([["probs", new Map([["cat", -3.25]])]]);
  expect(summarizeOutputs(logits, style)).toBe("probs:\n  cat  -3.25");
});

test("writing to a pipe without a reader is a broken pipe, to a closed file an error", () => {
  using folder = tempFolder();
  const fd = openSync(join(folder.path, "x"), "w");
  writeAll(fd, "text");
  closeSync(fd);
  expect(() => writeAll(fd, "text")).toThrow("it is closed");
  expect(new BrokenPipe().name).toBe("BrokenPipe");
});
