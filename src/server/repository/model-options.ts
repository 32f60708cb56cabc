// What can be said about one model: in the file beside it, else by the command line for all of them.

import { readFileSync, statSync } from "node:fs";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { CoremlxError, messageOf } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import type { LoadModelOptions } from "../../runtime/session.ts";

const optionsSchema = Type.Partial(
  Type.Object(
    {
      device: Type.Union(["auto", "cpu", "gpu", "ane", "all"].map((name) => Type.Literal(name))),
      function: Type.String({ minLength: 1 }),
      instances: Type.Union([Type.Integer({ minimum: 1, maximum: 1_024 }), Type.Literal("auto")]),
      threads: Type.Integer({ minimum: 1, maximum: 1_024 }),
      isolation: Type.Union([Type.Literal("worker"), Type.Literal("process")]),
      inline: Type.Boolean({ description: "small models run in the server's own thread" }),
      "queue-limit": Type.Integer({ minimum: 1, maximum: 1_000_000 }),
      "queue-timeout-ms": Type.Number({ exclusiveMinimum: 0 }),
      "timeout-ms": Type.Number({ exclusiveMinimum: 0 }),
      "warm-up": Type.Boolean(),
      versions: Type.Union([
        Type.Literal("latest"),
        Type.Literal("all"),
        Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1 }),
      ]),
      resources: Type.Record(Type.String(), Type.Integer({ minimum: 1 })),
      weight: Type.Number({ exclusiveMinimum: 0 }),
    },
    { additionalProperties: false },
  ),
);

export type ModelOptions = Static<typeof optionsSchema>;

/** Nobody writes more about a model. */
const maxBytes = 65_536;

/** Nothing where there is no such file. Throws USAGE for what cannot be in it. */
export function readModelOptions(path: string | undefined): ModelOptions {
  if (path === undefined) return {};
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return {};
  if (!stats.isFile() || stats.size > maxBytes) {
    throw new CoremlxError("USAGE", `Cannot read "${path}": it is no file of up to ${maxBytes} bytes`);
  }
  let options: unknown;
  try {
    options = Bun.TOML.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new CoremlxError("USAGE", `Cannot read "${path}": ${messageOf(cause)}`, { cause });
  }
  if (Value.Check(optionsSchema, options)) return options;
  throw wrongOptions(path, options);
}

function wrongOptions(path: string, options: unknown): CoremlxError {
  const known = Object.keys(optionsSchema.properties);
  const unknown = Object.keys(options ?? {}).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    return new CoremlxError("USAGE", `Unknown setting "${unknown}" in "${path}"`, {
      hint: suggest(unknown, known, "The settings are"),
    });
  }
  const problem = Value.Errors(optionsSchema, options).First();
  const place = problem?.path.slice(1) ?? "";
  return new CoremlxError(
    "USAGE",
    `Cannot use "${place}" from "${path}": ${problem?.message ?? "it is wrong"}`,
  );
}

/**
 * A model of up to this runs in the server's own thread: handing a run over costs that thread as much and more under load. Measured with the
 * digits model, whose runs take 60 µs, on 2 cores with 64 connections: 9,300 binary answers/s there, 6,600 with workers.
 */
const inlineLimitMs = 0.2;

/** The file's word goes before the common one. */
export function loadOptionsOf(own: ModelOptions, common: LoadModelOptions): LoadModelOptions {
  const isInline = own.inline ?? true;
  return {
    ...common,
    device: (own.device as LoadModelOptions["device"]) ?? common.device,
    functionName: own.function ?? common.functionName,
    instances: own.instances ?? common.instances,
    threads: own.threads ?? common.threads ?? "share",
    isolation: own.isolation ?? common.isolation,
    inline: isInline ? (common.inline ?? "auto") : false,
    inlineLimitMs,
    queueLimit: own["queue-limit"] ?? common.queueLimit,
    queueTimeoutMs: own["queue-timeout-ms"] ?? common.queueTimeoutMs,
    resources: own.resources ?? common.resources,
    weight: own.weight ?? common.weight,
  };
}

/** Those of the versions there are that are wanted: the latest, unless the options say otherwise. */
export function chooseVersions(
  versions: ReadonlyMap<string, string>,
  { versions: wanted = "latest" }: ModelOptions,
): readonly (readonly [version: string, path: string])[] {
  const all = [...versions];
  if (wanted === "all") return all;
  if (wanted === "latest") return all.slice(-1);
  return wanted.map((version) => {
    const path = versions.get(String(version));
    if (path !== undefined) return [String(version), path] as const;
    throw new CoremlxError("NOT_FOUND", `There is no version ${version}`);
  });
}
