// What may count as evidence: everything that is refused, and for what it is worth where it is not.

import { describe, expect, test } from "bun:test";
import { admitEvidence, isRefusal } from "../../../../src/suites/gate/evidence.ts";
import {
  admission,
  admit,
  benchRaw,
  binary,
  bytesOf,
  encodeRaw,
  environmentOf,
  envelopeOf,
  lcovText,
  nowMs,
  soakRaw,
  type Synthetic,
} from "../../../support/gate-evidence.ts";

const linux: Synthetic = { name: "bench", source: "bench", machine: "linux", raw: benchRaw("linux") };
const reasonOf = (evidence: ReturnType<typeof admit>) => (isRefusal(evidence) ? evidence.reason : undefined);
const placesOf = (synthetic: Synthetic) => {
  const evidence = admit(synthetic);
  return isRefusal(evidence) ? evidence.reason : [evidence.places, evidence.excuse];
};
const dayMs = 86_400_000;
const ago = (ms: number) => new Date(nowMs - ms).toISOString();

describe("evidence", () => {
  test("of this binary, fresh and whole, is admitted", () => {
    expect(admit(linux)).toMatchObject({ file: "linux/bench.evidence.json", places: ["any", "linux"] });
  });

  test.each([
    [
      "another binary",
      { binary: { ...binary, sha256: "cd".repeat(32) } },
      "of another binary: cdcdcdcdcdcd, version 0.1.0",
    ],
    [
      "more than 14 days",
      { startedAt: ago(15 * dayMs), endedAt: ago(14.5 * dayMs) },
      "too old: it ended at 2026-11-10T00:00:00.000Z, 14.5 days ago, and may be 14",
    ],
    ["the future", { endedAt: ago(-10 * 60_000) }, "from the future: it ended at 2026-11-24T12:10:00.000Z"],
    [
      "an end before its beginning",
      { startedAt: ago(1), endedAt: ago(2) },
      "its times are none: 2026-11-24T11:59:59.999Z to 2026-11-24T11:59:59.998Z",
    ],
    [
      "no such month",
      { startedAt: "2026-13-01T00:00:00Z" },
      "its times are none: 2026-13-01T00:00:00Z to 2026-11-24T09:00:00.000Z",
    ],
    [
      "another machine than its raw data",
      { environment: environmentOf("m2") },
      "its raw data is of another chip: null, not M2",
    ],
    [
      "another commit than its raw data",
      { environment: { ...environmentOf("linux"), tool: { version: "0.1.0", commit: "beef", bun: "1" } } },
      `its raw data is of another commit: ${binary.commit}, not beef`,
    ],
    [
      "another build than its binary",
      { binary: { ...binary, commit: "beef" } },
      "its raw data was made by another build than the binary it names",
    ],
    ["other models", { models: [{ name: "a", digest: "b" }] }, "its raw data is of other models"],
    ["other engines", { engines: [] }, "its raw data is of other engines"],
    [
      "other raw data than was recorded",
      { raw: { file: "bench.json", sha256: "00".repeat(32) } },
      'its raw data "bench.json" is not what was recorded: another digest',
    ],
    [
      "another source",
      { source: "soak" },
      expect.stringMatching(/^Cannot read bench.json as a soak result: /),
    ],
    ["another form", { kind: "proof" }, "not an evidence file: /kind: Expected 'evidence'"],
    [
      "a path in its file name",
      { raw: { file: "../bench.json", sha256: "00".repeat(32) } },
      expect.stringMatching(/^not an evidence file: \/raw\/file: /),
    ],
  ])("of %s is refused", (_, changes, reason) => {
    expect(reasonOf(admit(linux, changes))).toEqual(reason);
  });

  test("as old as it may be is admitted, and as far ahead as clocks differ", () => {
    expect(reasonOf(admit(linux, { startedAt: ago(15 * dayMs), endedAt: ago(14 * dayMs) }))).toBeUndefined();
    expect(reasonOf(admit(linux, { endedAt: ago(-5 * 60_000) }))).toBeUndefined();
  });

  test("without its raw data, or with other bytes in its place, is refused", () => {
    const bytes = bytesOf(linux);
    expect(admitEvidence({ ...bytes, raw: undefined }, admission)).toMatchObject({
      reason: 'its raw data "bench.json" is missing or too large',
    });
    const raw = encodeRaw({ ...benchRaw("linux"), warnings: ["one byte more"] });
    expect(admitEvidence({ ...bytes, raw }, admission)).toMatchObject({
      reason: 'its raw data "bench.json" is not what was recorded: another digest',
    });
  });

  test("whose raw data is no text is refused", () => {
    const raw = new Uint8Array([0xff, 0xfe, 0x00]);
    const sha256 = new Bun.CryptoHasher("sha256").update(raw).digest("hex");
    const envelope = envelopeOf(linux, { raw: { file: "bench.json", sha256 } });
    expect(isRefusal(admitEvidence({ ...bytesOf(linux), envelope, raw }, admission))).toBe(true);
  });

  test("that is synthetic is refused outside of tests", () => {
    const { allowSynthetic: _, ...real } = admission;
    expect(admitEvidence(bytesOf(linux), real)).toEqual({
      file: "linux/bench.evidence.json",
      reason: "synthetic: it was made up for a test",
      isSynthetic: true,
    });
    expect(isRefusal(admitEvidence(bytesOf(linux, { isSynthetic: false }), real))).toBe(false);
  });

  test.each([[null], [4], ["text"], [[]], [{}]])("that is %p is none", (envelope) => {
    expect(admitEvidence({ file: "a", envelope, raw: undefined }, admission)).toMatchObject({
      file: "a",
      reason: expect.stringMatching(/^not an evidence file: /),
    });
  });
});

describe("where evidence counts", () => {
  const on = (changes: Parameters<typeof environmentOf>[1], machine: "m2" | "m4" = "m2"): Synthetic => ({
    name: "soak",
    source: "soak",
    machine,
    raw: soakRaw(machine, environmentOf(machine, changes)),
  });
  const withEngine = (machine: "linux" | "m2", engine: object): Synthetic => {
    const raw = { ...benchRaw(machine), engine };
    return { name: "bench", source: "bench", machine, raw };
  };

  test("is the machine it was measured on", () => {
    expect(placesOf(linux)).toEqual([["any", "linux"], undefined]);
    expect(placesOf(on({}))).toEqual([["any", "mac", "m2"], undefined]);
    expect(placesOf(on({ chip: "Apple M4 Max" }, "m4"))).toEqual([["any", "mac", "m4"], undefined]);
    expect(placesOf(on({ chip: "M9" }))).toEqual([["any", "mac"], undefined]);
    expect(placesOf(on({ chip: "M21" }))).toEqual([["any", "mac"], undefined]);
    expect(placesOf({ name: "coverage", source: "coverage", machine: "linux", raw: lcovText })).toEqual([
      ["any", "linux"],
      undefined,
    ]);
  });

  test("is no Mac for a virtual one, which has no Neural Engine", () => {
    expect(placesOf(on({ isVirtual: true }))).toEqual([["any"], "a virtual machine has no Neural Engine"]);
  });

  test("is nowhere for a tape, a server, stand-ins, and the portable engine of a Mac", () => {
    const device = "ane from a tape of Apple M4 Max, 25F71, 2026-11-20";
    expect(placesOf(withEngine("linux", { name: "tape", version: "tape", device }))).toEqual([
      [],
      `not measured here: ${device}`,
    ]);
    expect(placesOf(withEngine("linux", { name: "http", version: "triton 2", device: "x" }))).toEqual([
      [],
      "answered elsewhere: triton 2",
    ]);
    expect(placesOf(withEngine("linux", { name: "coreml", version: "stand-in", device: "cpu" }))).toEqual([
      [],
      "over stand-ins of Apple's frameworks",
    ]);
    expect(placesOf(withEngine("m2", { name: "portable", version: "ORT", device: "cpu" }))).toEqual([
      [],
      "not by Core ML",
    ]);
  });

  test.each([
    [{ isLowPowerMode: true }, "in low-power mode"],
    [{ powerSource: "battery" as const }, "on its battery"],
    [{ thermalState: "serious" as const }, "hot at the start: serious"],
    [{ thermalState: "fair" as const }, undefined],
    [{}, undefined],
  ])("%p is a doubt about its performance: %p", (changes, doubt) => {
    const evidence = admit(on(changes));
    expect(isRefusal(evidence) ? evidence.reason : evidence.doubt).toBe(doubt);
  });
});
