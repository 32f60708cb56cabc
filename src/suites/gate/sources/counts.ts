// Small measurements that only the gate needs: large outputs, live handles, crash reports. Their forms, and their figures.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../../core/errors.ts";
import { count, environment, record } from "../../schema-parts.ts";
import type { Findings } from "../findings.ts";

const text = Type.String({ maxLength: 10_000 });

const outputsRaw = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("outputs"),
    environment,
    engine: Type.Object({ name: text, version: text, device: text }, record),
    model: Type.Object({ name: text, digest: text }, record),
    limitBytes: count("outputs beyond it must be mapped"),
    outputs: Type.Array(
      Type.Object(
        {
          byteLength: count(),
          isMapped: Type.Boolean({ description: "it lay in a mapped file" }),
          isRight: Type.Boolean({ description: "every value was as it must be" }),
        },
        record,
      ),
      { maxItems: 100_000 },
    ),
  },
  record,
);
export type OutputsRaw = Static<typeof outputsRaw>;

const handlesRaw = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("handles"),
    library: text,
    isStandIn: Type.Boolean({ description: "over stand-ins for Apple's frameworks" }),
    predictions: count(),
    most: count("handles alive at once, which shows that they were counted"),
    live: count("when everything was closed"),
  },
  record,
);
export type HandlesRaw = Static<typeof handlesRaw>;

const crashReportsRaw = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("crash-reports"),
    environment,
    folders: Type.Array(text, { maxItems: 100, description: "where the system leaves them" }),
    since: text,
    reports: Type.Array(text, { maxItems: 100_000, description: "their names" }),
  },
  record,
);
export type CrashReportsRaw = Static<typeof crashReportsRaw>;

export const outputMetrics = { "mapped-share": "share", "wrong-outputs": "outputs" } as const;
export const handleMetrics = { live: "handles" } as const;
export const crashReportMetrics = { reports: "reports" } as const;

const checkers = {
  outputs: TypeCompiler.Compile(outputsRaw),
  handles: TypeCompiler.Compile(handlesRaw),
  "crash-reports": TypeCompiler.Compile(crashReportsRaw),
};

export function readOutputs(value: unknown, file: string): Findings {
  const checker = checkers.outputs;
  if (!checker.Check(value)) throw unreadable(file, "outputs", checker.Errors(value).First());
  const { environment: where, engine, model, limitBytes, outputs } = value;
  const large = outputs.filter(({ byteLength }) => byteLength > limitBytes);
  const mapped = large.filter(({ isMapped }) => isMapped).length;
  const wrong = outputs.filter(({ isRight }) => !isRight).length;
  const detail = `${mapped} of ${large.length} outputs beyond ${limitBytes / 1e6} MB were mapped, ${wrong} were wrong`;
  const read = (reading: number) =>
    large.length === 0 ? "no output was that large" : { value: reading, detail };
  return {
    environment: where,
    models: [model],
    engines: [engine],
    measures: {
      "mapped-share": () => read(mapped / large.length),
      "wrong-outputs": () => read(wrong),
    },
  };
}

export function readHandles(value: unknown, file: string): Findings {
  const checker = checkers.handles;
  if (!checker.Check(value)) throw unreadable(file, "handles", checker.Errors(value).First());
  const { library, isStandIn, predictions, most, live } = value;
  const frameworks = isStandIn ? "over stand-ins of the frameworks" : "over Core ML";
  const detail = `${live} of up to ${most} alive after ${predictions} predictions, ${library} ${frameworks}`;
  return {
    models: [],
    engines: [],
    measures: {
      live: () => (most === 0 || predictions === 0 ? "no handle was ever alive" : { value: live, detail }),
    },
  };
}

export function readCrashReports(value: unknown, file: string): Findings {
  const checker = checkers["crash-reports"];
  if (!checker.Check(value)) throw unreadable(file, "crash-reports", checker.Errors(value).First());
  const { environment: where, folders, since, reports } = value;
  const names = reports.length === 0 ? "" : `: ${reports.slice(0, 3).join(", ")}`;
  const detail = `${reports.length} since ${since} in ${folders.length} folders${names}`;
  return {
    environment: where,
    models: [],
    engines: [],
    measures: {
      reports: () => (folders.length === 0 ? "no folder was looked at" : { value: reports.length, detail }),
    },
  };
}

function unreadable(
  file: string,
  name: string,
  first: { readonly path: string; readonly message: string } | undefined,
): CoremlxError {
  const place = first === undefined || first.path === "" ? "the document" : first.path;
  return new CoremlxError("BAD_INPUT", `Cannot read ${file} as ${name}: ${place}: ${first?.message}`);
}
