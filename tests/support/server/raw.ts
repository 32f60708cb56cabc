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
  /** Reset the connection once everything is sent, and wait for nothing. */
  readonly hangUp?: boolean;
}

export function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  { answers: wanted = 1, quietMs = 5_000, hangUp = false }: RawOptions = {},
): Promise<RawExchange> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let received = "";
    const end = (isClosed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answers: splitAnswers(received), isClosed });
    };
    const timer = setTimeout(() => end(false), quietMs);
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
      timer.refresh();
      if (splitAnswers(received).length >= wanted) end(false);
    });
    socket.on("error", () => end(true));
    socket.on("close", () => end(true));
    socket.on("connect", () => {
      const text = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
      if (hangUp) socket.write(text, () => end(true));
      else socket.write(text);
    });
  });
}

/** Every answer of this server has a Content-Length, or no body. */
function splitAnswers(received: string): RawAnswer[] {
  const found: RawAnswer[] = [];
  for (let at = 0; ; ) {
    const end = received.indexOf("\r\n\r\n", at);
    if (end === -1) return found;
    const head = received.slice(at, end);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
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
