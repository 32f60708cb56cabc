// What serve is told: flags and arguments, checked, as the server takes them.

import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { DeviceRequest } from "../engines/engine.ts";
import { modelNameOf } from "../runtime/session.ts";
import type { ModelControl } from "../server/repository/repository.ts";
import type { DrainOptions, ModelToServe, ServerOptions } from "../server/server.ts";
import { parseCount, parseDuration } from "./options.ts";
import { findModel, looksLikeModel } from "./paths.ts";
import { readKeys, readLimits } from "./serve-security.ts";

const highestPort = 65_535;

export type ServeOptions = Omit<ServerOptions, "session" | "metrics" | "telemetry">;

export interface ServeFlags {
  readonly host: string;
  readonly port: string;
  readonly "allowed-host": readonly string[];
  readonly "allowed-origin": readonly string[];
  readonly "api-key-file": readonly string[];
  readonly "api-key": readonly string[];
  readonly "keyless-group": readonly string[];
  readonly insecure: boolean;
  readonly limit: readonly string[];
  readonly repository: readonly string[];
  readonly "model-control": ModelControl;
  readonly "load-model": readonly string[];
  readonly "poll-interval": string;
  readonly instances: string | undefined;
  readonly threads: string | undefined;
  readonly isolation: "worker" | "process";
  readonly inline: boolean;
  readonly "warm-up": boolean;
  readonly "queue-limit": string;
  readonly "queue-timeout": string | undefined;
  readonly timeout: string;
  readonly unix: string | undefined;
  readonly "tls-cert": string | undefined;
  readonly "tls-key": string | undefined;
  readonly "idle-timeout": string;
  readonly "access-log": boolean;
  readonly device: DeviceRequest;
  readonly function: string | undefined;
}

export function readServeOptions(
  flags: ServeFlags,
  positionals: readonly string[],
  cwd: string,
): ServeOptions {
  const port = parseCount(flags.port, "port", 0);
  if (port > highestPort) {
    throw new CoremlxError("USAGE", `Cannot use --port ${port}: the highest is ${highestPort}`);
  }
  const { instances, threads, "model-control": control, "load-model": loadAtStart } = flags;
  if (control !== "explicit" && loadAtStart.length > 0) {
    throw new CoremlxError("USAGE", "Option --load-model is for --model-control explicit");
  }
  const repositories = flags.repository.map((folder) => findFolder(folder, cwd));
  const queueTimeout = flags["queue-timeout"];
  return {
    models: findModels(positionals, { cwd, isFolderGiven: repositories.length > 0 }),
    repositories,
    control,
    loadAtStart,
    pollIntervalMs: parseDuration(flags["poll-interval"], "poll-interval"),
    load: {
      device: flags.device,
      functionName: flags.function,
      instances:
        instances === undefined || instances === "auto" ? instances : parseCount(instances, "instances"),
      threads: threads === undefined ? undefined : parseCount(threads, "threads"),
      isolation: flags.isolation,
      inline: flags.inline ? "auto" : false,
      queueLimit: parseCount(flags["queue-limit"], "queue-limit"),
      queueTimeoutMs: queueTimeout === undefined ? undefined : parseDuration(queueTimeout, "queue-timeout"),
    },
    warmUp: flags["warm-up"],
    hostname: flags.host,
    port,
    unixPath: flags.unix === undefined ? undefined : resolve(cwd, flags.unix),
    tls: readTls(flags, cwd),
    idleTimeoutMs: parseDuration(flags["idle-timeout"], "idle-timeout"),
    hasAccessLog: flags["access-log"],
    allowedHosts: flags["allowed-host"],
    allowedOrigins: flags["allowed-origin"],
    ...readKeys(flags, cwd),
    isInsecure: flags.insecure,
    limits: readLimits(flags.limit),
    timeoutMs: parseDuration(flags.timeout, "timeout"),
  };
}

function readTls(
  { "tls-cert": cert, "tls-key": key }: Pick<ServeFlags, "tls-cert" | "tls-key">,
  cwd: string,
): ServeOptions["tls"] {
  if (cert === undefined && key === undefined) return undefined;
  if (cert !== undefined && key !== undefined)
    return { certPath: resolve(cwd, cert), keyPath: resolve(cwd, key) };
  throw new CoremlxError("USAGE", "Options --tls-cert and --tls-key need each other");
}

export function readDrain(flags: {
  readonly "drain-delay": string | undefined;
  readonly grace: string;
}): DrainOptions {
  const delay = flags["drain-delay"];
  return {
    delayMs: delay === undefined ? 0 : parseDuration(delay, "drain-delay"),
    graceMs: parseDuration(flags.grace, "grace"),
  };
}

/** Throws USAGE where there is no such folder. */
function findFolder(text: string, cwd: string): string {
  const path = resolve(cwd, text);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  throw new CoremlxError("USAGE", `Cannot serve the models of "${text}": there is no such folder`);
}

/** What is given, else, where no folder is, every model of this one. Throws USAGE for two of one name. */
function findModels(
  given: readonly string[],
  { cwd, isFolderGiven }: { readonly cwd: string; readonly isFolderGiven: boolean },
): readonly ModelToServe[] {
  const isElsewhere = given.length > 0 || isFolderGiven;
  const models = isElsewhere ? given.map((text) => readModel(text, cwd)) : modelsIn(cwd);
  const names = new Set<string>();
  for (const { name } of models) {
    if (names.has(name)) {
      throw new CoremlxError("USAGE", `Cannot serve two models as "${name}"`, {
        hint: "Give one of them another name: NAME=MODEL",
      });
    }
    names.add(name);
  }
  return models;
}

function readModel(text: string, cwd: string): ModelToServe {
  const named = /^([A-Za-z0-9][\w.-]*)=(.+)$/s.exec(text);
  const path = findModel(named?.[2] ?? text, cwd);
  return { name: named?.[1] ?? modelNameOf(path), path };
}

function modelsIn(folder: string): readonly ModelToServe[] {
  return readdirSync(folder)
    .filter(looksLikeModel)
    .sort()
    .map((name) => ({ name: modelNameOf(name), path: join(folder, name) }));
}
