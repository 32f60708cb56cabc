// Figures from raw data, by source: what is read, what is no figure, and what is no such file.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../../src/core/errors.ts";
import type { Findings } from "../../../../src/suites/gate/findings.ts";
import { sourceNames } from "../../../../src/suites/gate/profile-schema.ts";
import { sources } from "../../../../src/suites/gate/sources.ts";
import { readBench } from "../../../../src/suites/gate/sources/bench.ts";
import { readCrashReports, readHandles, readOutputs } from "../../../../src/suites/gate/sources/counts.ts";
import { readCoverage } from "../../../../src/suites/gate/sources/coverage.ts";
import { readMatrix } from "../../../../src/suites/gate/sources/matrix.ts";
import { readParity } from "../../../../src/suites/gate/sources/parity.ts";
import { readSanitizers } from "../../../../src/suites/gate/sources/sanitizers.ts";
import { readSoak } from "../../../../src/suites/gate/sources/soak.ts";
import { readTests } from "../../../../src/suites/gate/sources/tests.ts";
import {
  benchRaw,
  crashReportsRaw,
  fastvit,
  handlesRaw,
  junitXml,
  lcovText,
  llvmText,
  matrixRaw,
  outputsRaw,
  parityRaw,
  sanitizerLog,
  soakRaw,
} from "../../../support/gate-evidence.ts";

const figuresOf = ({ measures }: Findings, digest?: string) =>
  Object.fromEntries(
    Object.entries(measures).map(([name, measure]) => {
      const reading = measure(digest);
      return [name, typeof reading === "string" ? reading : reading.value];
    }),
  );
const messageOf = (read: () => unknown): string => {
  try {
    read();
  } catch (error) {
    if (error instanceof CoremlxError && error.code === "BAD_INPUT") return error.message;
    throw error;
  }
  return "";
};

test("every source offers the metrics that its table names", () => {
  const raws: Record<(typeof sourceNames)[number], unknown> = {
    bench: benchRaw("linux"),
    soak: soakRaw("linux"),
    outputs: outputsRaw("linux"),
    handles: handlesRaw("linux"),
    "crash-reports": crashReportsRaw("linux"),
    tests: junitXml,
    coverage: lcovText,
    sanitizers: sanitizerLog,
    matrix: matrixRaw("m2"),
    parity: parityRaw("linux"),
  };
  for (const source of sourceNames) {
    const raw = raws[source];
    const { read, metrics } = sources[source];
    const text = typeof raw === "string" ? raw : JSON.stringify(raw);
    expect(Object.keys(read(text, "a").measures)).toEqual(Object.keys(metrics));
  }
});

describe("a soak", () => {
  test("has its figures, of the whole or of one model", () => {
    const figures = {
      failures: 0,
      "wrong-answers": 0,
      "success-share": 1,
      "growth-bytes": 1e6,
      "slope-bytes-per-hour": 1e6,
      "p99-ms": 20,
      drifts: 0,
      "breaker-trips": 0,
      crashes: 0,
    };
    expect(figuresOf(readSoak(soakRaw("linux"), "a"))).toEqual(figures);
    expect(figuresOf(readSoak(soakRaw("linux"), "a"), fastvit)).toEqual(figures);
    expect(figuresOf(readSoak(soakRaw("linux"), "a"), "another")).toEqual({
      ...figures,
      "wrong-answers": "the soak has no such model",
      "p99-ms": "the soak has no such model",
      drifts: "the soak has no such model",
    });
  });

  test("is judged by these limits, not by those it was run with", () => {
    const raw = soakRaw("linux");
    const [model] = raw.models;
    if (model === undefined) throw new Error("no model");
    const drifted = { ...model, p99Drift: { points: 120, change: 0.3, pValue: 0.0001 } };
    const limits = { ...raw.configuration.limits, maxDriftShare: 9, trendAfterMs: 1 };
    const loose = { ...raw, models: [drifted], configuration: { ...raw.configuration, limits } };
    expect(figuresOf(readSoak(loose, "a"))).toMatchObject({ drifts: 1 });
    expect(figuresOf(readSoak({ ...loose, elapsedMs: 60_000 }, "a"))).toMatchObject({
      drifts: "median drift: takes 10 minutes and enough calls in ten blocks",
      "growth-bytes": "memory growth: takes 10 minutes and enough calls in ten blocks",
    });
  });

  test("takes the worst of several models, and adds up what they counted", () => {
    const raw = soakRaw("linux");
    const [model] = raw.models;
    const [window] = raw.windows;
    if (model === undefined || window?.models[0] === undefined) throw new Error("no model");
    const second = { ...model, name: "Second", digest: "2", wrong: 2, failed: 3 };
    const windows = [{ ...window, models: [window.models[0], { ...window.models[0], p99Ms: 90 }] }];
    const both = readSoak({ ...raw, models: [{ ...model, wrong: 1 }, second], windows }, "a");
    expect(figuresOf(both)).toMatchObject({ "wrong-answers": 3, failures: 3, "p99-ms": 90 });
    expect(figuresOf(both, fastvit)).toMatchObject({ "wrong-answers": 1, failures: 3, "p99-ms": 20 });
  });

  test("that was interrupted shows nothing", () => {
    const figures = figuresOf(readSoak({ ...soakRaw("linux"), isInterrupted: true }, "a"));
    expect(new Set(Object.values(figures))).toEqual(new Set(["the soak was interrupted"]));
  });
});

describe("a bench", () => {
  test("has its figures", () => {
    expect(figuresOf(readBench(benchRaw("linux"), "a"), "ab12")).toEqual({
      "avoided-share": 1,
      "hit-share": 0.9995,
      concurrent: 4,
      "p50-ms": 10,
      "p99-ms": 19.5,
      "throughput-per-second": 100,
      failures: 0,
    });
  });

  test("carries as many at once as it has callers and instances, and none where a call was lost", () => {
    const raw = benchRaw("linux");
    const concurrent = (changes: object) => figuresOf(readBench({ ...raw, ...changes }, "a"))["concurrent"];
    const { pool, steady, configuration } = raw;
    expect(concurrent({ pool: { ...pool, instances: 3 } })).toBe(3);
    expect(
      concurrent({ configuration: { ...configuration, load: { mode: "closed", concurrency: 2 } } }),
    ).toBe(2);
    expect(concurrent({ pool: { ...pool, refused: 1 } })).toBe(0);
    expect(concurrent({ steady: { ...steady, failed: 1 } })).toBe(0);
    expect(concurrent({ pool: null })).toBe("the engine has no pool here");
    const open = { mode: "open", ratePerSecond: 5, arrivals: "fixed", seed: 0 };
    expect(concurrent({ configuration: { ...configuration, load: open } })).toBe(
      "the load had a rate, not callers",
    );
  });

  test("of another model, or interrupted, shows nothing", () => {
    const other = new Set(Object.values(figuresOf(readBench(benchRaw("linux"), "a"), "other")));
    expect(other).toEqual(new Set(["the bench is of another model"]));
    const broken = readBench({ ...benchRaw("linux"), isInterrupted: true }, "a");
    expect(new Set(Object.values(figuresOf(broken)))).toEqual(new Set(["the bench was interrupted"]));
  });

  test("without buffers or answers says so", () => {
    const { pool, steady } = benchRaw("linux");
    const bare = {
      ...benchRaw("linux"),
      pool: pool && { ...pool, buffers: null },
      steady: steady && { ...steady, latency: null },
    };
    expect(figuresOf(readBench(bare, "a"))).toMatchObject({
      "avoided-share": "no buffer was lent",
      "p99-ms": "no call was answered",
    });
  });
});

describe("a matrix", () => {
  const raw = matrixRaw("m2");
  const [machine] = raw.machines;
  const [model] = machine?.models ?? [];
  const [ane] = model?.cells ?? [];
  if (machine === undefined || model === undefined || ane === undefined) throw new Error("no cell");
  const withCells = (...cells: readonly object[]) => ({
    ...raw,
    machines: [{ ...machine, models: [{ ...model, cells }] }],
  });

  test("has the figures of the Neural Engine, for one model", () => {
    const figures = {
      failed: 0,
      regressions: 0,
      "speed-up": 2.9,
      "dispatch-share": 0.8,
      "p99-ms": 17,
      "growth-bytes": 5e6,
    };
    expect(figuresOf(readMatrix(raw, "a"), fastvit)).toEqual(figures);
    expect(figuresOf(readMatrix(raw, "a"))).toEqual(figures);
    const two = { ...raw, machines: [{ ...machine, models: [model, { ...model, digest: "other" }] }] };
    expect(figuresOf(readMatrix(two, "a"), fastvit)).toEqual(figures);
    expect(figuresOf(readMatrix(two, "a"))["speed-up"]).toBe(
      "the matrix has several models, and the criterion names none",
    );
  });

  test("says what was not measured", () => {
    const none = { ...ane, device: "ane", reason: "there is no Neural Engine here" };
    expect(figuresOf(readMatrix(withCells({ ...ane, device: "cpu" }, none), "a"))).toMatchObject({
      failed: "FastViT T8 F16 on ane: there is no Neural Engine here",
      "speed-up": "not measured in the matrix: there is no Neural Engine here",
    });
    expect(figuresOf(readMatrix(withCells(none), "a"))["failed"]).toBe("no cell was measured");
    const bare = { ...raw, comparisons: [{ against: "other system", file: "b", regressions: 0 }] };
    expect(figuresOf(readMatrix(bare, "a"))["regressions"]).toBe(
      "there is no baseline of this chip, system and engine",
    );
    const blank = withCells({ ...ane, speedUp: null, p99Ms: null, plannedDispatch: null });
    expect(figuresOf(readMatrix(blank, "a"))).toMatchObject({
      "speed-up": "not measured in the matrix",
      "p99-ms": "not measured in the matrix",
      "dispatch-share": "not measured in the matrix",
    });
    const interrupted = figuresOf(readMatrix({ ...raw, isInterrupted: true }, "a"));
    expect(new Set(Object.values(interrupted))).toEqual(new Set(["the matrix was interrupted"]));
  });

  test("needs no Neural Engine to pass on the portable engine", () => {
    const linux = matrixRaw("linux");
    const [own] = linux.machines;
    const cells = [
      { ...ane, device: "cpu" },
      { ...ane, reason: "no such device" },
    ];
    const measured = { ...linux, machines: [{ ...own, models: [{ ...model, cells }] }] };
    expect(figuresOf(readMatrix(measured, "a"))["failed"]).toBe(0);
  });

  test("from a tape says so, and one of several machines is none", () => {
    const source = { kind: "tape", name: "a tape of Apple M4 Max, 25F71, 2026-11-20" };
    const { engines } = readMatrix({ ...raw, machines: [{ ...machine, source }] }, "a");
    expect(engines).toEqual([{ name: "tape", version: "Core ML 26.5", device: source.name }]);
    expect(messageOf(() => readMatrix({ ...raw, machines: [machine, machine] }, "a"))).toBe(
      "Cannot read a as evidence: it is of 2 machines",
    );
    expect(messageOf(() => readMatrix({}, "a"))).toStartWith("Cannot read a as a matrix result: /");
  });
});

describe("parity", () => {
  const raw = parityRaw("linux");
  const [kept] = raw.verdict.criteria;
  const withCriteria = (...criteria: readonly object[]) => ({ ...raw, verdict: { criteria } });
  const failedOf = (value: unknown, digest?: string) => readParity(value, "a").measures["failed"]?.(digest);

  test("counts the limits that were not kept", () => {
    expect(failedOf(raw, fastvit)).toEqual({ value: 0, detail: "1 limits against saved outputs" });
    const reference = { ...raw.subject, device: "cpu" };
    expect(failedOf({ ...withCriteria(kept ?? {}, { ...kept, status: "fail" }), reference })).toEqual({
      value: 1,
      detail: "2 limits against portable cpu; range of y",
    });
  });

  test("says what was not measured", () => {
    expect(failedOf(withCriteria())).toBe("nothing was compared");
    expect(failedOf(withCriteria({ ...kept, status: "not measured" }))).toBe("range of y was not measured");
    expect(failedOf({ ...raw, subject: raw.reference })).toBe("nothing was predicted");
    expect(failedOf(raw, "other")).toBe("the comparison is of another model");
    expect(messageOf(() => readParity({}, "a"))).toStartWith("Cannot read a as a parity result: /");
  });
});

describe("a count", () => {
  test("of mapped outputs looks at those beyond the limit", () => {
    const raw = outputsRaw("linux");
    expect(figuresOf(readOutputs(raw, "a"))).toEqual({ "mapped-share": 1, "wrong-outputs": 0 });
    const inline = { byteLength: 10_000_001, isMapped: false, isRight: false };
    expect(figuresOf(readOutputs({ ...raw, outputs: [...raw.outputs, inline] }, "a"))).toEqual({
      "mapped-share": 0.5,
      "wrong-outputs": 1,
    });
    const small = { ...raw, outputs: [{ byteLength: 10_000_000, isMapped: false, isRight: true }] };
    expect(figuresOf(readOutputs(small, "a"))["mapped-share"]).toBe("no output was that large");
  });

  test("of handles needs some that were alive", () => {
    expect(figuresOf(readHandles(handlesRaw("m2"), "a"))).toEqual({ live: 0 });
    expect(figuresOf(readHandles({ ...handlesRaw("m2"), live: 2 }, "a"))).toEqual({ live: 2 });
    expect(figuresOf(readHandles({ ...handlesRaw("m2"), most: 0 }, "a"))).toEqual({
      live: "no handle was ever alive",
    });
  });

  test("of crash reports needs a folder that was looked at", () => {
    expect(figuresOf(readCrashReports(crashReportsRaw("m2"), "a"))).toEqual({ reports: 0 });
    const some = { ...crashReportsRaw("m2"), reports: ["coremlx-1.ips", "coremlx-2.ips"] };
    expect(figuresOf(readCrashReports(some, "a"))).toEqual({ reports: 2 });
    expect(figuresOf(readCrashReports({ ...some, folders: [] }, "a"))).toEqual({
      reports: "no folder was looked at",
    });
  });

  test("of another form is refused with the place", () => {
    expect(messageOf(() => readOutputs({}, "a.json"))).toStartWith("Cannot read a.json as outputs: /");
    expect(messageOf(() => readHandles({ ...handlesRaw("m2"), live: -1 }, "a.json"))).toStartWith(
      "Cannot read a.json as handles: /live: ",
    );
    expect(messageOf(() => readCrashReports(null, "a.json"))).toStartWith(
      "Cannot read a.json as crash-reports: the document: ",
    );
  });
});

describe("coverage", () => {
  test("of lcov counts lines, and a file that stands there twice once", () => {
    expect(figuresOf(readCoverage(lcovText, "a"))).toEqual({ "line-share": 0.96 });
    const twice = "SF:a\nDA:1,0\nDA:2,1\nend_of_record\nSF:a\nDA:1,5\nDA:2,0\nDA:3,0\nend_of_record\n";
    expect(readCoverage(twice, "a").measures["line-share"]?.(undefined)).toEqual({
      value: 2 / 3,
      detail: "2 of 3 lines in 1 files",
    });
  });

  test("of llvm-cov counts only the library, not what it is tested with", () => {
    expect(figuresOf(readCoverage(llvmText, "a"))).toEqual({ "line-share": 0.97 });
    const none = JSON.stringify({
      data: [{ files: [{ filename: "/x/other.swift", summary: { lines: { count: 1, covered: 1 } } }] }],
    });
    expect(figuresOf(readCoverage(none, "a"))).toEqual({ "line-share": "no line was counted" });
  });

  test.each([
    ["nothing", "", 'Cannot read a as lcov: ""'],
    ["some other text", "hello\n", 'Cannot read a as lcov: "hello\n"'],
    ["a count without a file", "DA:1,1\n", 'Cannot read a as lcov: "DA:1,1"'],
    ["a count that is none", "SF:a\nDA:1,x\n", 'Cannot read a as lcov: "DA:1,x"'],
    ["half a file", "SF:a\nDA:1,1\n", "Cannot read a as lcov: its end is missing"],
    ["broken JSON", "{", "Cannot read a as llvm-cov's export: it is no JSON"],
    ["JSON of something else", "{}", "Cannot read a as llvm-cov's export: it has no files"],
    [
      "a file without counts",
      '{"data":[{"files":[{"filename":"a"}]}]}',
      "Cannot read a as llvm-cov's export: a file has no line counts",
    ],
  ])("that is %s is refused", (_, text, message) => {
    expect(messageOf(() => readCoverage(text, "a"))).toBe(message);
  });
});

describe("a sanitizer's log", () => {
  const figures = (from: string, to: string) => figuresOf(readSanitizers(sanitizerLog.replace(from, to)));

  test("without a report, and with its controls seen, is clean", () => {
    expect(figuresOf(readSanitizers(sanitizerLog))).toEqual({ "memory-faults": 0, "data-races": 0 });
  });

  test("with a report is not", () => {
    expect(
      figures("(pass) the tests pass under the address", "(fail) the tests pass under the address"),
    ).toEqual({
      "memory-faults": 1,
      "data-races": 0,
    });
    expect(
      figures("(pass) the tests pass under the thread", "(fail) the tests pass under the thread"),
    ).toEqual({
      "memory-faults": 0,
      "data-races": 1,
    });
  });

  test.each(["useAfterFree", "leak", "race"])("whose control (%s) went unseen shows nothing", (control) => {
    const line = `a deliberate fault (${control}) is reported`;
    const unseen = `its control (${control}) was not reported: it may see nothing`;
    const key = control === "race" ? "data-races" : "memory-faults";
    expect(figures(`(pass) ${line}`, `(fail) ${line}`)[key]).toBe(unseen);
    expect(figures(`(pass) ${line}\n`, "")[key]).toBe(unseen);
  });

  test("that says nothing of it shows nothing", () => {
    expect(figuresOf(readSanitizers("skipped: no Swift toolchain\n"))).toEqual({
      "memory-faults": "the log does not say that the tests pass under the address sanitizer",
      "data-races": "the log does not say that the tests pass under the thread sanitizer",
    });
  });
});

describe("test results", () => {
  const xml = (cases: string) => `<testsuites><testsuite name="a">${cases}</testsuite></testsuites>`;

  test("are counted case by case", () => {
    expect(figuresOf(readTests(junitXml, "a"))).toEqual({ failed: 0, passed: 2, skipped: 0 });
    const cases = [
      '<testcase name="a > b" time="1"/>',
      "<testcase name='c /> d'></testcase>",
      '<testcase name="e"><failure message="x">no</failure></testcase>',
      '<testcase name="f"><error/></testcase>',
      '<testcase name="g"><skipped message="why" /></testcase>',
      '<testcase name="h"><system-out>failure</system-out></testcase>',
    ];
    expect(figuresOf(readTests(xml(cases.join("")), "a"))).toEqual({ failed: 2, passed: 3, skipped: 1 });
  });

  test("without a test that ran show nothing", () => {
    const only = xml('<testcase name="g"><skipped/></testcase>');
    expect(new Set(Object.values(figuresOf(readTests(only, "a"))))).toEqual(new Set(["no test ran"]));
  });

  test.each(["", "{}", "<testsuites>", "<testsuites><testsuite>", xml("<testcase name='a'>")])(
    "that are %p are refused",
    (text) => {
      expect(messageOf(() => readTests(text, "a"))).toStartWith("Cannot read a as JUnit XML: ");
    },
  );

  test("of a hostile file take no longer than its length", () => {
    const text = xml(`<testcase name="${"'>".repeat(50_000)}"/>`.repeat(4) + "<testcase/>".repeat(50_000));
    const began = performance.now();
    expect(figuresOf(readTests(text, "a"))["passed"]).toBe(50_004);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

test("nothing but findings or BAD_INPUT comes of any text, for any source", () => {
  const texts = [
    junitXml,
    lcovText,
    llvmText,
    sanitizerLog,
    ...[benchRaw, soakRaw, outputsRaw, matrixRaw, parityRaw].map((make) => JSON.stringify(make("linux"))),
  ];
  const mutated = fc
    .tuple(fc.constantFrom(...texts), fc.nat(), fc.nat({ max: 40 }), fc.string({ maxLength: 8 }))
    .map(([text, at, length, piece]) => {
      const start = at % text.length;
      return text.slice(0, start) + piece + text.slice(start + length);
    });
  fc.assert(
    fc.property(mutated, fc.constantFrom(...sourceNames), (text, name) => {
      try {
        figuresOf(sources[name].read(text, "a"));
      } catch (error) {
        expect(error).toBeInstanceOf(CoremlxError);
      }
    }),
    { numRuns: 1_000, seed: 7 },
  );
});
