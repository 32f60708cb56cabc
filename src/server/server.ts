// The server: models, application and sockets, opened and closed together.

import { CoremlxError, messageOf } from "../core/errors.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import { metricsDefaults, type SessionMetrics } from "../runtime/metrics/metrics.ts";
import { publishSessionStats } from "../runtime/metrics/stats.ts";
import { defaultTimeoutMs, type LoadModelOptions, type Session } from "../runtime/session.ts";
import { createApp } from "./app.ts";
import { defaultServerLimits, type ServerLimits } from "./limits.ts";
import { findModels, type ModelFiles, singleModel } from "./repository/layout.ts";
import { loadVersions } from "./repository/model-loader.ts";
import { type ModelControl, Repository } from "./repository/repository.ts";
import { checkHost } from "./security/host.ts";

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
  /** Names the server answers to, beside localhost and addresses. */
  readonly allowedHosts?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
  readonly limits?: Partial<ServerLimits> | undefined;
  readonly telemetry?: Telemetry | undefined;
}

export const serverDefaults = { hostname: "127.0.0.1", port: 8_000, pollIntervalMs: 15_000 } as const;

/**
 * Listens at once, so that others see it live, and resolves when its models are ready. Throws IO for an address it cannot have, and
 * what loading a model says, unless folders are polled.
 */
export async function openServer(options: ServerOptions): Promise<InferenceServer> {
  const server = new InferenceServer(options);
  try {
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

/** Owns its sockets and its models. */
export class InferenceServer implements AsyncDisposable {
  readonly repository: Repository;
  readonly #server: Bun.Server<undefined>;
  readonly #endCollecting: (() => void) | undefined;
  readonly #timers: readonly ReturnType<typeof setInterval>[];
  #isDraining = false;

  constructor(options: ServerOptions) {
    const { session, metrics, telemetry = silent, control = "none", timeoutMs = defaultTimeoutMs } = options;
    const { pollIntervalMs = serverDefaults.pollIntervalMs } = options;
    const limits = { ...defaultServerLimits, ...options.limits };
    const loader = { session, load: options.load ?? {}, timeoutMs, limits, telemetry };
    const repository = new Repository({
      control,
      find: () => findAll(options),
      load: (files) => loadVersions(files, loader),
      forget: metrics && ((labels) => metrics.forgetModel(labels)),
      telemetry,
    });
    this.repository = repository;
    const app = createApp({
      context: { repository, limits, telemetry, metrics, isDraining: () => this.#isDraining },
      guards: [checkHost(options.allowedHosts ?? [])],
    });
    this.#server = listen(options, (request, server) =>
      app(request, { holdOpen: () => server.timeout(request, 0) }),
    );
    this.#endCollecting = metrics?.onCollect(() => publishSessionStats(metrics, session.stats));
    this.#timers = [
      ...(metrics ? [setInterval(() => metrics.sampleProcess(), metricsDefaults.memorySampleMs)] : []),
      ...(control === "poll" ? [setInterval(() => void poll(repository, telemetry), pollIntervalMs)] : []),
    ];
  }

  get url(): URL {
    return this.#server.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDraining = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#server.stop();
    this.#endCollecting?.();
    await this.repository[Symbol.asyncDispose]();
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

type Fetch = (request: Request, server: Bun.Server<undefined>) => Promise<Response>;

function listen({ hostname, port, limits }: ServerOptions, fetch: Fetch): Bun.Server<undefined> {
  const address = { hostname: hostname ?? serverDefaults.hostname, port: port ?? serverDefaults.port };
  try {
    return Bun.serve({
      ...address,
      maxRequestBodySize: limits?.maxBodyBytes ?? defaultServerLimits.maxBodyBytes,
      development: false,
      fetch,
    });
  } catch (cause) {
    throw new CoremlxError("IO", `Cannot listen on ${address.hostname}:${address.port}: ${reasonOf(cause)}`, {
      cause,
      hint: "Choose another with --host and --port",
    });
  }
}

function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "EADDRINUSE") return "the port is in use";
  if (code === "EACCES") return "it takes more rights";
  return cause instanceof Error ? cause.message : String(cause);
}
