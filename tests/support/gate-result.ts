// A gate's result with lines of choice, for what prints and draws such results.

import type { GateLine, GateResult } from "../../src/suites/gate/result-schema.ts";
import { benchResult } from "./bench-result.ts";

export const gateLine: GateLine = {
  id: "a@linux",
  criterion: "a",
  group: "One hour",
  title: "Memory grows by less than 50 MB",
  place: "linux",
  source: "soak",
  model: null,
  comparison: "<",
  limit: 50e6,
  unit: "bytes",
  isRequired: true,
  status: "pass",
  value: 10e6,
  detail: "fine",
  evidence: ["linux/soak.evidence.json"],
  waiver: null,
};

export function gateResultOf(lines: readonly GateLine[], changes: Partial<GateResult> = {}): GateResult {
  const idsOf = (status: GateLine["status"], isRequired: boolean) =>
    lines.filter((line) => line.status === status && (line.isRequired || !isRequired)).map(({ id }) => id);
  const [failed, incomplete] = [idsOf("fail", false), idsOf("not measured", true)];
  const count = (ids: readonly string[], what: string) =>
    ids.length === 0 ? [] : [`${ids.length} line${ids.length === 1 ? "" : "s"} ${what}`];
  return {
    schemaVersion: 1,
    kind: "gate",
    judgedAt: "2026-11-24T12:00:00.000Z",
    environment: benchResult.environment,
    profile: { name: "gate-d", title: "Gate D: ready to deploy?", sha256: "12".repeat(32) },
    binaries: ["ab".repeat(32)],
    required: "all",
    maxAgeMs: 14 * 86_400_000,
    signedOffBy: null,
    verdict: {
      outcome: failed.length > 0 ? "fail" : incomplete.length > 0 ? "incomplete" : "pass",
      reasons: [...count(failed, "failed"), ...count(incomplete, "not measured")],
      failed,
      incomplete,
      waived: lines.filter(({ waiver }) => waiver !== null).map(({ id }) => id),
      passed: lines.filter(({ status }) => status === "pass").length,
      lines: lines.length,
    },
    waivers: [],
    lines: [...lines],
    evidence: [],
    refused: [],
    ...changes,
  };
}
