// Which devices Core ML may use for a model, where the user leaves it to us: measured once for each chip, build of the
// system and model, and remembered. "All" can be the slowest of them, or end the process.

import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../core/errors.ts";
import type { CoremlUnits } from "../native/coreml-model.ts";
import { openPrivateFolder } from "../native/private-folder.ts";

export interface Measured {
  readonly medianMs: number;
}

/** What became of one candidate. `begun` stays where its process ended during the trial. */
type Trial =
  | { readonly kind: "measured"; readonly medianMs: number }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "begun"; readonly pid: number };

type Trials = Partial<Record<CoremlUnits, Trial>>;

export interface ChooseUnitsOptions {
  /** The first wins where nothing can be measured, and among equals. */
  readonly candidates: readonly CoremlUnits[];
  readonly measure: (units: CoremlUnits) => Promise<Measured>;
  /** The cache's folder; `undefined`: nothing is remembered. */
  readonly folder: string | undefined;
  /** All that decides the answer. */
  readonly key: readonly string[];
  /** Whether a process still runs: then it may be measuring at this moment. */
  readonly isAlive?: ((pid: number) => boolean) | undefined;
}

export interface Choice {
  readonly choice: CoremlUnits;
  /** "cpuAndAne 0.41 ms, all 0.52 ms, cpu 3.1 ms" */
  readonly reason: string;
  readonly isRemembered: boolean;
}

/** Never throws for a candidate that fails: another one is taken. */
export async function chooseUnits(options: ChooseUnitsOptions): Promise<Choice> {
  const { candidates, measure, folder, key, isAlive = isRunning } = options;
  const memory = folder === undefined ? undefined : new ChoiceMemory(folder, key);
  const trials: Trials = memory?.read() ?? {};
  let isRemembered = true;
  for (const units of candidates) {
    const before = trials[units];
    if (before?.kind === "begun" && !isAlive(before.pid)) {
      trials[units] = { kind: "failed", reason: "the process ended" };
      memory?.write(trials);
      continue;
    }
    if (before !== undefined && before.kind !== "begun") continue;
    isRemembered = false;
    memory?.write({ ...trials, [units]: { kind: "begun", pid: process.pid } });
    trials[units] = await tryUnits(units, measure);
    memory?.write(trials);
  }
  // Then it is the model, not a device: another time it may be well again.
  if (candidates.every((units) => trials[units]?.kind === "failed")) memory?.write({});
  const ranked = candidates
    .map((units) => ({ units, ms: msOf(trials[units]) }))
    .toSorted((a, b) => (a.ms === b.ms ? 0 : a.ms - b.ms));
  const choice = ranked[0]?.units ?? candidates[0] ?? "all";
  return {
    choice,
    reason: ranked.map(({ units }) => explain(units, trials[units])).join(", "),
    isRemembered,
  };
}

async function tryUnits(units: CoremlUnits, measure: ChooseUnitsOptions["measure"]): Promise<Trial> {
  try {
    const { medianMs } = await measure(units);
    return { kind: "measured", medianMs };
  } catch (error) {
    return { kind: "failed", reason: messageOf(error) };
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // or another user's, who has a cache of their own
  }
}

function msOf(trial: Trial | undefined): number {
  return trial?.kind === "measured" ? trial.medianMs : Number.POSITIVE_INFINITY;
}

function explain(units: CoremlUnits, trial: Trial | undefined): string {
  if (trial?.kind === "measured") return `${units} ${trial.medianMs.toPrecision(2)} ms`;
  return `${units} failed${trial?.kind === "failed" ? ` (${trial.reason})` : ""}`;
}

/** One small file for each model. Errors are none: what cannot be kept is measured again. */
class ChoiceMemory {
  readonly #path: string | undefined;

  constructor(cacheDir: string, key: readonly string[]) {
    const name = createHash("sha256").update(JSON.stringify(key)).digest("hex");
    try {
      openPrivateFolder(join(cacheDir, "coreml"));
      this.#path = join(openPrivateFolder(join(cacheDir, "coreml", "devices")), `${name}.json`);
    } catch {
      this.#path = undefined; // then it is measured each time
    }
  }

  read(): Trials {
    if (this.#path === undefined) return {};
    try {
      const trials: unknown = JSON.parse(readFileSync(this.#path, "utf8"));
      return isTrials(trials) ? { ...trials } : {};
    } catch {
      return {}; // nothing is known yet
    }
  }

  write(trials: Trials): void {
    if (this.#path === undefined) return;
    try {
      const draft = `${this.#path}.${process.pid}`;
      writeFileSync(draft, JSON.stringify(trials), { mode: 0o600 });
      renameSync(draft, this.#path);
    } catch {
      // It is measured again.
    }
  }
}

function isTrials(value: unknown): value is Trials {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every(
      (trial: unknown) =>
        typeof trial === "object" &&
        trial !== null &&
        "kind" in trial &&
        ((trial.kind === "begun" && "pid" in trial && typeof trial.pid === "number") ||
          (trial.kind === "measured" && "medianMs" in trial && typeof trial.medianMs === "number") ||
          (trial.kind === "failed" && "reason" in trial && typeof trial.reason === "string")),
    )
  );
}
