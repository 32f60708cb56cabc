// Bytes to a server's socket as they are, and what comes back: for requests that no HTTP client makes.

import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

export interface RawExchange {
  /** In the order they came; what follows the last whole one is left out. */
  readonly answers: readonly RawAnswer[];
  readonly isClosed: boolean;
}

export interface RawOptions {
  /** Ends when so many answers are there, or the server closes. Default 1. */
  readonly answers?: number;
  /** Or when nothing more has come for so long. Default 5 s. */
  readonly quietMs?: number;
  /** Once everything is sent: end the connection without waiting for anything, or end only this side of it. */
  readonly leave?: "reset" | "half";
  /** Another request, when the first has its answer. Bun ends a connection on which one comes earlier than that. */
  readonly follow?: string;
  /** The answer has a length, but no body. */
  readonly isHead?: boolean;
  /** Address to call from: one alone has ports for some 28,000 connections a minute. */
  readonly from?: string;
}

export function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  { answers: wanted = 1, quietMs = 5_000, leave, follow, isHead = false, from }: RawOptions = {},
): Promise<RawExchange> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      ...(from !== undefined && { localAddress: from }),
    });
    let received = "";
    let left = follow;
    const end = (isClosed: boolean) => {
      clearTimeout(timer);
      // Without the state that an orderly end leaves in the system for a minute.
      socket.resetAndDestroy();
      resolve({ answers: splitAnswers(received, isHead), isClosed });
    };
    const timer = setTimeout(() => end(false), quietMs);
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
      timer.refresh();
      const count = splitAnswers(received, isHead).length;
      if (count >= wanted) end(false);
      else if (count > 0 && left !== undefined) {
        socket.write(left);
        left = undefined;
      }
    });
    socket.on("error", () => end(true));
    socket.on("close", () => end(true));
    socket.on("connect", () => {
      const text = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
      if (leave === "half") socket.end(text);
      else socket.write(text, () => leave === "reset" && end(true));
    });
  });
}

/** Every answer of this server has a Content-Length, or no body. */
export function splitAnswers(received: string, isHead: boolean): RawAnswer[] {
  const found: RawAnswer[] = [];
  for (let at = 0; ; ) {
    const end = received.indexOf("\r\n\r\n", at);
    if (end === -1) return found;
    const head = received.slice(at, end);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
    const length = isHead ? 0 : Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    if (received.length < end + 4 + length) return found;
    at = end + 4 + length;
    if (status >= 200) found.push({ status, head, body: received.slice(end + 4, at) });
  }
}

/** A whole request; a body gets its length. */
export function rawRequest(line: string, headers: readonly string[] = [], body?: string): string {
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body, "latin1")}`];
  return [`${line} HTTP/1.1`, "Host: localhost", ...headers, ...length, "", body ?? ""].join("\r\n");
}
