// `bench --compare`: two configurations that take turns.

import { CoremlxError } from "../core/errors.ts";
import type { Session } from "../runtime/session.ts";
import type { BenchModel, BenchInputs } from "../suites/bench.ts";
import { compareConfigurations, type CompareSide } from "../suites/compare.ts";
import type { BenchComparison } from "../suites/compare-schema.ts";
import type { Load } from "../suites/workload.ts";
import { parseChanges, readPair } from "./compare-options.ts";
import { formatComparison } from "./compare-text.ts";
import { liveLine } from "./live-line.ts";
import { readInstances } from "./load-options.ts";
import type { Logger } from "./logger.ts";
import { parseCount } from "./options.ts";
import { type Io, painter, Reported } from "./output.ts";
import { findModelFor, openCliSession, type SessionFlags } from "./session.ts";

const devices = ["auto", "cpu", "gpu", "ane", "all"] as const;
const isolations = ["worker", "process"] as const;

export interface CompareFlags extends SessionFlags {
  readonly compare: readonly string[];
  readonly device: (typeof devices)[number];
  readonly function: string | undefined;
  readonly threads: string | undefined;
  readonly instances: string | undefined;
  readonly isolation: (typeof isolations)[number];
  readonly inline: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: string;
}

export interface CompareSettings {
  readonly path: string;
  readonly load: Load;
  readonly durationMs: number;
  readonly warmupMs: number;
  readonly timeoutMs: number;
  readonly io: Io;
  readonly logger: Logger;
  readonly prepareInputs: (model: BenchModel) => Promise<BenchInputs>;
}

/** A round has four blocks. */
const blocksPerRound = 4;
const usualBlockMs = 100;
const fewestRounds = 5;

export async function runComparison(flags: CompareFlags, settings: CompareSettings): Promise<void> {
  const { load, durationMs, io, logger } = settings;
  if (load.mode === "open") {
    throw new CoremlxError("USAGE", "Cannot compare at a rate: configurations take turns in a closed loop", {
      hint: "Use --concurrency",
    });
  }
  const [first, second] = readPair(flags.compare);
  await using sessions = new AsyncDisposableStack();
  const a = await openSide(first, flags, { ...settings, sessions });
  const b = await openSide(second, flags, { ...settings, sessions });
  const rounds = Math.max(fewestRounds, Math.floor(durationMs / blocksPerRound / usualBlockMs));
  using line = liveLine(io, !flags.quiet);
  const measured = await compareConfigurations({
    ...settings,
    a,
    b,
    load,
    rounds,
    blockMs: durationMs / blocksPerRound / rounds,
    signal: io.signal,
    onProgress: ({ share }) => line.show(`${Math.round(share * 100)} %`),
  });
  line.clear();
  const result = named(measured, [a, b]);
  for (const warning of result.warnings) logger.log("warn", warning);
  const text = flags.json
    ? JSON.stringify(result)
    : formatComparison(result, painter(io, flags.color, "stdout"));
  io.stdout(`${text}\n`);
  if (result.isInterrupted) throw new Reported("INTERRUPTED");
}

type Opening = CompareSettings & { readonly sessions: AsyncDisposableStack };
type Side = CompareSide & { readonly shownPath: string };

async function openSide(
  text: string,
  flags: CompareFlags,
  { sessions, path, io, logger }: Opening,
): Promise<Side> {
  const changes = parseChanges(text);
  const engine = changes.engine ?? flags.engine;
  const shownPath = changes.model ?? path;
  const session: Session = await openCliSession({ ...flags, engine }, io, logger);
  sessions.use(session);
  const threads = changes.threads ?? flags.threads;
  return {
    label: text,
    session,
    shownPath,
    path: findModelFor(engine, shownPath, io.cwd),
    options: {
      device: oneOf(changes.device ?? flags.device, devices, "device"),
      functionName: changes.function ?? flags.function,
      threads: threads === undefined ? undefined : parseCount(threads, "threads"),
      instances: readInstances(changes.instances ?? flags.instances),
      isolation: oneOf(changes.isolation ?? flags.isolation, isolations, "isolation"),
      inline: (changes.inline ?? String(flags.inline)) === "true" ? "auto" : false,
    },
  };
}

function oneOf<const T extends string>(value: string, words: readonly T[], name: string): T {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw new CoremlxError("USAGE", `Cannot compare with ${name}=${value}`, {
    hint: `It is one of ${words.join(", ")}`,
  });
}

/** Models by the paths the user gave, not by where they were found. */
function named(result: BenchComparison, [a, b]: readonly [Side, Side]): BenchComparison {
  const rename = (side: BenchComparison["a"], path: string) => ({ ...side, model: { ...side.model, path } });
  return { ...result, a: rename(result.a, a.shownPath), b: rename(result.b, b.shownPath) };
}
