// How low layers speak up without knowing who listens. Passed in as an option, never a global.

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Telemetry {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

export const silent: Telemetry = { log() {} };
