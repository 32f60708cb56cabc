// Whether a soak has passed: each limit against what was measured, with the reason in words.

import type {
  PoolCounts,
  SoakBlock,
  SoakConfiguration,
  SoakCriterion,
  SoakResult,
  SoakVerdict,
  SoakWindow,
} from "./schema.ts";
import { type Trend, testTrend } from "../trend.ts";

/** What is judged: a result but for its verdict. */
export type Judged = Pick<
  SoakResult,
  | "configuration"
  | "processes"
  | "elapsedMs"
  | "unsent"
  | "models"
  | "faults"
  | "memory"
  | "windows"
  | "isInterrupted"
>;

/** A quantile of fewer calls is one of its extremes. */
const fewestForP99 = 100;
const fewestForMedian = 10;
/** A drift that chance makes less often than this is one. */
const significance = 0.01;

export function judgeSoak(judged: Judged): SoakVerdict {
  const { models, windows, isInterrupted } = judged;
  const criteria = [
    ...models.map(judgeAnswers),
    judgeFailures(judged),
    judgeSuccess(judged),
    ...(judged.faults.length > 0 ? [judgeFaults(judged)] : []),
    judgeCrashes(judged),
    judgeTrips(judged),
    ...judgeMemory(judged),
    ...models.map((_, index) => judgeP99(judged, index)),
    ...models.flatMap((_, index) => judgeDrift(judged, index)),
  ];
  const failed = criteria.filter(({ status }) => status === "fail");
  const isHot = windows.some(({ thermalState }) => thermalState === "serious" || thermalState === "critical");
  const isOnlyLatency = failed.every(({ name }) => name.startsWith("p99") || name.startsWith("median"));
  const bad = failed.length === 0 ? "pass" : isHot && isOnlyLatency ? "throttled" : "fail";
  return { outcome: isInterrupted ? "interrupted" : bad, criteria };
}

/** How the median or p99 of a model went, block by block; `undefined` where too few blocks have enough calls. */
export function driftOf(
  blocks: readonly SoakBlock[],
  model: number,
  figure: "p50Ms" | "p99Ms",
): Trend | undefined {
  const fewest = figure === "p50Ms" ? fewestForMedian : fewestForP99;
  const values = blocks
    .filter(({ isVoid }) => !isVoid)
    .flatMap(({ models }) => {
      const figures = models[model];
      const value = figures?.[figure];
      return typeof value !== "number" || (figures?.completed ?? 0) < fewest ? [] : [value];
    });
  return testTrend(values);
}

function judgeAnswers({ name, wrong, completed, comparison }: SoakResult["models"][number]): SoakCriterion {
  const how =
    comparison.mode === "bits" ? "every bit" : `within ${comparison.tolerance} of the largest value`;
  const row = { name: "wrong answers", model: name, unit: "answers" };
  if (completed === 0) {
    return { ...row, limit: 0, status: "not measured", value: null, detail: "there was no answer" };
  }
  return {
    ...row,
    ...atMost(wrong, 0),
    detail: `${completed} answers, and those of the warm-up, compared with their references: ${how}`,
  };
}

function judgeFailures({ models, unsent, configuration: { limits } }: Judged): SoakCriterion {
  const failed = models.reduce((sum, model) => sum + model.failed, 0);
  const codes = models.flatMap(({ failures }) => failures.map(({ code, count }) => `${count} ${code}`));
  return {
    name: "failures",
    model: null,
    ...atMost(failed + unsent, limits.maxFailures),
    unit: "calls",
    detail: [...codes, ...(unsent > 0 ? [`${unsent} not made`] : [])].join(", ") || "every call was answered",
  };
}

function judgeSuccess({ models, unsent, configuration: { limits } }: Judged): SoakCriterion {
  const completed = models.reduce((sum, model) => sum + model.completed, 0);
  const calls = models.reduce((sum, model) => sum + model.failed, completed + unsent);
  // Wrong answers of the warm-up are not among the completed ones.
  const right = Math.max(
    0,
    models.reduce((sum, model) => sum - model.wrong, completed),
  );
  const row = { name: "success", model: null, limit: limits.minSuccessShare, unit: "share" };
  if (calls === 0) return { ...row, status: "fail", value: null, detail: "no call was made" };
  const value = right / calls;
  return {
    ...row,
    status: value >= limits.minSuccessShare ? "pass" : "fail",
    value,
    detail: `${right} right answers to ${calls} calls`,
  };
}

function judgeFaults({ faults }: Judged): SoakCriterion {
  const odd = faults.reduce((sum, fault) => sum + fault.odd, 0);
  const counts = faults.map(({ kind, calls }) => `${calls} ${kind}`);
  return {
    name: "faults with another ending",
    model: null,
    ...atMost(odd, 0),
    unit: "calls",
    detail: counts.join(", "),
  };
}

function judgeCrashes({ models, processes, configuration: { limits } }: Judged): SoakCriterion {
  const lost = processes.filter(({ end }) => end === "lost").length;
  const crashes = sumOf(models, "crashes");
  return {
    name: "crashes",
    model: null,
    ...atMost(lost + crashes, limits.maxCrashes),
    unit: "processes",
    detail: `${crashes} engine processes died, ${lost} processes of the soak ended without saying so`,
  };
}

function judgeTrips({ models, configuration: { limits } }: Judged): SoakCriterion {
  const row = { name: "breaker trips", model: null, unit: "trips" };
  const isKnown = models.some(({ pool }) => pool !== null);
  if (!isKnown) {
    const detail = "the engine has no breaker here";
    return { ...row, status: "not measured", value: null, limit: limits.maxBreakerTrips, detail };
  }
  const trips = sumOf(models, "breakerTrips");
  return { ...row, ...atMost(trips, limits.maxBreakerTrips), detail: "circuit breakers of all models" };
}

function sumOf(models: Judged["models"], count: keyof PoolCounts): number {
  return models.reduce((sum, { pool }) => sum + (pool?.[count] ?? 0), 0);
}

function judgeMemory({ memory, configuration, elapsedMs }: Judged): SoakCriterion[] {
  const { limits } = configuration;
  const { growthBytes, slope } = memory;
  const elsewhere = "the engines' processes have memory of their own, which is not measured";
  const isElsewhere = configuration.isolation === "process";
  const growth = { name: "memory growth", model: null, unit: "bytes", limit: limits.maxGrowthBytes };
  const rate = { name: "memory slope", model: null, unit: "bytes/hour", limit: limits.maxSlopeBytesPerHour };
  const missing = (detail: string) => ({ status: "not measured", value: null, detail }) as const;
  const isShort = elapsedMs < limits.trendAfterMs;
  const growthRow: SoakCriterion =
    isElsewhere || isShort || growthBytes === null
      ? { ...growth, ...missing(isElsewhere ? elsewhere : tooShort(configuration)) }
      : {
          ...growth,
          ...atMost(growthBytes, limits.maxGrowthBytes),
          detail: "median of the last tenth of the time less that of the first",
        };
  if (isElsewhere) return [growthRow, { ...rate, ...missing(elsewhere) }];
  if (slope === null || isShort) {
    return [growthRow, { ...rate, ...missing(tooShort(configuration)) }];
  }
  const isSteep = slope.estimate > limits.maxSlopeBytesPerHour && slope.low > 0;
  return [
    growthRow,
    {
      ...rate,
      status: isSteep ? "fail" : "pass",
      value: slope.estimate,
      detail: `with ${slope.confidence * 100} % confidence ${megabytes(slope.low)} to ${megabytes(slope.high)} MB/h`,
    },
  ];
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function judgeP99({ windows, models, configuration: { limits } }: Judged, index: number): SoakCriterion {
  const row = { name: "p99 of the worst window", model: models[index]?.name ?? null, unit: "ms" };
  const limit = limits.maxP99Ms;
  const whole = models[index]?.latency;
  const worst = worstWindow(windows, index);
  if (worst !== undefined) {
    const minute = (ms: number) => Number((ms / 60_000).toFixed(2));
    const detail = `from minute ${minute(worst.fromMs)} to ${minute(worst.toMs)}`;
    return { ...row, ...atMost(worst.p99Ms, limit), detail };
  }
  if (whole && whole.count >= fewestForP99) {
    return { ...row, ...atMost(whole.p99Ms, limit), detail: "of the whole run: its windows have few calls" };
  }
  return { ...row, limit, status: "not measured", value: null, detail: `fewer than ${fewestForP99} calls` };
}

/** Of those that count and have enough calls. */
export function worstWindow(
  windows: readonly SoakWindow[],
  model: number,
): { readonly fromMs: number; readonly toMs: number; readonly p99Ms: number } | undefined {
  const candidates = windows.flatMap(({ isVoid, fromMs, toMs, models }) => {
    const figures = models[model];
    if (isVoid || figures === undefined || figures.p99Ms === null) return [];
    return figures.completed < fewestForP99 ? [] : [{ fromMs, toMs, p99Ms: figures.p99Ms }];
  });
  return candidates.toSorted((a, b) => b.p99Ms - a.p99Ms)[0];
}

function judgeDrift({ models, configuration, elapsedMs }: Judged, index: number): SoakCriterion[] {
  const model = models[index];
  const limit = configuration.limits.maxDriftShare;
  const judge = (name: string, trend: Trend | null | undefined): SoakCriterion => {
    const row = { name, model: model?.name ?? null, limit, unit: "share" };
    if (!trend || elapsedMs < configuration.limits.trendAfterMs) {
      return { ...row, status: "not measured", value: null, detail: tooShort(configuration) };
    }
    const hasDrifted = trend.change > limit && trend.pValue < significance;
    const chance = trend.pValue < 0.001 ? "p < 0.001" : `p = ${trend.pValue.toPrecision(2)}`;
    const detail = `${chance} over ${trend.points} blocks`;
    return { ...row, status: hasDrifted ? "fail" : "pass", value: trend.change, detail };
  };
  return [judge("median drift", model?.medianDrift), judge("p99 drift", model?.p99Drift)];
}

function tooShort({ limits }: SoakConfiguration): string {
  return `takes ${limits.trendAfterMs / 60_000} minutes and enough calls in ten blocks`;
}

function atMost(value: number, limit: number): Pick<SoakCriterion, "status" | "value" | "limit"> {
  return { status: value <= limit ? "pass" : "fail", value, limit };
}
