// An evidence file for raw data that is there: what is known of it is taken from the data itself.

import { describeEnvironment } from "../machine.ts";
import type { EvidenceFile } from "./evidence-schema.ts";
import type { SourceName } from "./profile-schema.ts";
import { sources } from "./sources.ts";

export interface EvidenceFacts {
  readonly name: string;
  readonly source: SourceName;
  /** As it lies beside the evidence file. */
  readonly rawFile: string;
  readonly raw: Uint8Array;
  readonly binary: EvidenceFile["binary"];
  readonly profile: string;
  readonly command: readonly string[];
  readonly startedAt: string;
  readonly endedAt: string;
  /** -1: nobody knows. */
  readonly exitCode: number;
  readonly origin: EvidenceFile["origin"];
}

/** Throws BAD_INPUT where the raw data is not of that source. */
export function makeEvidence(facts: EvidenceFacts): EvidenceFile {
  const { rawFile, raw, ...rest } = facts;
  const findings = sources[facts.source].read(new TextDecoder().decode(raw), rawFile);
  return {
    schemaVersion: 1,
    kind: "evidence",
    ...rest,
    command: [...facts.command],
    environment: findings.environment ?? describeEnvironment(),
    models: findings.models.map(({ name, digest }) => ({ name, digest })),
    engines: findings.engines.map(({ name, version, device }) => ({ name, version, device })),
    isSynthetic: false,
    raw: { file: rawFile, sha256: new Bun.CryptoHasher("sha256").update(raw).digest("hex") },
  };
}
