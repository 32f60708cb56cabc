// A server on a free port for tests, and calls to it over its socket.

import type { InferenceServer, ModelToServe, ServerOptions } from "../../../src/server/server.ts";
import { openServer } from "../../../src/server/server.ts";
import { openSession, type SessionOptions, type SessionSeams } from "../../../src/runtime/session.ts";

export interface TestServer extends AsyncDisposable {
  readonly server: InferenceServer;
  /** Without a slash at the end. */
  readonly url: string;
  readonly get: (path: string, init?: RequestInit) => Promise<Answer>;
  readonly post: (path: string, body?: unknown, init?: RequestInit) => Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The body as JSON; the JSON before the binary tensors where there are some. Undefined where it is none. */
  readonly json: unknown;
}

export async function serveModels(
  models: readonly ModelToServe[],
  options: Partial<ServerOptions> & {
    readonly sessionOptions?: SessionOptions;
    readonly seams?: SessionSeams;
  } = {},
): Promise<TestServer> {
  const { sessionOptions, seams, ...rest } = options;
  const session = await openSession({ cache: false, ...sessionOptions }, seams);
  const server = await openServer({ session, models, port: 0, ...rest }).catch(async (error: unknown) => {
    await session[Symbol.asyncDispose]();
    throw error;
  });
  const url = server.url.href.replace(/\/$/, "");
  return {
    server,
    url,
    get: (path, init) => call(url + path, init),
    post: (path, body, init) => call(url + path, { method: "POST", body: bodyOf(body), ...init }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await session[Symbol.asyncDispose]();
    },
  };
}

/** Values that are not bytes or text become JSON. */
function bodyOf(body: unknown): string | Uint8Array<ArrayBuffer> | null {
  if (body === undefined) return null;
  if (typeof body === "string") return body;
  return body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body);
}

async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const { status, headers, ...response } = await answered(url, init);
  const { bytes } = response;
  const length = headers.get("inference-header-content-length");
  const head = length === null ? bytes : bytes.subarray(0, Number(length));
  return { status, headers, bytes, json: parse(new TextDecoder().decode(head)) };
}

async function answered(url: string, init: RequestInit) {
  const response = await fetch(url, init);
  return {
    status: response.status,
    headers: response.headers,
    bytes: new Uint8Array(await response.arrayBuffer()),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JSON and the tensors behind it, with the header that says where it ends. */
export function binaryBody(
  head: unknown,
  ...tensors: readonly Uint8Array[]
): { body: Uint8Array<ArrayBuffer>; headers: Record<string, string> } {
  const json = new TextEncoder().encode(JSON.stringify(head));
  const body = new Uint8Array(Buffer.concat([json, ...tensors]));
  return { body, headers: { "inference-header-content-length": String(json.length) } };
}

/** The binary tensors behind an answer's JSON, by name. */
export function binaryOutputs({
  bytes,
  headers,
  json,
}: Answer): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  let at = Number(headers.get("inference-header-content-length"));
  const { outputs } = json as {
    readonly outputs: readonly {
      readonly name: string;
      readonly parameters?: { readonly binary_data_size: number };
    }[];
  };
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const { name, parameters } of outputs) {
    if (parameters === undefined) continue;
    found.set(name, bytes.slice(at, at + parameters.binary_data_size));
    at += parameters.binary_data_size;
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes follow the last tensor`);
  return found;
}
