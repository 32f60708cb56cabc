// Requests that nobody should send, made from a seed: each is the bytes of one request, and what may come of it.

import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { randomSource } from "../../../src/codecs/generate.ts";
import { rawRequest } from "./raw.ts";

export interface HostileRequest {
  readonly kind: string;
  readonly bytes: Uint8Array;
  /** One whole request of HTTP/1.1: it must be answered, and the next one on its connection too. */
  readonly isWhole: boolean;
  /** Its answer has a length but no body. */
  readonly isHead: boolean;
}

interface Source {
  readonly below: (count: number) => number;
  readonly pick: <T>(items: readonly T[]) => T;
  readonly chance: (share: number) => boolean;
}

/** Endless; the same for the same seed. */
export function* makeHostileRequests(seed: string): Generator<HostileRequest> {
  const next = randomSource(seed);
  const random = () => next() / 2 ** 32;
  const below = (count: number) => Math.floor(random() * count);
  const source: Source = {
    below,
    pick: (items) => items[below(items.length)] as (typeof items)[number], // there is no empty list
    chance: (share) => random() < share,
  };
  const kinds = Object.entries(makers);
  while (true) {
    const [kind, make] = source.pick(kinds);
    yield { isHead: false, isWhole: true, ...make(source), kind };
  }
}

type Made = Pick<HostileRequest, "bytes"> & Partial<HostileRequest>;

const makers: Readonly<Record<string, (source: Source) => Made>> = {
  headers(s) {
    const headers = Array.from(
      { length: 1 + s.below(4) },
      () => `${s.pick(headerNames)}: ${s.pick(headerValues)}`,
    );
    const body = s.chance(0.5) ? goodText(s) : undefined;
    const line = body === undefined ? `GET ${s.pick(goodPaths)}` : `POST ${s.pick(inferPaths)}`;
    // These two say where the request ends.
    const framing = /^(content-length|transfer-encoding|connection|upgrade|expect):/i;
    return {
      bytes: latin1(
        rawRequest(
          line,
          headers.filter((header) => !framing.test(header)),
          body,
        ),
      ),
    };
  },
  "header flood"(s) {
    const headers = Array.from({ length: s.below(400) }, (_, i) => `X-${i}: ${"a".repeat(s.below(200))}`);
    return { bytes: latin1(rawRequest("GET /v2", headers)), isWhole: false };
  },
  json(s) {
    const value = mutate(s, goodBody(s), 1 + s.below(3));
    return { bytes: post(s, JSON.stringify(value) ?? "") };
  },
  "json bytes"(s) {
    const bytes = Buffer.from(goodText(s), "utf8");
    for (let i = s.below(4) + 1; i > 0; i--) bytes[s.below(bytes.length)] = s.below(256);
    return {
      bytes: post(
        s,
        bytes.subarray(0, s.chance(0.3) ? s.below(bytes.length) : bytes.length).toString("latin1"),
      ),
    };
  },
  "deep json"(s) {
    const depth = s.chance(0.02) ? 250_000 : s.below(3_000);
    const [open, close] = s.pick([
      ["[", "]"],
      ['{"a":', "}"],
      ['{"inputs":[', "]}"],
    ]);
    const deep = open.repeat(depth) + (s.chance(0.5) ? "1" : "") + (s.chance(0.7) ? close.repeat(depth) : "");
    const place = s.pick(["", "data", "inputs", "parameters"]);
    if (place === "") return { bytes: post(s, deep) };
    if (place !== "data") return { bytes: post(s, `{"inputs":[],"${place}":${deep}}`) };
    return { bytes: post(s, `{"inputs":[{"name":"x","shape":[4],"datatype":"INT32","data":${deep}}]}`) };
  },
  shapes(s) {
    const shape = Array.from({ length: s.below(s.chance(0.1) ? 40 : 5) }, () => s.pick(sizes));
    const input = { name: "x", datatype: s.pick(datatypes), shape, data: s.pick(odd) };
    return { bytes: post(s, JSON.stringify({ inputs: [input] })) };
  },
  "binary sizes"(s) {
    const parameters = { binary_data_size: s.pick([16, 15, 17, 0, -1, 2 ** 53, 1.5, "16", null, 1e300]) };
    const input = { name: "x", datatype: s.pick(datatypes), shape: [4], parameters };
    const head = JSON.stringify({
      inputs: s.chance(0.2) ? [input, input] : [input],
      parameters: s.pick([{}, { binary_data_output: true }]),
    });
    const tail = "\x01\x00\x00\x00".repeat(s.pick([0, 1, 4, 5]));
    const length = s.pick([
      head.length,
      head.length - 1,
      head.length + 1,
      0,
      2 ** 53,
      "-1",
      "1e3",
      "abc",
      "9".repeat(40),
    ]);
    return { bytes: post(s, head + tail, [`Inference-Header-Content-Length: ${length}`]) };
  },
  strings(s) {
    const frame = Buffer.alloc(4 + s.below(20), 65);
    frame.writeUInt32LE(s.pick([0, 1, frame.length - 4, frame.length, 0xffffffff]), 0);
    const head = JSON.stringify({
      inputs: [
        {
          name: s.pick(["image", "x"]),
          datatype: "BYTES",
          shape: [s.below(3)],
          parameters: { binary_data_size: frame.length },
        },
      ],
    });
    const path = `POST ${s.pick(inferPaths)}`;
    return {
      bytes: latin1(
        rawRequest(
          path,
          [`Inference-Header-Content-Length: ${head.length}`],
          head + frame.toString("latin1"),
        ),
      ),
    };
  },
  paths(s) {
    const path = Array.from({ length: 1 + s.below(6) }, () => s.pick(pathParts)).join(
      s.chance(0.9) ? "/" : "//",
    );
    const method = s.pick(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"]);
    const body = method === "POST" ? "{}" : undefined;
    return { bytes: latin1(rawRequest(`${method} /${path}`, [], body)), isHead: method === "HEAD" };
  },
  repository(s) {
    const path = s.pick([
      "index",
      "models/nope/load",
      "models/nope/unload",
      "models/..%2f..%2fetc/load",
      "models//load",
    ]);
    const body = s.pick([
      "",
      "{}",
      "[]",
      "{",
      '{"ready":1}',
      '{"parameters":{"config":"x"}}',
      '{"parameters":[]}',
      "null",
      "\xff",
    ]);
    return { bytes: latin1(rawRequest(`POST /v2/repository/${path}`, [], body)) };
  },
  compressed(s) {
    const plain = Buffer.from(s.chance(0.2) ? "x".repeat(4_000_000) : goodText(s));
    const [right, pack] = s.pick(packers);
    const packed = Buffer.from(pack(plain));
    if (s.chance(0.5)) packed[s.below(packed.length)] = s.below(256);
    const body = packed.subarray(0, s.chance(0.3) ? s.below(packed.length) : packed.length);
    const wrong = s.pick(["gzip", "deflate", "zstd", "br", "identity", "gzip, gzip", "x", ""]);
    const name = s.chance(0.7) ? right : wrong;
    return {
      bytes: post(s, body.toString("latin1"), [
        `Content-Encoding: ${name}`,
        "Accept-Encoding: zstd, gzip;q=x, *",
      ]),
    };
  },
  picture(s) {
    const signature = s.pick([
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
      "\xff\xd8\xff\xe0",
      "GIF89a",
      "BM",
      "RIFF\0\0\0\0WEBP",
      "",
    ]);
    const rest = Buffer.from(Array.from({ length: s.below(60) }, () => s.below(256)));
    const path = s.pick(["/v2/models/digits/infer", "/v2/models/twice/infer"]);
    return {
      bytes: latin1(
        rawRequest(`POST ${path}`, ["Content-Type: image/png"], signature + rest.toString("latin1")),
      ),
    };
  },
  chunks(s) {
    const parts: string[] = [];
    for (const text = goodText(s); parts.join("").length < 4 * text.length; ) {
      const at = s.below(text.length);
      const part = text.slice(at, at + 1 + s.below(40));
      parts.push(`${part.length.toString(16)}${s.pick(["", ";a=b", ';a="\\"'])}\r\n${part}\r\n`);
    }
    const end = s.pick(["0\r\n\r\n", "0\r\nX: y\r\n\r\n", "0;x\r\n\r\n"]);
    return {
      bytes: latin1(`${head(s)}Transfer-Encoding: chunked\r\n\r\n${parts.join("")}${end}`),
      isWhole: false,
    };
  },
  smuggling(s) {
    const hidden = rawRequest("GET /v2/health/live");
    const framing = Array.from({ length: 1 + s.below(3) }, () => s.pick(framings)).join("");
    return {
      bytes: latin1(
        `${head(s)}${framing}\r\n${s.pick(["", "0\r\n\r\n", "5\r\nabcde\r\n0\r\n\r\n", "zz\r\n"])}${hidden}`,
      ),
      isWhole: false,
    };
  },
  "cut off"(s) {
    const whole = post(s, goodText(s));
    return { bytes: whole.subarray(0, 1 + s.below(whole.length - 1)), isWhole: false };
  },
  noise(s) {
    return {
      bytes: Buffer.from(Array.from({ length: 1 + s.below(300) }, () => s.below(256))),
      isWhole: false,
    };
  },
};

const packers = [
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["zstd", zstdCompressSync],
] as const;
const goodPaths = [
  "/v2",
  "/v2/health/ready",
  "/v2/models/twice",
  "/v2/models/stats",
  "/v2/models/digits/config",
];
const inferPaths = [
  "/v2/models/twice/infer",
  "/v2/models/digits/infer",
  "/v2/models/twice/versions/1/infer",
  "/v2/models/nope/infer",
];
const pathParts = [
  "v2",
  "models",
  "twice",
  "infer",
  "stats",
  "versions",
  "1",
  "..",
  ".",
  "%2e%2e",
  "%00",
  "%ff",
  "%",
  "%zz",
  "a%2fb",
  "?a=b",
  "#x",
  ";",
  "\\",
  "*",
  "health",
  "live",
  "__proto__",
  "\xe9",
  "repository",
  "x".repeat(3_000),
];
const headerNames = [
  "Host",
  "Origin",
  "Sec-Fetch-Site",
  "Sec-Fetch-Mode",
  "Content-Type",
  "Inference-Header-Content-Length",
  "Content-Encoding",
  "Accept-Encoding",
  "Accept",
  "Authorization",
  "X-API-Key",
  "X-Request-Id",
  "traceparent",
  "Range",
  "If-None-Match",
  "Cookie",
  "X-Forwarded-For",
  "Access-Control-Request-Method",
  "TE",
  "X",
];
const headerValues = [
  "",
  " ",
  "*",
  "null",
  "0",
  "-1",
  "1e9",
  "9".repeat(40),
  "localhost",
  "[",
  "[::1",
  "a@b",
  "a:b:c",
  "evil.example",
  "http://evil.example",
  "http://[",
  "cross-site",
  "image/png",
  "image/",
  "application/json; charset=utf-16",
  "gzip",
  "zstd",
  "Bearer ",
  `Bearer ${"k".repeat(500)}`,
  "Basic Og==",
  "00-0-0-00",
  "bytes=0-",
  "\xff\xfe",
  "%s%n",
  "${jndi:ldap://x}",
  "a\tb",
  "' OR 1=1 --",
  "../../etc/passwd",
  "\x1b[31m",
];
const datatypes = [
  "INT32",
  "FP32",
  "FP16",
  "BYTES",
  "BOOL",
  "INT64",
  "UINT64",
  "BF16",
  "",
  "int32",
  "INT32\0",
];
const sizes = [0, 1, 2, 4, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 60, 1e308, "4", null, true];
const odd: readonly unknown[] = [
  null,
  true,
  -1,
  2 ** 53,
  1e308,
  "",
  "x",
  "\u0000",
  "\ud800",
  [],
  {},
  [[]],
  [1, 2, 3, 4],
  ["1"],
  [null],
  [
    [1, 2],
    [3, 4],
  ],
  [1, [2]],
  { a: [] },
];
const framings = [
  "Content-Length: 0\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 5, 5\r\n",
  "Content-Length: +5\r\n",
  "Content-Length: 0x5\r\n",
  "Content-Length: -5\r\n",
  "Content-Length : 5\r\n",
  "Content-Length: 18446744073709551617\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: chunked, identity\r\n",
  "Transfer-Encoding: identity\r\n",
  "Transfer-Encoding: xchunked\r\n",
  "Transfer-Encoding:\x0bchunked\r\n",
  "Transfer-Encoding\r\n",
  "X: a\nTransfer-Encoding: chunked\r\n",
  "X: a\r\n chunked\r\n",
  "\r\nContent-Length: 5\r\n",
  "Connection: close, Content-Length\r\n",
  "Expect: 100-continue\r\n",
];

function goodBody(s: Source): unknown {
  const input = { name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3, s.below(100)], parameters: {} };
  const outputs = [{ name: "y", parameters: { binary_data: s.chance(0.3) } }];
  const parameters = { timeout: s.pick([0, 1_000_000]), priority: s.below(3), sequence_id: s.below(2) };
  return { id: "a", inputs: [input], outputs, parameters };
}

function goodText(s: Source): string {
  return JSON.stringify(goodBody(s));
}

/** Some of its parts replaced, removed, or said twice. */
function mutate(s: Source, value: unknown, count: number): unknown {
  let root = value;
  for (let i = 0; i < count; i++) root = mutateOnce(s, root);
  return root;
}

function mutateOnce(s: Source, value: unknown): unknown {
  if (typeof value !== "object" || value === null || s.chance(0.15)) return s.pick(odd);
  if (Array.isArray(value)) {
    if (value.length === 0 || s.chance(0.2)) return s.chance(0.5) ? [...value, ...value] : [];
    const at = s.below(value.length);
    return value.map((item, i) => (i === at ? mutateOnce(s, item) : item));
  }
  const entries = Object.entries(value);
  const at = s.below(entries.length + 1);
  if (at === entries.length)
    return { ...value, [s.pick(["__proto__", "constructor", "", "a\u0000", "inputs"])]: s.pick(odd) };
  if (s.chance(0.2)) return Object.fromEntries(entries.filter((_, i) => i !== at));
  return Object.fromEntries(entries.map(([key, item], i) => [key, i === at ? mutateOnce(s, item) : item]));
}

function head(s: Source): string {
  return `POST ${s.pick(inferPaths)} HTTP/1.1\r\nHost: localhost\r\n`;
}

function post(s: Source, body: string, headers: readonly string[] = []): Uint8Array {
  const path = s.chance(0.8) ? "/v2/models/twice/infer" : s.pick(inferPaths);
  return latin1(rawRequest(`POST ${path}`, headers, body));
}

/** A character is a byte. */
function latin1(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}
