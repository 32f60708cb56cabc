// Evidence made up for tests of the gate, and marked as such: every criterion of a profile met, on Linux and on Macs, and each
// figure to be changed.

import {
  admitEvidence,
  type Evidence,
  type EvidenceBytes,
  type Refusal,
} from "../../src/suites/gate/evidence.ts";
import type { EvidenceFile } from "../../src/suites/gate/evidence-schema.ts";
import type { Findings } from "../../src/suites/gate/findings.ts";
import type { SourceName } from "../../src/suites/gate/profile-schema.ts";
import { sources } from "../../src/suites/gate/sources.ts";
import type { SoakResult } from "../../src/suites/soak/schema.ts";
import { benchResult } from "./bench-result.ts";
import { soakConfiguration } from "./soak-model.ts";

export const binary: EvidenceFile["binary"] = {
  sha256: "ab".repeat(32),
  version: benchResult.environment.tool.version,
  commit: benchResult.environment.tool.commit,
};
export const nowMs = Date.parse("2026-11-24T12:00:00.000Z");
export const fastvit = "f0".repeat(32);

type Environment = EvidenceFile["environment"];
export type Machine = "linux" | "m1" | "m2" | "m3" | "m4";

export function environmentOf(machine: Machine, changes: Partial<Environment["device"]> = {}): Environment {
  const { environment } = benchResult;
  if (machine === "linux") return { ...environment, device: { ...environment.device, ...changes } };
  const chip = machine.toUpperCase();
  return {
    ...environment,
    os: { platform: "darwin", kernel: "25.5.0", arch: "arm64" },
    cpu: { model: `Apple ${chip}`, cores: 8 },
    device: {
      ...environment.device,
      system: "macOS 26.5 (25F71)",
      osVersion: "26.5",
      osBuild: "25F71",
      model: "Mac1,1",
      chip,
      isNeuralEngineCapable: true,
      neuralEngineCores: 16,
      isAneAvailable: true,
      isVirtual: false,
      powerSource: "ac",
      isLowPowerMode: false,
      thermalState: "nominal",
      ...changes,
    },
  };
}

const engineOf = (machine: Machine) =>
  machine === "linux"
    ? { name: "portable", version: "ONNX Runtime 1.27.0", device: "cpu" }
    : { name: "coreml", version: "Core ML 26.5", device: "ane" };

/** What a test changes in raw data. */
export type Change = Readonly<Record<string, unknown>>;

export function benchRaw(machine: Machine, environment = environmentOf(machine)) {
  const pool = benchResult.pool && { ...benchResult.pool, instances: 4, most: 4, allowed: 4 };
  const load = { mode: "closed", concurrency: 4 } as const;
  return {
    ...benchResult,
    environment,
    engine: engineOf(machine),
    configuration: { ...benchResult.configuration, load, instances: 4 },
    pool,
  };
}

export function soakRaw(machine: Machine, environment = environmentOf(machine)): SoakResult {
  const figures = { completed: 10_000, failed: 0, wrong: 0, p50Ms: 5, p99Ms: 20, maxMs: 24 };
  const span = {
    fromMs: 0,
    toMs: 3_600_000,
    process: 0,
    isVoid: false,
    residentBytes: 100e6,
    models: [figures],
  };
  return {
    schemaVersion: 1,
    kind: "soak",
    startedAt: "2026-11-24T08:00:00.000Z",
    endedAt: "2026-11-24T09:00:00.000Z",
    environment,
    configuration: { ...soakConfiguration, durationMs: 3_600_000 },
    processes: [{ startedAt: "2026-11-24T08:00:00.000Z", fromMs: 0, toMs: 3_600_000, end: "finished" }],
    elapsedMs: 3_600_000,
    unsent: 0,
    models: [
      {
        name: "FastViT",
        path: "FastViT.mlpackage",
        digest: fastvit,
        kind: "mlProgram",
        function: "main",
        engine: engineOf(machine),
        comparison: { mode: "bits", tolerance: 0, inputs: 8, digest: "r" },
        completed: 10_000,
        failed: 0,
        wrong: 0,
        failures: [],
        latency: { count: 10_000, minMs: 1, meanMs: 5, p50Ms: 5, p90Ms: 9, p99Ms: 20, p999Ms: 22, maxMs: 24 },
        medianDrift: { points: 120, change: 0.01, pValue: 0.5 },
        p99Drift: { points: 120, change: 0.01, pValue: 0.5 },
        pool: { breakerTrips: 0, crashes: 0, replaced: 0, recycled: 0, refused: 0 },
      },
    ],
    faults: [],
    oddFaults: [],
    wrongAnswers: [],
    memory: {
      startBytes: 100e6,
      endBytes: 101e6,
      peakBytes: 102e6,
      growthBytes: 1e6,
      slope: { estimate: 1e6, low: -1e6, high: 3e6, confidence: 0.95, unit: "bytes/hour" },
      neuralEngineBytes: null,
    },
    windows: [{ ...span, thermalState: null, powerSource: null, powerWatts: null }],
    blocks: [span],
    verdict: { outcome: "pass", criteria: [] },
    isInterrupted: false,
    warnings: [],
  };
}

export function outputsRaw(machine: Machine, environment = environmentOf(machine)) {
  return {
    schemaVersion: 1,
    kind: "outputs",
    environment,
    engine: engineOf(machine),
    model: { name: "LargeOutput", digest: "1a" },
    limitBytes: 10_000_000,
    outputs: [
      { byteLength: 16_777_216, isMapped: true, isRight: true },
      { byteLength: 8_192, isMapped: false, isRight: true },
    ],
  };
}

export function handlesRaw(machine: Machine) {
  return {
    schemaVersion: 1,
    kind: "handles",
    library: "libcoremlx 0.1.0",
    isStandIn: machine === "linux",
    predictions: 1_000,
    most: 9,
    live: 0,
  };
}

export function crashReportsRaw(machine: Machine, environment = environmentOf(machine)) {
  const folders = ["/Library/Logs/DiagnosticReports"];
  return {
    schemaVersion: 1,
    kind: "crash-reports",
    environment,
    folders,
    since: "2026-11-20T00:00:00.000Z",
    reports: [] as string[],
  };
}

export function parityRaw(machine: Machine, environment = environmentOf(machine)) {
  const { name, version, device } = engineOf(machine);
  const model = { path: "FastViT.mlpackage", digest: fastvit, function: "main" };
  return {
    schemaVersion: 1,
    kind: "parity",
    environment,
    subject: { kind: "engine", engine: name, engineVersion: version, device, model },
    reference: { kind: "saved", source: "expected.npz" },
    verdict: {
      outcome: "pass",
      criteria: [{ output: "y", figure: "range", value: 0, limit: 1, status: "pass" }],
    },
  };
}

export function matrixRaw(machine: Machine, environment = environmentOf(machine)) {
  const ane = {
    device: "ane",
    reason: null as string | null,
    failed: 0,
    p99Ms: 17,
    speedUp: { estimate: 2.9, low: 2.85, high: 2.95, confidence: 0.95 },
    plannedDispatch: { count: 0.8, cost: 0.9 },
    measuredDispatch: 0.4 as number | null,
  };
  const { name, version } = engineOf(machine);
  const model = {
    id: "fastvit-t8-f16",
    title: "FastViT T8 F16",
    origin: "original",
    digest: fastvit,
    memory: { startBytes: 100e6, endBytes: 105e6, growthBytes: 5e6 },
    cells: [ane],
  };
  return {
    schemaVersion: 1,
    kind: "matrix",
    machines: [
      {
        source: { kind: "measured", name: "measured here" },
        environment,
        engine: { name, version },
        models: [model],
      },
    ],
    comparisons: [{ against: "baseline", file: `${machine}.json`, regressions: 0 }],
    isInterrupted: false,
  };
}

export const junitXml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="2" failures="0">
  <testsuite name="a.test.ts">
    <testcase name="one &gt; half" classname="a" time="0.1" />
    <testcase name="another" classname="a" time="0.1"></testcase>
  </testsuite>
</testsuites>
`;

/** 19 of 20 lines would be 95 %, and not enough. */
export const lcovText = `TN:\nSF:src/a.ts\n${Array.from({ length: 100 }, (_, i) => `DA:${i + 1},${i < 96 ? 3 : 0}`).join("\n")}\nend_of_record\n`;

export const llvmText = JSON.stringify({
  type: "llvm.coverage.json.export",
  data: [
    {
      files: [
        { filename: "/x/swift/Bridge/Handles.swift", summary: { lines: { count: 100, covered: 97 } } },
        { filename: "/x/swift/StandIn/CoreML.swift", summary: { lines: { count: 900, covered: 1 } } },
      ],
    },
  ],
});

export const sanitizerLog = [
  "(pass) the tests pass under the address sanitizer [40.1 s]",
  "(pass) a deliberate fault (useAfterFree) is reported",
  "(pass) a deliberate fault (leak) is reported",
  "(pass) the tests pass under the thread sanitizer [60.2 s]",
  "(pass) a deliberate fault (race) is reported",
  "",
].join("\n");

export interface Synthetic {
  readonly name: string;
  readonly source: SourceName;
  readonly machine: Machine;
  /** An object goes in as JSON. */
  readonly raw: unknown;
}

export function encodeRaw(raw: unknown): Uint8Array {
  return new TextEncoder().encode(typeof raw === "string" ? raw : JSON.stringify(raw));
}

export function envelopeOf({ name, source, machine, raw }: Synthetic, changes: Change = {}): EvidenceFile {
  const bytes = encodeRaw(raw);
  const file = `${name}.${sources[source].ending}`;
  let findings: Findings = { models: [], engines: [], measures: {} };
  try {
    findings = sources[source].read(new TextDecoder().decode(bytes), file);
  } catch {
    // raw data that cannot be read is refused when it is looked at, which some tests are about
  }
  const envelope: EvidenceFile = {
    schemaVersion: 1,
    kind: "evidence",
    name,
    source,
    binary,
    profile: "gate-d",
    command: ["coremlx", source],
    startedAt: "2026-11-24T08:00:00.000Z",
    endedAt: "2026-11-24T09:00:00.000Z",
    exitCode: 0,
    environment: findings.environment ?? environmentOf(machine),
    models: findings.models.map((model) => ({ ...model })),
    engines: findings.engines.map((engine) => ({ ...engine })),
    origin: "run",
    isSynthetic: true,
    raw: { file, sha256: new Bun.CryptoHasher("sha256").update(bytes).digest("hex") },
  };
  return { ...envelope, ...changes };
}

export function bytesOf(synthetic: Synthetic, changes: Change = {}): EvidenceBytes {
  const { name, machine, raw } = synthetic;
  const file = `${machine}/${name}.evidence.json`;
  return { file, envelope: envelopeOf(synthetic, changes), raw: encodeRaw(raw) };
}

/** The seam that only tests have. */
export const admission = {
  binaries: [binary.sha256],
  nowMs,
  maxAgeMs: 14 * 86_400_000,
  allowSynthetic: true,
} as const;

export function admit(synthetic: Synthetic, changes: Change = {}): Evidence | Refusal {
  return admitEvidence(bytesOf(synthetic, changes), admission);
}
