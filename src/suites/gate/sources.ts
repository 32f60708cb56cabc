// From raw data to findings, by source. A metric that stands here can be named by a profile.

import { CoremlxError } from "../../core/errors.ts";
import type { Findings } from "./findings.ts";
import type { SourceName } from "./profile-schema.ts";
import { benchMetrics, readBench } from "./sources/bench.ts";
import {
  crashReportMetrics,
  handleMetrics,
  outputMetrics,
  readCrashReports,
  readHandles,
  readOutputs,
} from "./sources/counts.ts";
import { coverageMetrics, readCoverage } from "./sources/coverage.ts";
import { matrixMetrics, readMatrix } from "./sources/matrix.ts";
import { parityMetrics, readParity } from "./sources/parity.ts";
import { readSanitizers, sanitizerMetrics } from "./sources/sanitizers.ts";
import { readSoak, soakMetrics } from "./sources/soak.ts";
import { readTests, testMetrics } from "./sources/tests.ts";

interface Source {
  /** How the raw data is called where the gate itself writes it. */
  readonly ending: string;
  /** Each with its unit. */
  readonly metrics: Readonly<Record<string, string>>;
  /** Throws BAD_INPUT where it is something else. */
  readonly read: (text: string, file: string) => Findings;
}

export const sources: Readonly<Record<SourceName, Source>> = {
  bench: { ending: "json", metrics: benchMetrics, read: fromJson(readBench) },
  outputs: { ending: "json", metrics: outputMetrics, read: fromJson(readOutputs) },
  soak: { ending: "json", metrics: soakMetrics, read: fromJson(readSoak) },
  matrix: { ending: "json", metrics: matrixMetrics, read: fromJson(readMatrix) },
  parity: { ending: "json", metrics: parityMetrics, read: fromJson(readParity) },
  tests: { ending: "xml", metrics: testMetrics, read: readTests },
  coverage: { ending: "txt", metrics: coverageMetrics, read: readCoverage },
  sanitizers: { ending: "log", metrics: sanitizerMetrics, read: readSanitizers },
  handles: { ending: "json", metrics: handleMetrics, read: fromJson(readHandles) },
  "crash-reports": { ending: "json", metrics: crashReportMetrics, read: fromJson(readCrashReports) },
};

function fromJson(read: (value: unknown, file: string) => Findings): Source["read"] {
  return (text, file) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new CoremlxError("BAD_INPUT", `Cannot read ${file}: it is no JSON`, { cause: error });
    }
    return read(value, file);
  };
}
