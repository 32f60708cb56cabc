// Logs, warnings and progress, on stderr, as text or as JSON lines. consola does the levels; the reporter is ours.

import { createConsola } from "consola/core";
import type { LogFields, LogLevel } from "../core/telemetry.ts";
import { type Io, painter, plain } from "./output.ts";

export interface LoggerOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: string;
  readonly "log-format": "text" | "json";
}

/** Takes events, as a telemetry does, and free text for people. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

export function createLogger(io: Io, options: LoggerOptions): Logger {
  const paint = painter(io, options.color, "stderr");
  const colors = { error: "red", warn: "yellow", info: "cyan", debug: "dim" } as const;
  const logger = createConsola({
    level: options.quiet ? 0 : options.verbose ? 4 : 3,
    throttle: 0,
    reporters: [
      {
        log({ type, args, date }) {
          const level = type === "error" || type === "warn" || type === "debug" ? type : "info";
          const message = String(args[0]);
          const fields = isFields(args[1]) ? args[1] : {};
          if (options["log-format"] === "json") {
            io.stderr(`${JSON.stringify({ time: date.toISOString(), level, message, ...fields })}\n`);
            return;
          }
          const tail = Object.entries(fields).map(([key, value]) => ` ${key}=${String(value)}`);
          const prefix = level === "info" ? "" : `${paint(colors[level], `${level}:`)} `;
          io.stderr(`${prefix}${plain(message)}${plain(tail.join(""))}\n`);
        },
      },
    ],
  });
  return {
    log(level: LogLevel, message: string, fields?: LogFields) {
      if (fields === undefined) logger[level](message);
      else logger[level](message, fields);
    },
  };
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
