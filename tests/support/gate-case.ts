// A gate whose every line is green, by synthetic evidence from Linux and from Macs with M1, M2 and M3.

import { type Evidence, isRefusal } from "../../src/suites/gate/evidence.ts";
import { gateD } from "../../src/suites/gate/gate-d.ts";
import type { Case } from "../../src/suites/gate/judge.ts";
import { bindModels } from "../../src/suites/gate/profile.ts";
import {
  admit,
  benchRaw,
  crashReportsRaw,
  fastvit,
  handlesRaw,
  junitXml,
  lcovText,
  llvmText,
  type Machine,
  matrixRaw,
  nowMs,
  outputsRaw,
  parityRaw,
  sanitizerLog,
  soakRaw,
  type Synthetic,
} from "./gate-evidence.ts";

export function greenEvidence(): readonly Synthetic[] {
  const onBoth = (["linux", "m2"] as const).flatMap((machine): Synthetic[] => [
    { name: "bench", source: "bench", machine, raw: benchRaw(machine) },
    { name: "bench-concurrent", source: "bench", machine, raw: benchRaw(machine) },
    { name: "outputs", source: "outputs", machine, raw: outputsRaw(machine) },
    { name: "soak", source: "soak", machine, raw: soakRaw(machine) },
    { name: "parity", source: "parity", machine, raw: parityRaw(machine) },
    { name: "tests", source: "tests", machine, raw: junitXml },
    { name: "handles", source: "handles", machine, raw: handlesRaw(machine) },
  ]);
  const machines: readonly Machine[] = ["linux", "m1", "m2", "m3"];
  return [
    ...onBoth,
    ...machines.map(
      (machine): Synthetic => ({ name: "matrix", source: "matrix", machine, raw: matrixRaw(machine) }),
    ),
    { name: "crash-reports", source: "crash-reports", machine: "m2", raw: crashReportsRaw("m2") },
    { name: "coverage-typescript", source: "coverage", machine: "linux", raw: lcovText },
    { name: "coverage-swift", source: "coverage", machine: "linux", raw: llvmText },
    { name: "sanitizers", source: "sanitizers", machine: "linux", raw: sanitizerLog },
  ];
}

/** Throws where one of them is refused. */
export function admitAll(synthetic: readonly Synthetic[]): Evidence[] {
  return synthetic.map((one) => {
    const evidence = admit(one);
    if (isRefusal(evidence)) throw new Error(`${evidence.file}: ${evidence.reason}`);
    return evidence;
  });
}

export const boundGateD = bindModels(gateD, new Map([["fastvit-t8-f16", fastvit]]));

export function caseOf(evidence: readonly Evidence[], changes: Partial<Case> = {}): Case {
  return {
    profile: boundGateD,
    evidence,
    refused: [],
    waivers: [],
    required: "all",
    nowMs,
    allowSynthetic: true,
    ...changes,
  };
}
