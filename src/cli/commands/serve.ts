// coremlx serve: models over HTTP until a signal comes.

import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { version } from "../../core/version.ts";
import type { DeviceRequest } from "../../engines/engine.ts";
import { modelNameOf } from "../../runtime/session.ts";
import type { ModelControl } from "../../server/repository/repository.ts";
import type { ModelToServe, ServerOptions } from "../../server/server.ts";
import { command, engineFlags } from "../command.ts";
import { createLogger } from "../logger.ts";
import { parseCount, parseDuration } from "../options.ts";
import { findModel, looksLikeModel } from "../paths.ts";
import { formatBanner } from "../serve-text.ts";
import { openCliSession } from "../session.ts";

const highestPort = 65_535;

export const serve = command({
  meta: { name: "serve", description: "Serve models over HTTP, in the Open Inference Protocol v2" },
  positionals: [
    {
      name: "MODEL",
      description: "a .mlpackage, .mlmodel or .mlmodelc, or NAME=MODEL (default: all of this folder)",
      multiple: true,
    },
  ],
  flags: {
    host: {
      type: "string",
      default: "127.0.0.1",
      valueHint: "ADDRESS",
      description: "address to listen on",
      isTrusted: true,
    },
    port: {
      type: "string",
      alias: "p",
      default: "8000",
      valueHint: "N",
      description: "port to listen on; 0: any that is free",
      isTrusted: true,
    },
    "allowed-host": {
      type: "string",
      multiple: true,
      valueHint: "NAME",
      description: "name under which clients may call, beside localhost and addresses; * for all",
      isTrusted: true,
    },
    repository: {
      type: "string",
      multiple: true,
      alias: "r",
      valueHint: "DIR",
      description: "folder of models: NAME.mlpackage, or NAME/VERSION/ with a model in it",
    },
    "model-control": {
      type: "enum",
      options: ["none", "explicit", "poll"],
      default: "none",
      description: "models are those of the start; are loaded by request; are what is in the folders",
    },
    "load-model": {
      type: "string",
      multiple: true,
      valueHint: "NAME",
      description: "with --model-control explicit: model to load at the start; * for all",
    },
    "poll-interval": {
      type: "string",
      default: "15s",
      valueHint: "TIME",
      description: "with --model-control poll: how often the folders are looked at",
    },
    instances: {
      type: "string",
      valueHint: "N|auto",
      description: "most predictions of one model that run at once (default: by chip or cores, 1 to 4)",
    },
    threads: {
      type: "string",
      valueHint: "N",
      description: "threads for one prediction (default: the cores, shared among the instances)",
    },
    isolation: {
      type: "enum",
      options: ["worker", "process"],
      default: "worker",
      description: "where the engine runs: in threads, or in processes that may crash",
    },
    inline: {
      type: "boolean",
      default: true,
      description: "let very small models run in the server's own thread",
    },
    "queue-limit": {
      type: "string",
      default: "1024",
      valueHint: "N",
      description: "requests of one model that may wait",
    },
    "queue-timeout": {
      type: "string",
      valueHint: "TIME",
      description: "longest wait for an instance (default: none but the request's own)",
    },
    timeout: {
      type: "string",
      default: "5s",
      valueHint: "TIME",
      description: "longest wait for one answer, unless a request asks for another",
    },
    check: { type: "boolean", description: "load everything, say what would be served, and end" },
    ...engineFlags,
  },
  examples: [
    "coremlx serve examples/digits/Digits.mlpackage",
    "coremlx serve mnist=examples/digits/Digits.mlpackage examples/counter/Counter.mlpackage --port 0 --check",
  ],
  async run({ flags, positionals, io }) {
    const logger = createLogger(io, flags);
    const options = readOptions(flags, positionals, io.cwd);
    const { openServer } = await import("../../server/server.ts");
    const { SessionMetrics } = await import("../../runtime/metrics/metrics.ts");
    const metrics = new SessionMetrics({ telemetry: logger });
    await using session = await openCliSession(flags, io, {
      log: (level, message, fields) => logger.log(level, message, fields),
      meters: metrics,
    });
    const { cpu, platform, arch } = session.device();
    metrics.setDevice({ chip: cpu, os: platform, arch, version });
    await using server = await openServer({ ...options, session, metrics, telemetry: logger });
    const facts = { url: server.url.href, models: server.repository.served };
    io.stdout(flags.json ? `${JSON.stringify(describe(facts))}\n` : formatBanner(facts));
    logger.log("debug", "listening", { url: server.url.href });
    if (flags.check) return;
    io.holdExit();
    await aborted(io.signal);
    logger.log("info", "Stopping: requests under way are finished");
  },
});

type Options = Omit<ServerOptions, "session" | "metrics" | "telemetry">;

interface ServeFlags {
  readonly host: string;
  readonly port: string;
  readonly "allowed-host": readonly string[];
  readonly repository: readonly string[];
  readonly "model-control": ModelControl;
  readonly "load-model": readonly string[];
  readonly "poll-interval": string;
  readonly instances: string | undefined;
  readonly threads: string | undefined;
  readonly isolation: "worker" | "process";
  readonly inline: boolean;
  readonly "queue-limit": string;
  readonly "queue-timeout": string | undefined;
  readonly timeout: string;
  readonly device: DeviceRequest;
  readonly function: string | undefined;
}

function readOptions(flags: ServeFlags, positionals: readonly string[], cwd: string): Options {
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
    hostname: flags.host,
    port,
    allowedHosts: flags["allowed-host"],
    timeoutMs: parseDuration(flags.timeout, "timeout"),
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

interface ServedFacts {
  readonly url: string;
  readonly models: readonly { readonly name: string; readonly version: string }[];
}

function describe({ url, models }: ServedFacts) {
  return {
    schemaVersion: 1,
    url,
    pid: process.pid,
    models: models.map(({ name, version }) => ({ name, version })),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
