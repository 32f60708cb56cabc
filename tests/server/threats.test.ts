// The threats of HTTP, one test for each: what is sent is wrong or hostile, and the server goes on as if nothing had been.

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { LogFields } from "../../src/core/telemetry.ts";
import { SessionMetrics } from "../../src/runtime/metrics/metrics.ts";
import { openServer } from "../../src/server/server.ts";
import { openSession } from "../../src/runtime/session.ts";
import { writeIntegerModel, writePictureModel, writeSumModel } from "../support/program-models.ts";
import { type RawOptions, rawRequest, sendRaw } from "../support/server/raw.ts";
import { binaryBody, serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const secret = "a-key-that-nobody-may-see-0123456789";
const logged: string[] = [];
const telemetry = {
  log: (level: string, message: string, fields?: LogFields) =>
    void logged.push(JSON.stringify({ level, message, fields })),
};
const metrics = new SessionMetrics({ telemetry });
const served = await serveModels(
  [
    { name: "twice", path: writeIntegerModel(join(folder.path, "twice.mlpackage")) },
    { name: "sum", path: writeSumModel(join(folder.path, "sum.mlpackage")) },
    { name: "picture", path: writePictureModel(join(folder.path, "picture.mlpackage")) },
  ],
  {
    control: "explicit",
    loadAtStart: ["*"],
    limits: { maxBodyBytes: 2_000_000 },
    hasAccessLog: true,
    telemetry,
    metrics,
    sessionOptions: { telemetry: { ...telemetry, meters: metrics } },
  },
);
afterAll(() => served[Symbol.asyncDispose]());
const { get, post, url } = served;
const raw = (bytes: string | Uint8Array, options?: RawOptions) => sendRaw(url, bytes, options);

const infer = "/v2/models/twice/infer";
const good = { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3, 4] }] };

afterEach(async () => {
  expect((await post(infer, good)).status).toBe(200);
  expect(served.server.repository.find("twice", undefined).model.stats.queue.pending).toBe(0);
});

describe("smuggling: what two servers could read as two different requests", () => {
  const hidden = rawRequest("GET /v2/health/live");
  const head = "POST /v2/models/twice/infer HTTP/1.1\r\nHost: localhost\r\n";
  test.each([
    [
      "a length and chunks",
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    [
      "chunks and a length",
      `${head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ["two lengths", `${head}Content-Length: 4\r\nContent-Length: 0\r\n\r\n${hidden}`],
    ["a list of lengths", `${head}Content-Length: 0, 4\r\n\r\n${hidden}`],
    ["a length with a sign", `${head}Content-Length: +0\r\n\r\n${hidden}`],
    ["a negative length", `${head}Content-Length: -1\r\n\r\n${hidden}`],
    ["a length in hexadecimal", `${head}Content-Length: 0x0\r\n\r\n${hidden}`],
    ["a length of 2^64", `${head}Content-Length: 18446744073709551616\r\n\r\n${hidden}`],
    ["a space before the colon", `${head}Content-Length : 0\r\n\r\n${hidden}`],
    ["a folded header", `${head}X: a\r\n Content-Length: 0\r\n\r\n${hidden}`],
    ["an encoding beside chunks", `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`],
    [
      "two transfer encodings",
      `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ["nearly chunked", `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`],
    ["a line that ends without CR", `${head}X: a\nContent-Length: 0\r\n\r\n${hidden}`],
    ["NUL in a header", `${head}X: a\0b\r\n\r\n${hidden}`],
    ["a chunk of no number", `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n0\r\n\r\n${hidden}`],
    [
      "a chunk of 2^68",
      `${head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ["chunks that end without CR", `${head}Transfer-Encoding: chunked\r\n\r\n0\n\n${hidden}`],
    [
      "chunks in HTTP/1.0",
      `${head.replace("1.1", "1.0")}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ["two hosts", `GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n`],
  ])("%s: one refusal, and nothing after it", async (_, bytes) => {
    const { answers, isClosed } = await raw(bytes, { answers: 2 });
    expect(answers).toHaveLength(1);
    expect(isClosed).toBe(true);
    expect([400, 421]).toContain(answers[0]?.status ?? 0);
  });

  test("a body that no route reads is no request, and the connection goes on behind it", async () => {
    const bytes = rawRequest("POST /v2/nowhere", [], hidden) + rawRequest("GET /v2/health/ready");
    const { answers } = await raw(bytes, { answers: 2 });
    expect(answers.map(({ status, body }) => [status, body])).toEqual([
      [404, '{"error":"There is no such path"}'],
      [200, '{"ready":true}'],
    ]);
  });
});

describe("size", () => {
  test("a body that says it is too large is refused before it comes", async () => {
    for (const length of [2_000_001, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const { answers, isClosed } = await raw(
        `POST ${infer} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`,
        { answers: 2 },
      );
      expect(answers.map(({ status, body }) => [status, body])).toEqual([
        [413, '{"error":"The body has more than 2000000 bytes"}'],
      ]);
      expect(isClosed).toBe(true);
    }
  });

  test("a body of chunks that goes on too long is refused while it comes", async () => {
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    const { answers } = await raw(
      `POST ${infer} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(40)}`,
    );
    expect(answers[0]).toMatchObject({
      status: 413,
      body: '{"error":"The body has more than 2000000 bytes"}',
    });
  });

  test.each(["Content-Length: 100", "Transfer-Encoding: chunked"])(
    "a body that takes too long to arrive is given up, whoever drips it (%s)",
    async (framing) => {
      await using impatient = await serveModels(
        [{ name: "twice", path: join(folder.path, "twice.mlpackage") }],
        { limits: { maxBodyMs: 50 } },
      );
      const { answers, isClosed } = await sendRaw(
        impatient.url,
        `POST ${infer} HTTP/1.1\r\nHost: localhost\r\n${framing}\r\n\r\n1\r\n{\r\n`,
        { answers: 2 },
      );
      expect({ answers: answers.map(({ status, body }) => [status, body]), isClosed }).toEqual({
        answers: [[504, '{"error":"The body did not arrive within 50 ms"}']],
        isClosed: true,
      });
    },
  );

  test.each(["Content-Length", "Transfer-Encoding"])(
    "bodies of all requests together have a bound, which those that only promise to come do not fill (%s)",
    async (framing) => {
      await using tight = await serveModels([{ name: "twice", path: join(folder.path, "twice.mlpackage") }], {
        limits: { maxBodyBytesAtOnce: 1_000 },
      });
      const post = async (body: string) => {
        const isWhole = framing === "Content-Length";
        const framed = isWhole ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
        const header = isWhole ? `Content-Length: ${body.length}` : "Transfer-Encoding: chunked";
        const text = `POST ${infer} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n\r\n${framed}`;
        const { answers } = await sendRaw(tight.url, text);
        return answers[0];
      };
      const whole = JSON.stringify(good);
      const long = whole.padEnd(700);
      expect((await post(long))?.status).toBe(200);
      const { hostname, port } = new URL(tight.url);
      const idle = connect({ host: hostname, port: Number(port) });
      idle.write(`POST ${infer} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\n{`);
      let refused = await post(long);
      while (refused?.status === 200) refused = await post(long); // until the server has seen the promise
      expect(refused).toMatchObject({
        status: 429,
        body: '{"error":"The bodies of the requests under way have more than 1000 bytes together"}',
      });
      expect((await post(whole))?.status).toBe(200);
      idle.resetAndDestroy();
      while ((await post(long))?.status !== 200);
    },
  );

  test("connections that only wait are closed beyond the bound, and not those that are at something", async () => {
    await using few = await serveModels([{ name: "twice", path: join(folder.path, "twice.mlpackage") }], {
      limits: { maxConnections: 4 },
    });
    const { hostname, port } = new URL(few.url);
    const open = () => connect({ host: hostname, port: Number(port) });
    const body = JSON.stringify(good);
    const busy = open();
    busy.write(`POST ${infer} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n{`);
    const waiting = Array.from({ length: 8 }, open);
    const closed = waiting.map((socket) => {
      socket.resume().write("GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
      return new Promise<void>((resolve) => socket.on("close", () => resolve()));
    });
    await Promise.all(closed);
    const answered = new Promise<string>((resolve) => busy.on("data", (data) => resolve(String(data))));
    busy.write(body.slice(1));
    expect(await answered).toStartWith("HTTP/1.1 200 OK\r\n");
    busy.resetAndDestroy();
  });

  test("a million chunks of one byte are one body", async () => {
    const text = JSON.stringify(good).padEnd(1_000_000);
    const chunks = Array.from(text, (byte) => `1\r\n${byte}\r\n`).join("");
    const { answers } = await raw(
      `POST ${infer} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
      { quietMs: 20_000 },
    );
    expect(answers[0]?.status).toBe(200);
  });

  test.each([
    ["a thousand headers", Array.from({ length: 1_000 }, (_, i) => `X-${i}: a`)],
    ["a header of a megabyte", [`X: ${"a".repeat(2 ** 20)}`]],
  ])("%s are refused", async (_, headers) => {
    const { answers, isClosed } = await raw(rawRequest("GET /v2", headers), { answers: 2 });
    expect({ statuses: answers.map(({ status }) => status), isClosed }).toEqual({
      statuses: [431],
      isClosed: true,
    });
  });

  test("a path of a megabyte is refused", async () => {
    expect((await raw(rawRequest(`GET /${"a".repeat(2 ** 20)}`))).answers[0]?.status).toBe(431);
  });

  test.each([
    ["gzip", (bytes: Uint8Array) => gzipSync(bytes)],
    ["zstd", (bytes: Uint8Array) => zstdCompressSync(bytes)],
  ])("a bomb in %s is 413 where it passes the limit", async (name, pack) => {
    const body = new Uint8Array(pack(new Uint8Array(200_000_000)));
    expect(body.length).toBeLessThan(1_000_000);
    const before = process.memoryUsage.rss();
    const { status, json } = await post(infer, body, { headers: { "content-encoding": name } });
    expect({ status, json }).toEqual({
      status: 413,
      json: { error: "The body has more than 2000000 bytes, decompressed" },
    });
    expect(process.memoryUsage.rss() - before).toBeLessThan(100_000_000);
  });
});

describe("paths and methods", () => {
  test.each([
    "/v2/models/..%2f..%2fetc%2fpasswd",
    "/v2/models/%2e%2e/ready",
    "/v2/models/%00/ready",
    "/v2/models/twice%00/ready",
    "/v2/models/%ff%fe",
    "/v2/models/%",
    "/v2/models/%zz/config",
    "/v2/models/__proto__/stats",
    "/v2/models/constructor/infer",
    "/v2/repository/models/..%2f..%2fetc/load",
    "//evil.example/v2",
    "/v2/models/twice/versions/../../../x",
    "/v2/models/twice/versions/1%2f..%2f2",
  ])("%s names no model", async (path) => {
    for (const method of ["GET", "POST"]) {
      const { answers } = await raw(rawRequest(`${method} ${path}`, [], "{}"));
      const { status = 0, body = "" } = answers[0] ?? {};
      expect([404, 405]).toContain(status);
      expect(JSON.parse(body)).toEqual({ error: expect.any(String) });
      expect(body).not.toContain(folder.path);
    }
  });

  test.each(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])("%s is 405", async (method) => {
    const { answers } = await raw(rawRequest(`${method} /v2`));
    expect(answers[0]).toMatchObject({ status: 405, head: expect.stringMatching(/^allow: GET, HEAD$/im) });
    expect(JSON.parse(answers[0]?.body ?? "")).toEqual({ error: `${method} is not for this path` });
  });

  test.each(["CONNECT evil.example:443", "CONNECT a", "CONNECT /v2"])(
    "%s is no way through",
    async (line) => {
      expect((await raw(rawRequest(line))).answers[0]?.status).toBe(405);
    },
  );

  test("an absolute address of somebody else is answered as a path of ours, and never fetched", async () => {
    const { answers } = await raw(rawRequest("GET http://evil.example/v2/health/live"));
    expect(answers[0]).toMatchObject({ status: 200, body: '{"live":true}' });
  });

  test.each([
    "GET /v2\r\n\r\n",
    "GET /v2 HTTP/3.0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01",
  ])("what is no HTTP/1.1 ends with its connection: %j", async (bytes) => {
    const { answers, isClosed } = await raw(bytes, { answers: 2 });
    expect(isClosed).toBe(true);
    for (const { status } of answers) expect([400, 505]).toContain(status);
  });
});

describe("bodies", () => {
  const input = { name: "x", datatype: "INT32", shape: [4] };
  const refused = async (body: unknown, init?: RequestInit) => {
    const { status, json } = await post(infer, body, init);
    expect({ status, json }).toEqual({ status: 400, json: { error: expect.any(String) } });
  };

  test("lists 250,000 deep are refused, wherever they stand", async () => {
    const deep = "[".repeat(250_000) + "]".repeat(250_000);
    await refused(deep);
    await refused(`{"inputs":${deep}}`);
    await refused(`{"inputs":[{"name":"x","datatype":"INT32","shape":[4],"data":${deep}}]}`);
    await refused(`{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":${deep}}]}`);
    await refused(`{"inputs":[],"parameters":${deep}}`);
    expect((await post("/v2/repository/index", "[".repeat(30_000))).status).toBe(400);
  });

  test.each([
    [[2 ** 53]],
    [[2 ** 60]],
    [[2 ** 31, 2 ** 31, 2]],
    [[-1]],
    [[-4, -1]],
    [[4.5]],
    [[0]],
    [[1e308]],
    [[5]],
    [[]],
  ])("the shape %j is refused, in JSON and in binary", async (shape) => {
    await refused({ inputs: [{ ...input, shape, data: [1, 2, 3, 4] }] });
    const head = { inputs: [{ ...input, shape, parameters: { binary_data_size: 16 } }] };
    const { body, headers } = binaryBody(head, new Uint8Array(16));
    await refused(body, { headers });
  });

  test.each(["99999", "9007199254740993", "18446744073709551616", "-1", "1e3", "0x10", "NaN", "1 ", "١"])(
    "a header length of %j is refused",
    async (length) => {
      const { answers } = await raw(
        Buffer.from(
          rawRequest(`POST ${infer}`, [`Inference-Header-Content-Length: ${length}`], "{}"),
          "utf8",
        ),
      );
      expect([400]).toContain(answers[0]?.status ?? 0);
    },
  );

  test.each([-1, 2 ** 53, 1.5, 17, 15, "16", null])("a binary_data_size of %j is refused", async (size) => {
    const head = { inputs: [{ ...input, parameters: { binary_data_size: size } }] };
    const { body, headers } = binaryBody(head, new Uint8Array(16));
    await refused(body, { headers });
  });

  test("names of an object's own machinery are names like any other", async () => {
    await refused('{"inputs":[{"name":"__proto__","datatype":"INT32","shape":[1],"data":[1]}]}');
    await refused('{"__proto__":{"inputs":[]}}');
    const odd = JSON.stringify(good).replace("{", '{"__proto__":{"polluted":1},"constructor":1,');
    expect((await post(infer, odd)).status).toBe(200);
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  test("NaN and infinity come back as text, for JSON has no words for them", async () => {
    const data = ["NaN", "Infinity", "-Infinity", 0, 0, 0];
    const side = { datatype: "FP32", shape: [2, 3] };
    const { status, json } = await post("/v2/models/sum/infer", {
      inputs: [
        { ...side, name: "left", data },
        { ...side, name: "right", data: [0, 0, 0, 0, 0, 0] },
      ],
    });
    expect({ status, json }).toMatchObject({ status: 200, json: { outputs: [{ data }] } });
    await refused('{"inputs":[{"name":"x","datatype":"INT32","shape":[4],"data":[NaN,1,2,3]}]}');
  });

  test("a picture of a hundred thousand times a hundred thousand, and half of one, are refused", async () => {
    const png = readFileSync(join(import.meta.dir, "../../examples/digits/digit_7.png"));
    const huge = Buffer.from(png);
    huge.writeUInt32BE(100_000, 16);
    huge.writeUInt32BE(100_000, 20);
    const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0]);
    for (const bytes of [
      huge,
      png.subarray(0, 100),
      png.subarray(0, -20),
      jpeg,
      jpeg.subarray(0, 6),
      Buffer.alloc(0),
    ]) {
      const { status, json } = await post("/v2/models/picture/infer", new Uint8Array(bytes), {
        headers: { "content-type": "image/png" },
      });
      expect({ status, json }).toEqual({ status: 400, json: { error: expect.any(String) } });
    }
  });
});

describe("clients that leave", () => {
  test("at each byte of a request leave nothing behind", async () => {
    const whole = rawRequest(`POST ${infer}`, [], JSON.stringify(good));
    const before = logged.length;
    for (let at = 1; at <= whole.length; at++)
      await raw(whole.slice(0, at), { leave: at % 2 === 0 ? "reset" : "half", quietMs: 20 });
    expect(logged.slice(before).filter((line) => line.includes('"error"'))).toEqual([]);
  });
});

describe("what others may not learn", () => {
  test("a model's name in a request is no label of a metric", async () => {
    for (let i = 0; i < 50; i++) await post(`/v2/models/made-up-${i}/infer`, good);
    const text = new TextDecoder().decode((await get("/metrics")).bytes);
    expect(text).toContain('model="twice"');
    expect(text).not.toContain("made-up");
  });

  test("no answer names a path of this machine", async () => {
    const answers = await Promise.all(
      [
        "/v2",
        "/v2/models/twice",
        "/v2/models/twice/config",
        "/v2/models/twice/stats",
        "/openapi.json",
        "/metrics",
      ].map((path) => get(path)),
    );
    answers.push(await post("/v2/repository/index"), await post("/v2/repository/models/none/load"));
    for (const { bytes } of answers) expect(new TextDecoder().decode(bytes)).not.toContain(folder.path);
  });

  test("a key is in no answer and in no log", async () => {
    await using session = await openSession({ cache: false });
    await using other = await openServer({
      session,
      models: [],
      port: 0,
      keys: [{ text: secret, groups: ["metadata"] }],
      telemetry,
      hasAccessLog: true,
    });
    const texts: string[] = [];
    for (const path of ["v2", "metrics", "v2/nowhere"]) {
      const response = await fetch(`${other.url.href}${path}?key=${secret}`, {
        headers: { authorization: `Bearer ${secret}` },
      });
      texts.push(JSON.stringify([...response.headers]), await response.text());
    }
    expect([...texts, ...logged].join("\n")).not.toContain(secret);
  });

  test("nobody without a key loads or unloads a model", async () => {
    await using session = await openSession({ cache: false });
    await using other = await openServer({
      session,
      models: [{ name: "twice", path: join(folder.path, "twice.mlpackage") }],
      port: 0,
      control: "explicit",
      loadAtStart: ["*"],
      keys: [{ text: secret, groups: ["inference"] }],
    });
    const unload = (headers: Record<string, string>) =>
      fetch(`${other.url.href}v2/repository/models/twice/unload`, { method: "POST", headers });
    expect((await unload({})).status).toBe(401);
    expect((await unload({ "x-api-key": secret })).status).toBe(403);
    expect(other.repository.served.map(({ name }) => name)).toEqual(["twice"]);
  });
});
