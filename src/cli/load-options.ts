// The load that a measurement puts on its models: flags and their meaning.

import { CoremlxError } from "../core/errors.ts";
import { type Extent, type Load, mostUnderWay } from "../suites/workload.ts";
import type { FlagDefs } from "./command.ts";
import { parseCount, parseDuration } from "./options.ts";

export const loadFlags = {
  concurrency: {
    type: "string",
    alias: "c",
    valueHint: "N",
    description: "closed loop: N callers, each waits for its answer (default: 1)",
  },
  rate: {
    type: "string",
    alias: "r",
    valueHint: "N",
    description: "open loop: N calls a second, whatever the answers do",
  },
  arrivals: {
    type: "enum",
    options: ["fixed", "poisson"],
    description: "open loop: even gaps, or as independent clients call (default: fixed)",
  },
  instances: {
    type: "string",
    valueHint: "N|auto",
    description:
      "most predictions that run at once; auto: as many as pay (default: by chip or cores, 1 to 4)",
  },
  isolation: {
    type: "enum",
    options: ["worker", "process"],
    default: "worker",
    description: "where the engine runs: in threads, or in processes that may crash",
  },
  threads: {
    type: "string",
    valueHint: "N",
    description: "threads for one prediction (default: the engine's choice)",
  },
  timeout: {
    type: "string",
    default: "5s",
    valueHint: "TIME",
    description: "longest wait for one prediction",
  },
} as const satisfies FlagDefs;

export interface LoadFlags {
  readonly concurrency: string | undefined;
  readonly rate: string | undefined;
  readonly arrivals: "fixed" | "poisson" | undefined;
  readonly seed: string;
}

export function readLoad({ concurrency, rate, arrivals, seed }: LoadFlags): Load {
  if (rate === undefined) {
    if (arrivals !== undefined) {
      throw new CoremlxError("USAGE", "Option --arrivals is for an open loop", {
        hint: "Give its rate, for instance --rate 100",
      });
    }
    const callers = parseCount(concurrency ?? "1", "concurrency");
    if (callers <= mostUnderWay) return { mode: "closed", concurrency: callers };
    throw new CoremlxError("USAGE", `Cannot use --concurrency ${callers}: the most is ${mostUnderWay}`);
  }
  if (concurrency !== undefined) {
    throw new CoremlxError("USAGE", "Options --rate and --concurrency exclude each other", {
      hint: "--rate calls on time, however many are under way; --concurrency keeps that many under way",
    });
  }
  return {
    mode: "open",
    ratePerSecond: readRate(rate),
    arrivals: arrivals ?? "fixed",
    seed: parseCount(seed, "seed", 0),
  };
}

export function readInstances(text: string | undefined): number | "auto" | undefined {
  return text === undefined || text === "auto" ? text : parseCount(text, "instances");
}

const highestRate = 1_000_000;

function readRate(text: string): number {
  const rate = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && rate > 0 && rate <= highestRate) return rate;
  throw new CoremlxError(
    "USAGE",
    `Cannot read --rate "${text}": it must be a number of calls a second, above 0 and up to ${highestRate}`,
  );
}

export function readWarmup(text: string): Extent {
  if (/^\d+$/.test(text)) return { count: parseCount(text, "warmup", 0) };
  return { durationMs: parseDuration(text, "warmup") };
}
