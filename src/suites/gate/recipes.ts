// How the gate measures by itself what is missing: each recipe makes the raw data of one evidence file.

import { readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CoremlxError, errnoOf } from "../../core/errors.ts";
import type { LoadModelOptions } from "../../runtime/session.ts";
import { type BenchSession, runBench } from "../bench.ts";
import { describeEnvironment } from "../machine.ts";
import { runSoak, type SoakOptions, type SoakSession } from "../soak.ts";
import type { SoakConfiguration } from "../soak/schema.ts";
import { measureOutputs, type OutputsSession } from "./measure-outputs.ts";
import type { Criterion, SourceName } from "./profile-schema.ts";
import type { GateLine } from "./result-schema.ts";
import type { CrashReportsRaw } from "./sources/counts.ts";

export interface RecipeContext {
  readonly session: BenchSession & SoakSession & OutputsSession;
  readonly models: readonly {
    readonly path: string;
    readonly name: string /** As the user gave it. */;
    readonly given: string;
  }[];
  /** Runs coremlx once more, for what is a command of its own. Gives what it printed. */
  readonly runCoremlx: (args: readonly string[]) => Promise<unknown>;
  readonly device: NonNullable<LoadModelOptions["device"]>;
  readonly engine: string;
  /** Private, and removed by the caller. */
  readonly folder: string;
  readonly benchMs: number;
  readonly soakMs: number;
  /** Crash reports that are older than this belong to something else. */
  readonly builtMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onSoakProgress?: SoakOptions["onProgress"];
}

interface Recipe {
  readonly source: SourceName;
  readonly needsModel: boolean;
  /** As a person would measure it. */
  readonly command: (context: RecipeContext) => readonly string[];
  readonly run: (context: RecipeContext) => Promise<unknown>;
}

const concurrent = 4;
const timeoutMs = 30_000;

export const recipes = {
  bench: {
    source: "bench",
    needsModel: true,
    command: ({ models, benchMs }) => benchCommand(models, benchMs, 1),
    run: (context) => bench(context, 1),
  },
  "bench-concurrent": {
    source: "bench",
    needsModel: true,
    command: ({ models, benchMs }) => benchCommand(models, benchMs, concurrent),
    run: (context) => bench(context, concurrent),
  },
  outputs: {
    source: "outputs",
    needsModel: false,
    command: () => ["coremlx", "gate", "--run"],
    run: ({ session, folder, device }) => measureOutputs(session, { folder, device }),
  },
  soak: {
    source: "soak",
    needsModel: true,
    command: ({ models, soakMs }) => [
      "coremlx",
      "soak",
      ...models.map(({ name }) => name),
      "--duration",
      `${soakMs}ms`,
    ],
    run: soak,
  },
  parity: {
    source: "parity",
    needsModel: true,
    command: (context) => ["coremlx", ...parityArguments(context)],
    run: (context) => context.runCoremlx(parityArguments(context)),
  },
  "crash-reports": {
    source: "crash-reports",
    needsModel: false,
    command: () => ["coremlx", "gate", "--run"],
    run: async ({ builtMs }) => findCrashReports(builtMs),
  },
} as const satisfies Record<string, Recipe>;
export type RecipeName = keyof typeof recipes;

export function recipeOf(name: RecipeName): Recipe {
  return recipes[name];
}

function isRecipe(name: string): name is RecipeName {
  return Object.hasOwn(recipes, name);
}

/** What would show the lines that are not measured and that this machine can measure, each once. */
export function chooseRecipes(
  lines: readonly GateLine[],
  criteria: readonly Criterion[],
  here: (line: GateLine) => boolean,
): readonly RecipeName[] {
  const open = lines.filter((line) => line.status === "not measured" && here(line));
  const names = open.flatMap(({ criterion }) => {
    const found = criteria.find(({ id }) => id === criterion);
    return [...(found?.evidence ?? []), found?.source ?? ""].find(isRecipe) ?? [];
  });
  return [...new Set(names)];
}

function benchCommand(models: RecipeContext["models"], benchMs: number, callers: number): readonly string[] {
  const load = ["--concurrency", `${callers}`, "--instances", `${callers}`];
  return ["coremlx", "bench", models[0]?.name ?? "", ...load, "--duration", `${benchMs}ms`];
}

/** On a Mac Core ML is compared with the portable engine, elsewhere half precision with single precision. */
function parityArguments({ models, engine, device }: RecipeContext): readonly string[] {
  return ["parity", models[0]?.given ?? "", "--engine", engine, "--device", device, "--json"];
}

async function bench(context: RecipeContext, callers: number): Promise<unknown> {
  const { session, models, device, benchMs, signal } = context;
  const model = models[0];
  if (model === undefined) throw new CoremlxError("USAGE", "Cannot bench without a model");
  const result = await runBench(session, model.path, {
    load: { mode: "closed", concurrency: callers },
    warmup: { durationMs: Math.min(2_000, benchMs) },
    measure: { durationMs: benchMs },
    timeoutMs,
    device,
    instances: callers,
    signal,
  });
  return { ...result, model: { ...result.model, path: model.name } };
}

async function soak(context: RecipeContext): Promise<unknown> {
  const { session, models, device, engine, soakMs, signal, onSoakProgress } = context;
  const configuration: SoakConfiguration = {
    load: { mode: "closed", concurrency: 2 },
    durationMs: soakMs,
    warmup: { count: null, durationMs: Math.min(60_000, soakMs / 10) },
    summaryEveryMs: Math.min(300_000, soakMs),
    timeoutMs: 5_000,
    instances: 2,
    isolation: "worker",
    threads: null,
    requestedDevice: device,
    requestedEngine: engine,
    inputsPerModel: 8,
    seed: 0,
    tolerance: null,
    faults: [],
    faultShare: 0,
    limits: {
      maxFailures: 0,
      minSuccessShare: 0.99,
      maxGrowthBytes: 50e6,
      maxSlopeBytesPerHour: 50e6,
      maxP99Ms: 25,
      maxDriftShare: 0.2,
      maxBreakerTrips: 0,
      maxCrashes: 0,
      trendAfterMs: 600_000,
    },
  };
  return runSoak(session, { models, configuration, signal, onProgress: onSoakProgress });
}

/** Where macOS leaves them. */
const reportFolders = [join(homedir(), "Library/Logs/DiagnosticReports"), "/Library/Logs/DiagnosticReports"];

export function findCrashReports(
  sinceMs: number,
  folders: readonly string[] = reportFolders,
): CrashReportsRaw {
  const looked: string[] = [];
  const reports: string[] = [];
  for (const folder of folders) {
    try {
      const names = readdirSync(folder);
      looked.push(folder);
      reports.push(
        ...names.filter(
          (name) =>
            /^coremlx[-_.].*\.(ips|crash)$/.test(name) && statSync(join(folder, name)).mtimeMs >= sinceMs,
        ),
      );
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error; // a folder that is there and says nothing must not look empty
    }
  }
  return {
    schemaVersion: 1,
    kind: "crash-reports",
    environment: describeEnvironment(),
    folders: looked,
    since: new Date(sinceMs).toISOString(),
    reports: reports.toSorted(),
  };
}
