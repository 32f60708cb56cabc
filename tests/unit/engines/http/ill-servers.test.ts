// Servers that fail, hang, send elsewhere, or answer what nobody asked for.

import { expect, test } from "bun:test";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { f32 } from "../../../../src/core/tensor.ts";
import { HttpEngine } from "../../../../src/engines/http.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

const server = { name: "other", version: "1", extensions: ["binary_tensor_data"] };
const tensor = { name: "x", datatype: "FP32", shape: [2] };
const metadata = {
  name: "m",
  versions: ["1"],
  platform: "other",
  inputs: [tensor],
  outputs: [{ ...tensor, name: "y" }],
};

type Infer = (request: Request) => Response | Promise<Response>;

/** Answers everything but `infer` as a healthy server does. */
function startServer(infer: Infer, description: unknown = metadata) {
  return Bun.serve({
    port: 0,
    idleTimeout: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/v2") return Response.json(server);
      if (pathname === "/v2/models/m") return Response.json(description);
      if (pathname === "/v2/models/m/infer") return infer(request);
      return Response.json({ error: "no such path" }, { status: 404 });
    },
  });
}

async function predictOn(
  infer: Infer,
  options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
) {
  using listening = startServer(infer);
  await using engine = await HttpEngine.open({ address: listening.url.href });
  const found = await engine.loadNamed("/nowhere/m");
  if (found === undefined) throw new Error("There is a file");
  return await found.loaded.predict(new Map([["x", f32([1, 2])]]), options);
}

interface Output {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly parameters: { readonly binary_data_size: number };
}

function encode(
  outputs: readonly Output[],
  data: Uint8Array,
): { json: Uint8Array; body: Uint8Array<ArrayBuffer> } {
  const json = new TextEncoder().encode(JSON.stringify({ model_name: "m", model_version: "1", outputs }));
  return { json, body: new Uint8Array(Buffer.concat([json, data])) };
}

function respond(body: Uint8Array<ArrayBuffer>, jsonLength: number): Response {
  return new Response(body, { headers: { "inference-header-content-length": String(jsonLength) } });
}

const y: Output = { name: "y", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } };
const good = encode([y], f32([3, 4]).bytes);

test("a request carries its tensors in binary, and its deadline in microseconds", async () => {
  let seen: { readonly head: unknown; readonly data: readonly number[] } | undefined;
  const outputs = await predictOn(
    async (request) => {
      const bytes = new Uint8Array(await request.arrayBuffer());
      const length = Number(request.headers.get("inference-header-content-length"));
      const head: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(0, length)));
      seen = { head, data: [...new Float32Array(bytes.slice(length).buffer)] };
      return respond(good.body, good.json.length);
    },
    { timeoutMs: 20_000.5 },
  );
  expect(outputs).toEqual(new Map([["y", f32([3, 4])]]));
  expect(seen).toEqual({
    head: {
      parameters: { binary_data_output: true, timeout: 20_000_500 },
      inputs: [{ ...tensor, parameters: { binary_data_size: 8 } }],
    },
    data: [1, 2],
  });
});

test.each([
  [400, "BAD_INPUT"],
  [401, "UNAVAILABLE"],
  [404, "NOT_FOUND"],
  [429, "OVERLOADED"],
  [500, "NATIVE"],
  [501, "UNSUPPORTED"],
  [503, "UNAVAILABLE"],
  [504, "DEADLINE"],
] as const)("a status of %d is %s, with what the server says", async (status, code) => {
  const failing = () => Response.json({ error: "because" }, { status, headers: { "retry-after": "3" } });
  expect(await rejectionOf(predictOn(failing))).toMatchObject({
    code,
    message: 'The server cannot run "m": because',
    details: { status, retryAfterMs: 3_000 },
  });
});

test("a failure without words, and one with too many, are both short", async () => {
  const html = () => new Response("<h1>gateway</h1>", { status: 502 });
  expect(await rejectionOf(predictOn(html))).toMatchObject({
    message: 'The server cannot run "m": status 502',
  });
  const long = await rejectionOf(predictOn(() => Response.json({ error: "a".repeat(1e6) }, { status: 500 })));
  expect(long instanceof Error && long.message.length).toBeLessThan(600);
});

test("a server that does not answer is given up at the deadline, and told so", async () => {
  const gone = Promise.withResolvers<string>();
  const error = rejectionOf(
    predictOn(
      (request) => {
        request.signal.addEventListener("abort", () => gone.resolve("gone"));
        return new Promise<Response>(() => {});
      },
      { timeoutMs: 50 },
    ),
  );
  expect(await gone.promise).toBe("gone");
  expect(await error).toMatchObject({ code: "DEADLINE", details: { timeoutMs: 50 } });
});

test("a call that is given up ends at once, and the server is told", async () => {
  const calling = new AbortController();
  const gone = Promise.withResolvers<string>();
  const error = rejectionOf(
    predictOn(
      (request) => {
        request.signal.addEventListener("abort", () => gone.resolve("gone"));
        calling.abort();
        return new Promise<Response>(() => {});
      },
      { signal: calling.signal },
    ),
  );
  expect(await error).toMatchObject({ code: "INTERRUPTED" });
  expect(await gone.promise).toBe("gone");
});

test("inputs are not sent where a server redirects to", async () => {
  let strangers = 0;
  using stranger = Bun.serve({ port: 0, fetch: () => (strangers++, new Response("thanks")) });
  const error = await rejectionOf(predictOn(() => Response.redirect(stranger.url.href, 307)));
  expect(error).toMatchObject({ code: "UNAVAILABLE" });
  expect(strangers).toBe(0);
});

test("an answer without an end is refused while it comes", async () => {
  const chunk = new Uint8Array(2 ** 20);
  let sent = 0;
  using endless = Bun.serve({
    port: 0,
    fetch: () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            sent++;
            controller.enqueue(chunk);
          },
        }),
      ),
  });
  expect(await rejectionOf(HttpEngine.open({ address: endless.url.href }))).toMatchObject({
    code: "NATIVE",
    message: expect.stringContaining("more than 16777216 bytes"),
  });
  expect(sent).toBeLessThan(64);
});

test("a server whose name would write to a terminal is refused", async () => {
  using painter = Bun.serve({ port: 0, fetch: () => Response.json({ ...server, name: "\u001b[2J" }) });
  expect(await rejectionOf(HttpEngine.open({ address: painter.url.href }))).toMatchObject({
    code: "NATIVE",
    message: expect.stringContaining("/name"),
  });
});

test("a server without binary tensors, and an address where nobody is, are refused", async () => {
  using plain = Bun.serve({ port: 0, fetch: () => Response.json({ ...server, extensions: [] }) });
  const { href } = plain.url;
  expect(await rejectionOf(HttpEngine.open({ address: href }))).toMatchObject({ code: "UNSUPPORTED" });
  await plain.stop(true);
  expect(await rejectionOf(HttpEngine.open({ address: href }))).toMatchObject({ code: "UNAVAILABLE" });
});

test.each(["http://", "ftp://host", "http://user:secret@host:1", "http://host/?key=secret"])(
  "%s is no address of a server, and is not repeated",
  async (address) => {
    const error = await rejectionOf(HttpEngine.open({ address }));
    expect(error).toMatchObject({ code: "USAGE", message: expect.not.stringContaining("secret") });
  },
);

test("a model with a type that we do not know is refused", async () => {
  using listening = startServer(() => respond(good.body, good.json.length), {
    ...metadata,
    inputs: [{ ...tensor, datatype: "BF16" }],
  });
  await using engine = await HttpEngine.open({ address: listening.url.href });
  expect(await rejectionOf(engine.loadNamed("/nowhere/m"))).toMatchObject({
    code: "UNSUPPORTED",
    message: 'Cannot use "m": "x" is BF16',
  });
});

test("no answer, however damaged, is taken for another or ends in anything but an error of ours", async () => {
  const next = sequenceOf(7);
  let answer = good;
  let length = good.json.length;
  using listening = startServer(() => respond(answer.body, length));
  await using engine = await HttpEngine.open({ address: listening.url.href });
  const found = await engine.loadNamed("/nowhere/m");
  let refused = 0;
  for (let round = 0; round < 1_500; round++) {
    answer = damage(next);
    length = next(20) === 0 ? next(2_000) : answer.json.length;
    try {
      const value = (await found?.loaded.predict(new Map([["x", f32([1, 2])]])))?.get("y");
      expect(value).toMatchObject({ dtype: "float32", bytes: { byteLength: 8 } });
    } catch (error) {
      if (!(error instanceof CoremlxError)) throw error;
      expect(["NATIVE", "BAD_INPUT"]).toContain(error.code);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(750);
});

function damage(next: (below: number) => number): typeof good {
  switch (next(4)) {
    case 0: {
      const body = good.body.slice();
      for (let i = next(4); i >= 0; i--) body[next(body.length)] = next(256);
      return { json: good.json, body };
    }
    case 1:
      return { json: good.json, body: good.body.slice(0, next(good.body.length)) };
    case 2: {
      const shape = [[2], [4], [0], [2, 1], [2 ** 40], [2 ** 53 - 1, 8]][next(6)] ?? [];
      const datatype = ["FP32", "FP64", "BYTES", "BOOL", "BF16", ""][next(6)] ?? "";
      return encode([{ ...y, shape, datatype }], f32([3, 4]).bytes);
    }
    default: {
      const size = [8, 0, 7, 9, 2 ** 31, 2 ** 53 - 1, -1][next(7)] ?? 0;
      const data = f32(Array.from({ length: next(4) }, (_, i) => i)).bytes;
      return encode([{ ...y, parameters: { binary_data_size: size } }, y].slice(next(2)), data);
    }
  }
}

/** Lehmer's generator: the same damage each time. */
function sequenceOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
