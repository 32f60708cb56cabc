// The socket: an address and port, or a UNIX socket; with or without TLS.

import { lstatSync, readFileSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0: any that is free. */
  readonly port: number;
  /** In place of both: the path of a socket, for this user only. */
  readonly unixPath?: string | undefined;
  readonly tls?: { readonly certPath: string; readonly keyPath: string } | undefined;
  readonly idleTimeoutMs: number;
}

export type Fetch = (request: Request, server: Bun.Server<undefined>) => Promise<Response>;

/** Bun's own longest. */
const longestIdleSeconds = 255;

/** Throws IO for an address it cannot have, USAGE for TLS files that cannot be used. */
export async function listen(options: ListenOptions, fetch: Fetch): Promise<Bun.Server<undefined>> {
  const { hostname, port, unixPath } = options;
  if (unixPath !== undefined) await removeStaleSocket(unixPath);
  const tls = options.tls && readTls(options.tls);
  const common = {
    ...(tls && { tls }),
    // Bodies are bounded where they are read (request-bytes.ts), whose refusal says why; Bun's own is empty.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    fetch,
  };
  const idleTimeout = Math.min(Math.max(Math.ceil(options.idleTimeoutMs / 1_000), 1), longestIdleSeconds);
  // The socket file is made with these rights, not given them afterwards.
  const mask = unixPath === undefined ? undefined : process.umask(0o177);
  try {
    return unixPath === undefined
      ? // Said, because Bun 1.4.5 otherwise lets any program share the port where development is off.
        Bun.serve({ ...common, hostname, port, idleTimeout, reusePort: false })
      : Bun.serve({ ...common, unix: unixPath });
  } catch (cause) {
    if (errnoOf(cause)?.startsWith("ERR_OSSL")) throw wrongTls(cause);
    throw new CoremlxError(
      "IO",
      `Cannot listen on ${unixPath ?? `${hostname}:${port}`}: ${reasonOf(cause)}`,
      {
        cause,
        hint: unixPath === undefined ? "Choose another with --host and --port" : "Choose another with --unix",
      },
    );
  } finally {
    if (mask !== undefined) process.umask(mask);
  }
}

/** One that nobody listens on any more. Throws USAGE for anything that is no socket. */
async function removeStaleSocket(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new CoremlxError("USAGE", `Cannot listen on "${path}": it is no socket`);
  if (!(await isAnswered(path))) unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (isAlive: boolean) => {
      socket.destroy();
      resolve(isAlive);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

function readTls({ certPath, keyPath }: NonNullable<ListenOptions["tls"]>) {
  try {
    return { cert: readFileSync(certPath, "utf8"), key: readFileSync(keyPath, "utf8") };
  } catch (cause) {
    throw wrongTls(cause);
  }
}

function wrongTls(cause: unknown): CoremlxError {
  return new CoremlxError("USAGE", `Cannot use the certificate and key: ${messageOf(cause)}`, {
    cause,
    hint: "Give --tls-cert and --tls-key as files in PEM format that belong together",
  });
}

function reasonOf(cause: unknown): string {
  const code = errnoOf(cause);
  if (code === "EADDRINUSE") return "it is in use";
  return code === "EACCES" ? "it takes more rights" : messageOf(cause);
}
