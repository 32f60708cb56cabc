// coremlx serve: models over HTTP until a signal comes.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { modelNameOf } from "../../runtime/session.ts";
import type { ModelToServe } from "../../server/server.ts";
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
    const models = findModels(positionals, io.cwd);
    const port = parseCount(flags.port, "port", 0);
    if (port > highestPort)
      throw new CoremlxError("USAGE", `Cannot use --port ${port}: the highest is ${highestPort}`);
    const timeoutMs = parseDuration(flags.timeout, "timeout");
    const { openServer } = await import("../../server/server.ts");
    await using session = await openCliSession(flags, io, logger);
    await using server = await openServer({
      session,
      models,
      hostname: flags.host,
      port,
      allowedHosts: flags["allowed-host"],
      timeoutMs,
      telemetry: logger,
    });
    const facts = { url: server.url.href, models: server.repository.served };
    io.stdout(flags.json ? `${JSON.stringify(describe(facts))}\n` : formatBanner(facts));
    logger.log("debug", "listening", { url: server.url.href });
    if (flags.check) return;
    io.holdExit();
    await aborted(io.signal);
    logger.log("info", "Stopping: requests under way are finished");
  },
});

/** What is given, else every model of the folder. Throws USAGE for two of one name. */
function findModels(given: readonly string[], cwd: string): readonly ModelToServe[] {
  const models = given.length > 0 ? given.map((text) => readModel(text, cwd)) : modelsIn(cwd);
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
