// The server: models, application and sockets, opened and closed together.

import { setTimeout as sleep } from "node:timers/promises";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import { metricsDefaults, type SessionMetrics } from "../runtime/metrics/metrics.ts";
import { publishSessionStats } from "../runtime/metrics/stats.ts";
import { defaultTimeoutMs, type LoadModelOptions, type Session } from "../runtime/session.ts";
import { type App, createApp } from "./app.ts";
import { BodyBudget } from "./body-budget.ts";
import { ConnectionBound, countOpenFiles } from "./connection-bound.ts";
import { type ListenOptions, listen } from "./listen.ts";
import { defaultServerLimits, type ServerLimits } from "./limits.ts";
import { findModels, type ModelFiles, singleModel } from "./repository/layout.ts";
import { loadVersions } from "./repository/model-loader.ts";
import { type ModelControl, Repository } from "./repository/repository.ts";
import { checkExposure } from "./security/exposure.ts";
import { ThreadTurns } from "./thread-turns.ts";
import { checkHost } from "./security/host.ts";
import { type ApiKey, createAuthorizer, defaultKeylessGroups, type KeyGroup } from "./security/keys.ts";
import { createOriginPolicy } from "./security/origin.ts";
import { checkTarget } from "./security/target.ts";

export interface ModelToServe {
  readonly name: string;
  readonly path: string;
}

export interface ServerOptions {
  /** Borrowed: models are loaded into it. */
  readonly session: Session;
  /** What the session counts with, for /metrics. Borrowed. */
  readonly metrics?: SessionMetrics | undefined;
  readonly models: readonly ModelToServe[];
  /** Folders of models. */
  readonly repositories?: readonly string[] | undefined;
  readonly control?: ModelControl | undefined;
  /** With explicit control: what is loaded at the start. Default: nothing; "*" is everything. */
  readonly loadAtStart?: readonly string[] | undefined;
  /** With polling: how often. Default 15 s. */
  readonly pollIntervalMs?: number | undefined;
  /** For every model, unless its own options say otherwise. */
  readonly load?: LoadModelOptions | undefined;
  readonly hostname?: string | undefined;
  /** 0: any that is free. Default 8000. */
  readonly port?: number | undefined;
  /** In place of both: the path of a socket, for this user only. */
  readonly unixPath?: string | undefined;
  readonly tls?: ListenOptions["tls"];
  /** A connection on which nothing comes for so long is closed, unless a request of it is being worked on. Default 10 s. */
  readonly idleTimeoutMs?: number | undefined;
  /** Log every request. Default false. */
  readonly hasAccessLog?: boolean | undefined;
  /** Names the server answers to, beside localhost and addresses. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Origins whose pages may call, beside the server's own. Default: none. */
  readonly allowedOrigins?: readonly string[] | undefined;
  /** Who may call. Default: everybody. */
  readonly keys?: readonly ApiKey[] | undefined;
  /** Where there are keys, the groups of routes that need none. Default: health. */
  readonly keylessGroups?: readonly KeyGroup[] | undefined;
  /** Listen where other machines can reach it although there are no keys. Default false. */
  readonly isInsecure?: boolean | undefined;
  readonly timeoutMs?: number | undefined;
  /** A first prediction before a model is ready. Default true. */
  readonly warmUp?: boolean | undefined;
  readonly limits?: Partial<ServerLimits> | undefined;
  readonly telemetry?: Telemetry | undefined;
}

export const serverDefaults = {
  hostname: "127.0.0.1",
  port: 8_000,
  pollIntervalMs: 15_000,
  idleTimeoutMs: 10_000,
} as const;

/**
 * Listens at once, so that others see it live, and resolves when its models are ready. Throws IO for an address it cannot have, USAGE for
 * one that others can reach without keys, and what loading a model says, unless folders are polled.
 */
export async function openServer(options: ServerOptions): Promise<InferenceServer> {
  const limits = { ...defaultServerLimits, ...options.limits };
  checkExposure({
    hostname: options.hostname ?? serverDefaults.hostname,
    unixPath: options.unixPath,
    hasKeys: (options.keys?.length ?? 0) > 0,
    isInsecure: options.isInsecure ?? false,
  });
  const server = new InferenceServer(options, limits);
  try {
    await server.listen({
      hostname: options.hostname ?? serverDefaults.hostname,
      port: options.port ?? serverDefaults.port,
      idleTimeoutMs: options.idleTimeoutMs ?? serverDefaults.idleTimeoutMs,
      unixPath: options.unixPath,
      tls: options.tls,
    });
    await server.repository.open(namesToOpen(options));
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** Undefined: all there are. */
function namesToOpen({ control, loadAtStart = [] }: ServerOptions): readonly string[] | undefined {
  return control === "explicit" && !loadAtStart.includes("*") ? loadAtStart : undefined;
}

const connectionCheckMs = 1_000;

/** Runs in the server's own thread before it looks at its sockets again. */
const turnMs = 0.5;

export interface DrainOptions {
  /** How long requests are still taken, while whoever looks at readiness sends them elsewhere. */
  readonly delayMs: number;
  /** How long those under way may take after that. */
  readonly graceMs: number;
  /** For the delay; tests bring their own. */
  readonly sleep?: (ms: number) => Promise<unknown>;
}

/** Owns its socket and its models. */
export class InferenceServer implements AsyncDisposable {
  readonly repository: Repository;
  readonly #app: App;
  readonly #endCollecting: (() => void) | undefined;
  readonly #timers: readonly ReturnType<typeof setInterval>[];
  readonly #limits: ServerLimits;
  readonly #telemetry: Telemetry;
  #server: Bun.Server<undefined> | undefined;
  #connectionTimer: ReturnType<typeof setInterval> | undefined;
  #isDraining = false;

  constructor(options: ServerOptions, limits: ServerLimits) {
    const { session, metrics, telemetry = silent, control = "none", timeoutMs = defaultTimeoutMs } = options;
    const { pollIntervalMs = serverDefaults.pollIntervalMs } = options;
    const { load = {}, warmUp: isWarmedUp = true } = options;
    const loader = { session, load, isWarmedUp, timeoutMs, limits, telemetry };
    const repository = new Repository({
      control,
      find: () => findAll(options),
      load: (files) => loadVersions(files, loader),
      forget: metrics && ((labels) => metrics.forgetModel(labels)),
      telemetry,
    });
    this.repository = repository;
    this.#limits = limits;
    this.#telemetry = telemetry;
    this.#app = createApp({
      context: {
        repository,
        limits,
        bodies: new BodyBudget(limits.maxBodyBytesAtOnce),
        turns: new ThreadTurns(turnMs),
        telemetry,
        metrics,
        isDraining: () => this.#isDraining,
      },
      guards: [checkHost(options.allowedHosts ?? []), checkTarget],
      origins: createOriginPolicy(options.allowedOrigins ?? []),
      authorize: createAuthorizer({
        keys: options.keys ?? [],
        keylessGroups: options.keylessGroups ?? defaultKeylessGroups,
      }),
      hasAccessLog: options.hasAccessLog ?? false,
    });
    this.#endCollecting = metrics?.onCollect(() => publishSessionStats(metrics, session.stats));
    this.#timers = [
      ...(metrics ? [setInterval(() => sample(metrics, telemetry), metricsDefaults.memorySampleMs)] : []),
      ...(control === "poll" ? [setInterval(() => void poll(repository, telemetry), pollIntervalMs)] : []),
    ];
  }

  async listen(options: ListenOptions): Promise<void> {
    this.#server = await listen(options, (request, server) =>
      this.#app(request, { holdOpen: () => server.timeout(request, 0) }),
    );
    this.#watchConnections(this.#server);
  }

  #watchConnections(server: Bun.Server<undefined>): void {
    const closeIdle = () => server.closeIdleConnections();
    const bound = new ConnectionBound(this.#limits.maxConnections, { countFiles: countOpenFiles, closeIdle });
    this.#connectionTimer = setInterval(() => {
      const closedCount = bound.check();
      if (closedCount > 0) this.#telemetry.log("warn", "connections closed", { closedCount });
    }, connectionCheckMs);
  }

  get url(): URL {
    if (this.#server === undefined) throw new CoremlxError("UNAVAILABLE", "The server does not listen");
    return this.#server.url;
  }

  /**
   * Ends in good order: not ready any more, then no new connections, then closed when the last request has its answer. False where
   * requests were cut off because the grace was over.
   */
  async drain({ delayMs, graceMs, sleep: wait = sleep }: DrainOptions): Promise<boolean> {
    this.#isDraining = true;
    if (delayMs > 0) await wait(delayMs);
    const stopped = Promise.resolve(this.#server?.stop()).then(() => true);
    const timer = new AbortController();
    const late = sleep(graceMs, false, { signal: timer.signal }).catch(() => false); // aborted when nobody waits any more
    const isClean = await Promise.race([stopped, late]);
    timer.abort();
    await this[Symbol.asyncDispose]();
    return isClean;
  }

  /** At once: requests under way are cut off. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDraining = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearInterval(this.#connectionTimer);
    await this.#server?.stop(true);
    this.#endCollecting?.();
    await this.repository[Symbol.asyncDispose]();
  }
}

/** Where the process may open no more files, its memory cannot be read. */
function sample(metrics: SessionMetrics, telemetry: Telemetry): void {
  try {
    metrics.sampleProcess();
  } catch (error) {
    telemetry.log("warn", "memory not read", { reason: messageOf(error) });
  }
}

async function poll(repository: Repository, telemetry: Telemetry): Promise<void> {
  try {
    await repository.poll();
  } catch (error) {
    telemetry.log("warn", "repository not read", { reason: messageOf(error) });
  }
}

/** What is given by path, and what is in the folders. Throws USAGE for two models of one name. */
function findAll({ models, repositories = [] }: ServerOptions): ReadonlyMap<string, ModelFiles> {
  const found = new Map<string, ModelFiles>(models.map(({ name, path }) => [name, singleModel(name, path)]));
  for (const folder of repositories) {
    for (const [name, files] of findModels(folder)) {
      if (found.has(name)) {
        throw new CoremlxError("USAGE", `Cannot serve two models as "${name}"`, {
          hint: "Rename one of them",
        });
      }
      found.set(name, files);
    }
  }
  return found;
}
