// coremlx serve: models over HTTP until a signal comes.

import { CoremlxError } from "../../core/errors.ts";
import { version } from "../../core/version.ts";
import { command, engineFlags } from "../command.ts";
import { createLogger } from "../logger.ts";
import { readDrain, readServeOptions } from "../serve-options.ts";
import { formatBanner } from "../serve-text.ts";
import { openCliSession } from "../session.ts";

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
    unix: {
      type: "string",
      valueHint: "PATH",
      description: "listen on a UNIX socket of this path instead",
      isTrusted: true,
    },
    "tls-cert": {
      type: "string",
      valueHint: "FILE",
      description: "certificate for HTTPS, in PEM format, with those above it",
      isTrusted: true,
    },
    "tls-key": { type: "string", valueHint: "FILE", description: "its private key", isTrusted: true },
    "allowed-host": {
      type: "string",
      multiple: true,
      valueHint: "NAME",
      description: "name under which clients may call, beside localhost and addresses; * for all",
      isTrusted: true,
    },
    "allowed-origin": {
      type: "string",
      multiple: true,
      valueHint: "ORIGIN",
      description: "origin whose web pages may call, like https://example.org; * for all",
      isTrusted: true,
    },
    "api-key-file": {
      type: "string",
      multiple: true,
      valueHint: "FILE",
      description: "file of keys, of which callers need one: in each line KEY, or KEY GROUP…",
      isTrusted: true,
    },
    "api-key": {
      type: "string",
      multiple: true,
      valueHint: "KEY",
      description: "a key; better in COREMLX_API_KEY, for command lines can be seen",
      isTrusted: true,
      isSecret: true,
    },
    "keyless-group": {
      type: "string",
      multiple: true,
      valueHint: "GROUP",
      description:
        "what needs no key: health, metadata, inference, repository, metrics, or none (default: health)",
      isTrusted: true,
    },
    insecure: {
      type: "boolean",
      description: "listen where other machines can reach it, without keys",
      isTrusted: true,
    },
    limit: {
      type: "string",
      multiple: true,
      valueHint: "NAME=VALUE",
      description: "another value for a limit on requests, by its name in docs/limits.md",
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
    "warm-up": {
      type: "boolean",
      default: true,
      description: "a first prediction before a model is ready",
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
    "idle-timeout": {
      type: "string",
      default: "10s",
      valueHint: "TIME",
      description: "close a connection on which nothing comes for so long (up to 255s)",
    },
    "drain-delay": {
      type: "string",
      valueHint: "TIME",
      description:
        "after a signal go on taking requests for so long, while readiness says no (default: none)",
    },
    grace: {
      type: "string",
      default: "30s",
      valueHint: "TIME",
      description: "how long requests under way may then take",
    },
    "access-log": { type: "boolean", description: "log every request" },
    check: { type: "boolean", description: "load everything, say what would be served, and end" },
    ...engineFlags,
  },
  examples: [
    "coremlx serve examples/digits/Digits.mlpackage",
    "coremlx serve mnist=examples/digits/Digits.mlpackage examples/counter/Counter.mlpackage --port 0 --check",
    "coremlx serve examples/digits/Digits.mlpackage --limit maxBodyBytes=10MB --limit maxTimeoutMs=30s",
  ],
  async run({ flags, positionals, io }) {
    const logger = createLogger(io, flags);
    const options = readServeOptions(flags, positionals, io.cwd);
    const drain = readDrain(flags);
    const { openServer } = await import("../../server/server.ts");
    const [{ SessionMetrics }, { deviceLabels }] = await Promise.all([
      import("../../runtime/metrics/metrics.ts"),
      import("../../runtime/metrics/device-labels.ts"),
    ]);
    const metrics = new SessionMetrics({ telemetry: logger });
    await using session = await openCliSession(flags, io, {
      log: (level, message, fields) => logger.log(level, message, fields),
      meters: metrics,
    });
    metrics.setDevice(deviceLabels(session.device(), { version }));
    await using server = await openServer({ ...options, session, metrics, telemetry: logger });
    const facts = {
      url: server.url.href,
      models: server.repository.served,
      needsKey: (options.keys?.length ?? 0) > 0,
    };
    io.stdout(flags.json ? `${JSON.stringify(describe(facts))}\n` : formatBanner(facts));
    logger.log("debug", "listening", { url: server.url.href });
    if (flags.check) return;
    io.holdExit();
    await aborted(io.signal);
    logger.log("info", "Stopping: requests under way are finished; a second signal ends them");
    if (await server.drain(drain)) return;
    throw new CoremlxError("DEADLINE", `Requests were cut off: they took longer than ${flags.grace}`);
  },
});

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
