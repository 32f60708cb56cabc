// Verdicts over synthetic evidence: each criterion passes, fails and is missed at each of its places, and nothing but a failure
// or a gap moves the verdict.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Evidence } from "../../../../src/suites/gate/evidence.ts";
import { gateD } from "../../../../src/suites/gate/gate-d.ts";
import { holds, judgeGate } from "../../../../src/suites/gate/judge.ts";
import type { PlaceName } from "../../../../src/suites/gate/profile-schema.ts";
import { admitAll, caseOf, greenEvidence } from "../../../support/gate-case.ts";
import {
  benchRaw,
  environmentOf,
  junitXml,
  type Machine,
  matrixRaw,
  soakRaw,
  type Synthetic,
} from "../../../support/gate-evidence.ts";

const green = greenEvidence();
const admitted = admitAll(green);

/** Raw data of a source, changed so that one criterion is not met. */
type Spoil = (raw: never) => unknown;
const soakModel = (changes: object) => (raw: ReturnType<typeof soakRaw>) => ({
  ...raw,
  models: raw.models.map((model) => ({ ...model, ...changes })),
});
const soakPool = (changes: object) => (raw: ReturnType<typeof soakRaw>) => ({
  ...raw,
  models: raw.models.map((model) => ({ ...model, pool: model.pool && { ...model.pool, ...changes } })),
});
const matrixModel =
  (changes: object, cellChanges: object = {}) =>
  (raw: ReturnType<typeof matrixRaw>) => ({
    ...raw,
    machines: raw.machines.map((machine) => ({
      ...machine,
      models: machine.models.map((model) => ({
        ...model,
        cells: model.cells.map((cell) => ({ ...cell, ...cellChanges })),
        ...changes,
      })),
    })),
  });
const matrixCell = (changes: object) => matrixModel({}, changes);
const times = (estimate: number) => ({ estimate, low: estimate, high: estimate, confidence: 0.95 });

/** By criterion: the evidence that decides it, how it is spoilt, and what else that spoils. */
const spoilt: Readonly<Record<string, { evidence: string; spoil: Spoil; also?: readonly string[] }>> = {
  "buffer-pool": {
    evidence: "bench",
    spoil: (raw: ReturnType<typeof benchRaw>) => ({
      ...raw,
      pool: raw.pool && {
        ...raw.pool,
        buffers: raw.pool.buffers && { ...raw.pool.buffers, avoidedRatio: 0.9 },
      },
    }),
  },
  "model-pool": {
    evidence: "bench-concurrent",
    spoil: (raw: ReturnType<typeof benchRaw>) => ({
      ...raw,
      pool: raw.pool && { ...raw.pool, instances: 3 },
    }),
  },
  outputs: {
    evidence: "outputs",
    spoil: (raw: object) => ({ ...raw, outputs: [{ byteLength: 11e6, isMapped: false, isRight: true }] }),
  },
  "outputs-right": {
    evidence: "outputs",
    spoil: (raw: object) => ({ ...raw, outputs: [{ byteLength: 11e6, isMapped: true, isRight: false }] }),
  },
  "soak-failures": { evidence: "soak", spoil: soakModel({ failed: 1 }) },
  "soak-answers": { evidence: "soak", spoil: soakModel({ wrong: 1 }) },
  "memory-growth": {
    evidence: "soak",
    spoil: (raw: ReturnType<typeof soakRaw>) => ({ ...raw, memory: { ...raw.memory, growthBytes: 50e6 } }),
  },
  p99: {
    evidence: "soak",
    spoil: (raw: ReturnType<typeof soakRaw>) => ({
      ...raw,
      windows: raw.windows.map((window) => ({
        ...window,
        models: window.models.map((model) => ({ ...model, p99Ms: 25 })),
      })),
    }),
  },
  "latency-stable": {
    evidence: "soak",
    spoil: soakModel({ p99Drift: { points: 99, change: 0.21, pValue: 0.001 } }),
  },
  breaker: { evidence: "soak", spoil: soakPool({ breakerTrips: 1 }) },
  matrix: { evidence: "matrix", spoil: matrixCell({ failed: 1 }) },
  "no-regressions": {
    evidence: "matrix",
    spoil: (raw: ReturnType<typeof matrixRaw>) => ({
      ...raw,
      comparisons: raw.comparisons.map((one) => ({ ...one, regressions: 1 })),
    }),
  },
  parity: {
    evidence: "parity",
    spoil: (raw: object) => ({
      ...raw,
      verdict: {
        outcome: "fail",
        criteria: [{ output: "y", figure: "range", value: 2, limit: 1, status: "fail" }],
      },
    }),
  },
  "speed-up": { evidence: "matrix", spoil: matrixCell({ speedUp: times(2.79) }) },
  dispatch: {
    evidence: "matrix",
    spoil: matrixCell({ plannedDispatch: { count: 0.69, cost: 0.9 } }),
    also: ["phase3-dispatch-share"],
  },
  "phase3-speed-up": { evidence: "matrix", spoil: matrixCell({ speedUp: times(2.69) }), also: ["speed-up"] },
  "phase3-dispatch-share": {
    evidence: "matrix",
    spoil: matrixCell({ plannedDispatch: { count: 0.745, cost: 0.9 } }),
  },
  "phase3-p99-ms": { evidence: "matrix", spoil: matrixCell({ p99Ms: 19.9 }) },
  "phase3-growth-bytes": {
    evidence: "matrix",
    spoil: matrixModel({ memory: { startBytes: 1, endBytes: 1, growthBytes: 9.1e6 } }),
  },
  tests: { evidence: "tests", spoil: () => junitXml.replace("></testcase>", "><failure/></testcase>") },
  "coverage-typescript": {
    evidence: "coverage-typescript",
    spoil: () =>
      `SF:a\n${Array.from({ length: 20 }, (_, i) => `DA:${i},${i < 19 ? 1 : 0}`).join("\n")}\nend_of_record\n`,
  },
  "coverage-swift": {
    evidence: "coverage-swift",
    spoil: (raw: string) => raw.replace('"covered":97', '"covered":95'),
  },
  "no-panics": { evidence: "soak", spoil: soakPool({ crashes: 1 }) },
  "crash-reports": {
    evidence: "crash-reports",
    spoil: (raw: object) => ({ ...raw, reports: ["coremlx-1.ips"] }),
  },
  "no-leaks": {
    evidence: "sanitizers",
    spoil: (raw: string) =>
      raw.replace("(pass) the tests pass under the address", "(fail) the tests pass under the address"),
  },
  "live-handles": { evidence: "handles", spoil: (raw: object) => ({ ...raw, live: 1 }) },
  "thread-safe": {
    evidence: "sanitizers",
    spoil: (raw: string) =>
      raw.replace("(pass) the tests pass under the thread", "(fail) the tests pass under the thread"),
  },
};

const machineOf = (place: PlaceName): Machine =>
  place === "linux" ? "linux" : place === "m1" || place === "m3" ? place : "m2";
const lines = gateD.criteria.flatMap(({ id, places }) =>
  places.map((place): [string, PlaceName] => [id, place]),
);

/** The same evidence, but for one file at one place. */
function replaced(id: string, place: PlaceName): Synthetic[] {
  const how = spoilt[id];
  if (how === undefined) throw new Error(`Nothing spoils ${id}`);
  return green.map((one) =>
    one.name === how.evidence && one.machine === machineOf(place)
      ? { ...one, raw: how.spoil(one.raw as never) }
      : one,
  );
}

describe("Gate D", () => {
  test("passes with every line shown on Linux and on M1, M2 and M3", () => {
    const { verdict, lines: judged } = judgeGate(caseOf(admitted));
    expect(verdict).toEqual({
      outcome: "pass",
      reasons: [],
      failed: [],
      incomplete: [],
      waived: [],
      passed: 43,
      lines: 43,
    });
    expect(judged.map(({ id }) => id)).toEqual(lines.map(([id, place]) => `${id}@${place}`));
  });

  test("has the limits of the mission, to the letter", () => {
    const limits = gateD.criteria.map(({ id, comparison, limit, unit }) => [
      id,
      `${comparison} ${limit} ${unit}`,
    ]);
    expect(Object.fromEntries(limits)).toEqual({
      "buffer-pool": "> 0.9 share",
      "model-pool": ">= 4 predictions",
      outputs: "== 1 share",
      "outputs-right": "== 0 outputs",
      "soak-failures": "== 0 calls",
      "soak-answers": "== 0 answers",
      "memory-growth": "< 50000000 bytes",
      p99: "< 25 ms",
      "latency-stable": "== 0 drifts",
      breaker: "== 0 trips",
      matrix: "== 0 cells",
      "no-regressions": "== 0 figures",
      parity: "== 0 limits",
      "speed-up": ">= 2.8 times",
      dispatch: ">= 0.7 share",
      "phase3-speed-up": ">= 2.698 times",
      "phase3-dispatch-share": ">= 0.74575 share",
      "phase3-p99-ms": "<= 19.8 ms",
      "phase3-growth-bytes": "<= 9000000 bytes",
      tests: "== 0 tests",
      "coverage-typescript": "> 0.95 share",
      "coverage-swift": "> 0.95 share",
      "no-panics": "== 0 processes",
      "crash-reports": "== 0 reports",
      "no-leaks": "== 0 runs",
      "live-handles": "== 0 handles",
      "thread-safe": "== 0 runs",
    });
    for (const { source, minimumMs } of gateD.criteria)
      if (source === "soak") expect(minimumMs).toBe(3_600_000);
  });

  test.each(lines)("fails for %s at %s, and for nothing else", (id, place) => {
    const { verdict } = judgeGate(caseOf(admitAll(replaced(id, place))));
    const also = (spoilt[id]?.also ?? []).map((other) => `${other}@mac`);
    expect(verdict).toMatchObject({ outcome: "fail", incomplete: [] });
    expect(verdict.failed.filter((line) => !also.includes(line))).toEqual([`${id}@${place}`]);
  });

  test.each(lines)("is incomplete without what shows %s at %s", (id, place) => {
    const name = spoilt[id]?.evidence;
    // Lines of any Mac are shown by three, or by the same source under another name.
    const source = green.find((one) => one.name === name)?.source;
    const isMac = (machine: Machine) =>
      place === "mac" ? machine !== "linux" : machine === machineOf(place);
    const isOther = (one: Synthetic) =>
      !(isMac(one.machine) && (id === "buffer-pool" ? one.source === source : one.name === name));
    const { verdict } = judgeGate(caseOf(admitAll(green.filter(isOther))));
    expect(verdict.outcome).toBe("incomplete");
    expect(verdict.incomplete).toContain(`${id}@${place}`);
  });

  test("of Linux alone is incomplete, with every line of Linux green", () => {
    const { verdict, lines: judged } = judgeGate(
      caseOf(admitted.filter(({ places }) => places.includes("linux"))),
    );
    expect(verdict.outcome).toBe("incomplete");
    for (const { place, status } of judged) expect(status).toBe(place === "linux" ? "pass" : "not measured");
  });

  test("passes on Linux alone where only Linux is required, and says what was left out", () => {
    const linux = admitted.filter(({ places }) => places.includes("linux"));
    const { verdict } = judgeGate(caseOf(linux, { required: "linux" }));
    expect(verdict).toMatchObject({
      outcome: "pass",
      incomplete: [],
      reasons: ["only what Linux can measure was required: 25 other lines not measured"],
    });
    const withFailure = [
      ...linux,
      ...admitAll(replaced("breaker", "mac")).filter(({ places }) => places.includes("mac")),
    ];
    expect(judgeGate(caseOf(withFailure, { required: "linux" })).verdict).toMatchObject({
      outcome: "fail",
      failed: ["breaker@mac"],
    });
  });
});

describe("a line", () => {
  const lineOf = (evidence: readonly Evidence[], id: string) =>
    judgeGate(caseOf(evidence)).lines.find((line) => line.id === id);
  const soakOf = (raw: unknown, machine: Machine = "linux"): Evidence[] =>
    admitAll([{ name: "soak", source: "soak", machine, raw }]);

  test("takes the worst of its evidence", () => {
    const worse = (growthBytes: number, name: string): Synthetic => {
      const raw = soakRaw("linux");
      return {
        name,
        source: "soak",
        machine: "linux",
        raw: { ...raw, memory: { ...raw.memory, growthBytes } },
      };
    };
    const evidence = admitAll([worse(1e6, "soak-a"), worse(70e6, "soak-b"), worse(60e6, "soak-c")]);
    expect(lineOf(evidence, "memory-growth@linux")).toMatchObject({
      status: "fail",
      value: 70e6,
      evidence: ["linux/soak-b.evidence.json", "linux/soak-c.evidence.json", "linux/soak-a.evidence.json"],
    });
  });

  test("is not shown by a soak of 59 minutes", () => {
    const short = soakOf({ ...soakRaw("linux"), elapsedMs: 59 * 60_000 });
    expect(lineOf(short, "soak-failures@linux")).toMatchObject({
      status: "not measured",
      detail: "soak: it lasted 59 minutes, and takes 60",
    });
  });

  test("is not shown by a tape, and says whose it is", () => {
    const device = "ane from a tape of Apple M4 Max, 25F71, 2026-11-20";
    const raw = soakRaw("linux");
    const models = raw.models.map((model) => ({
      ...model,
      engine: { name: "tape", version: "tape", device },
    }));
    const evidence = soakOf({ ...raw, models });
    for (const id of ["breaker@mac", "breaker@linux"])
      expect(lineOf(evidence, id)).toMatchObject({
        status: "not measured",
        value: null,
        detail: `soak: not measured here: ${device}`,
      });
  });

  test("of a performance is not shown by a machine on its battery", () => {
    const raw = matrixRaw("m2", environmentOf("m2", { powerSource: "battery" }));
    const evidence = admitAll([{ name: "matrix", source: "matrix", machine: "m2", raw }]);
    expect(lineOf(evidence, "speed-up@mac")).toMatchObject({
      status: "not measured",
      detail: "matrix: on its battery",
    });
  });

  test("of a regression cannot be compared with another chip, and is never passed", () => {
    const evidence = admitAll([{ name: "matrix", source: "matrix", machine: "m4", raw: matrixRaw("m4") }]);
    expect(lineOf(evidence, "phase3-p99-ms@mac")).toMatchObject({
      status: "not measured",
      detail: "matrix: not comparable: measured on M4, and the baseline is of M1, M2, M3",
    });
    expect(lineOf(evidence, "speed-up@mac")).toMatchObject({ status: "pass" });
  });

  test("of a model is not shown by another one, nor before its digest is known", () => {
    const raw = matrixModel({ digest: "ee".repeat(32) })(matrixRaw("m2"));
    const evidence = admitAll([{ name: "matrix", source: "matrix", machine: "m2", raw }]);
    expect(lineOf(evidence, "speed-up@mac")).toMatchObject({
      status: "not measured",
      detail: "matrix: the matrix has no such model",
    });
    const unbound = judgeGate(caseOf(admitted, { profile: gateD })).lines.filter(
      ({ model }) => model !== null,
    );
    expect(unbound.length).toBe(7);
    for (const { status, detail } of unbound) {
      expect(status).toBe("not measured");
      expect(detail).toBe("the digest of FastViT T8 F16 is not known: bind it with --bind fastvit-t8-f16=…");
    }
  });

  test("of dispatch counts only where the Neural Engine gave a sign of life", () => {
    for (const measuredDispatch of [0, null]) {
      const raw = matrixCell({ measuredDispatch })(matrixRaw("m2"));
      const evidence = admitAll([{ name: "matrix", source: "matrix", machine: "m2", raw }]);
      expect(lineOf(evidence, "dispatch@mac")).toMatchObject({
        status: "not measured",
        detail: "matrix: 80.0 % are planned, and nothing showed that the Neural Engine worked",
      });
    }
  });
});

describe("a verdict", () => {
  const waiver = {
    criterion: "breaker",
    name: "R. Manager",
    reason: "known, mended in 0.2",
    expires: "2026-12-01",
  };

  test("passes with a waiver for what failed, and says so first", () => {
    const evidence = admitAll(replaced("breaker", "linux"));
    const { verdict, waivers } = judgeGate(caseOf(evidence, { waivers: [waiver] }));
    expect(verdict).toMatchObject({ outcome: "pass", waived: ["breaker@linux"], reasons: ["1 line waived"] });
    expect(waivers).toEqual([{ ...waiver, state: "in force" }]);
  });

  test("does not pass with one that has expired, or is of another place", () => {
    const evidence = admitAll(replaced("breaker", "linux"));
    const expired = { ...waiver, expires: "2026-11-23" };
    const elsewhere = { ...waiver, place: "mac" as const };
    for (const [given, state] of [
      [expired, "expired"],
      [elsewhere, "not needed"],
    ] as const) {
      const judged = judgeGate(caseOf(evidence, { waivers: [given] }));
      expect(judged.verdict.outcome).toBe("fail");
      expect(judged.waivers).toEqual([{ ...given, state }]);
    }
    expect(
      judgeGate(caseOf(evidence, { waivers: [{ ...waiver, expires: "2026-11-24" }] })).verdict.outcome,
    ).toBe("pass");
  });

  test("never passes beside synthetic evidence, outside of tests", () => {
    const { allowSynthetic: _, ...real } = caseOf(admitted);
    expect(judgeGate(real).verdict).toMatchObject({
      outcome: "incomplete",
      reasons: [`${admitted.length} evidence files made up for a test: nothing passes beside them`],
    });
    const genuine = admitted.map((one) => ({ ...one, envelope: { ...one.envelope, isSynthetic: false } }));
    expect(judgeGate({ ...real, evidence: genuine }).verdict.outcome).toBe("pass");
    const refused = [{ file: "a", reason: "synthetic", isSynthetic: true }];
    expect(judgeGate({ ...real, evidence: genuine, refused }).verdict.outcome).toBe("incomplete");
  });

  test("does not pass over evidence of two commits, nor where nothing was shown", () => {
    const [first, ...others] = admitted;
    if (first === undefined) throw new Error("no evidence");
    const { envelope } = first;
    const other = { ...first, envelope: { ...envelope, binary: { ...envelope.binary, commit: "beef" } } };
    expect(judgeGate(caseOf([other, ...others])).verdict).toMatchObject({
      outcome: "incomplete",
      reasons: ["the evidence is of 2 different commits"],
    });
    const all = gateD.criteria.map(({ id }) => ({ ...waiver, criterion: id }));
    expect(judgeGate(caseOf([], { waivers: all })).verdict).toMatchObject({
      outcome: "incomplete",
      incomplete: [],
    });
  });

  const failures = lines.flatMap(([id, place]) =>
    admitAll(replaced(id, place)).filter((one) => !admitted.includes(one)),
  );
  const pile = fc.shuffledSubarray([...admitted, ...failures]);
  const rank = { pass: 2, incomplete: 1, fail: 0 } as const;

  test("is the same for any order of evidence", () => {
    fc.assert(
      fc.property(
        pile.chain((evidence) =>
          fc.tuple(fc.constant(evidence), fc.shuffledSubarray(evidence, { minLength: evidence.length })),
        ),
        ([evidence, shuffled]) => {
          expect(JSON.stringify(judgeGate(caseOf(shuffled)))).toBe(
            JSON.stringify(judgeGate(caseOf(evidence))),
          );
        },
      ),
      { numRuns: 100, seed: 1 },
    );
  });

  test("never improves by evidence of a failure", () => {
    const scope = fc.constantFrom("all" as const, "linux" as const);
    fc.assert(
      fc.property(pile, fc.constantFrom(...failures), scope, (evidence, failure, required) => {
        const before = judgeGate(caseOf(evidence, { required })).verdict;
        const after = judgeGate(caseOf([...evidence, failure], { required })).verdict;
        expect(rank[after.outcome]).toBeLessThanOrEqual(rank[before.outcome]);
        expect(after.failed).toEqual(expect.arrayContaining(before.failed));
      }),
      { numRuns: 150, seed: 2 },
    );
  });

  test("becomes a pass only where every required line passes or is waived", () => {
    fc.assert(
      fc.property(pile, (evidence) => {
        const { verdict, lines: judged } = judgeGate(caseOf(evidence));
        expect(verdict.outcome === "pass").toBe(judged.every(({ status }) => status === "pass"));
      }),
      { numRuns: 100, seed: 3 },
    );
  });
});

test.each([
  [1, "<", 2, true],
  [2, "<", 2, false],
  [2, "<=", 2, true],
  [3, "<=", 2, false],
  [2, "==", 2, true],
  [2.1, "==", 2, false],
  [2, ">=", 2, true],
  [1, ">=", 2, false],
  [3, ">", 2, true],
  [2, ">", 2, false],
  [Number.NaN, "<", 2, false],
  [Number.NaN, ">=", 2, false],
] as const)("%p %s %p is %p", (value, comparison, limit, expected) => {
  expect(holds(value, comparison, limit)).toBe(expected);
});
