// The server: models, application and sockets, opened and closed together.

import { silent, type Telemetry } from "../core/telemetry.ts";
import { defaultTimeoutMs, type Session } from "../runtime/session.ts";
import { createApp } from "./app.ts";
import { defaultServerLimits, type ServerLimits } from "./limits.ts";
import { Repository } from "./repository/repository.ts";
import { ServedModel } from "./repository/served-model.ts";
import { checkHost } from "./security/host.ts";

export interface ModelToServe {
  readonly name: string;
  readonly path: string;
}

export interface ServerOptions {
  /** Borrowed: models are loaded into it. */
  readonly session: Session;
  readonly models: readonly ModelToServe[];
  readonly hostname?: string | undefined;
  /** 0: any that is free. Default 8000. */
  readonly port?: number | undefined;
  /** Names the server answers to, beside localhost and addresses. */
  readonly allowedHosts?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
  readonly limits?: Partial<ServerLimits> | undefined;
  readonly telemetry?: Telemetry | undefined;
}

export const serverDefaults = { hostname: "127.0.0.1", port: 8_000 } as const;

export async function openServer(options: ServerOptions): Promise<InferenceServer> {
  const repository = new Repository();
  try {
    for (const { name, path } of options.models) {
      const model = await options.session.load(path, { inline: "auto" });
      repository.add(new ServedModel(name, "1", model));
    }
    return new InferenceServer(repository, options);
  } catch (error) {
    await repository[Symbol.asyncDispose]();
    throw error;
  }
}

/** Owns its sockets and its models. */
export class InferenceServer implements AsyncDisposable {
  readonly repository: Repository;
  readonly #server: Bun.Server<undefined>;
  #isDraining = false;

  constructor(repository: Repository, options: ServerOptions) {
    this.repository = repository;
    const limits = { ...defaultServerLimits, ...options.limits };
    const app = createApp({
      context: {
        repository,
        limits,
        telemetry: options.telemetry ?? silent,
        timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
        isDraining: () => this.#isDraining,
      },
      guards: [checkHost(options.allowedHosts ?? [])],
    });
    this.#server = Bun.serve({
      hostname: options.hostname ?? serverDefaults.hostname,
      port: options.port ?? serverDefaults.port,
      maxRequestBodySize: limits.maxBodyBytes,
      development: false,
      fetch: (request, server) => app(request, { holdOpen: () => server.timeout(request, 0) }),
    });
  }

  get url(): URL {
    return this.#server.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDraining = true;
    await this.#server.stop();
    await this.repository[Symbol.asyncDispose]();
  }
}
