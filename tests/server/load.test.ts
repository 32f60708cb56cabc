// What happens when there is too much to do, when somebody leaves, and when the server is told to end.

import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openServer } from "../../src/server/server.ts";
import { Instance } from "../../src/runtime/pool/instance.ts";
import { openSession } from "../../src/runtime/session.ts";
import { writeIntegerModel, writeSlowModel } from "../support/program-models.ts";
import { serveModels, type TestServer } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const slowPath = writeSlowModel(join(folder.path, "slow.mlpackage"));
const quickPath = writeIntegerModel(join(folder.path, "quick.mlpackage"));

const quickRequest = { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3, 4] }] };

/** 2048 x 2048 zeros: the model works on them for many seconds. */
const zeroBytes = 2 ** 24;
function slowBody(parameters: Readonly<Record<string, unknown>> = {}) {
  const input = {
    name: "x",
    datatype: "FP32",
    shape: [2048, 2048],
    parameters: { binary_data_size: zeroBytes },
  };
  const head = new TextEncoder().encode(JSON.stringify({ parameters, inputs: [input] }));
  const body = new Uint8Array(new ArrayBuffer(head.length + zeroBytes));
  body.set(head);
  return { body, headers: { "inference-header-content-length": String(head.length) } };
}

function postSlow(
  served: TestServer,
  parameters: Readonly<Record<string, unknown>> = {},
  signal?: AbortSignal,
) {
  const { body, headers } = slowBody(parameters);
  return served.post("/v2/models/slow/infer", body, { headers, ...(signal && { signal }) });
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

function statsOf({ server }: TestServer, name = "slow") {
  return server.repository.find(name, undefined).model.stats;
}

describe("too much to do", () => {
  test("a full queue is 429, and says when to come again", async () => {
    await using served = await serveModels([{ name: "slow", path: slowPath }], {
      load: { instances: 1, queueLimit: 1 },
      timeoutMs: 600_000,
      warmUp: false,
    });
    const leave = new AbortController();
    const running = postSlow(served, {}, leave.signal).catch(() => "left");
    await until(() => statsOf(served).instances.busy === 1);
    const waiting = postSlow(served, {}, leave.signal).catch(() => "left");
    await until(() => statsOf(served).queue.pending === 1);
    const { status, headers, json } = await postSlow(served);
    expect({ status, retryAfter: headers.get("retry-after"), json }).toEqual({
      status: 429,
      retryAfter: "1",
      json: { error: expect.stringContaining("1") },
    });
    leave.abort();
    expect(await Promise.all([running, waiting])).toEqual(["left", "left"]);
    await until(() => statsOf(served).requests.failuresByReason.cancelled === 2);
  });

  test("a request that asks for an answer in time is told when there was none", async () => {
    await using served = await serveModels([{ name: "slow", path: slowPath }], { warmUp: false });
    const { status, json } = await postSlow(served, { timeout: 50_000 });
    expect({ status, json }).toEqual({ status: 504, json: { error: expect.stringContaining("50 ms") } });
  });

  test("beyond the bound of requests under way all but health is refused", async () => {
    await using served = await serveModels([{ name: "quick", path: quickPath }], {
      limits: { maxRequests: 0 },
    });
    expect(await served.post("/v2/models/quick/infer", quickRequest)).toMatchObject({
      status: 429,
      json: { error: "More than 0 requests are under way" },
    });
    expect((await served.get("/v2/health/ready")).status).toBe(200);
  });
});

test("a client that leaves ends its run, and the next one is served", async () => {
  await using served = await serveModels([{ name: "slow", path: slowPath }], {
    load: { instances: 1 },
    timeoutMs: 600_000,
    warmUp: false,
  });
  const leave = new AbortController();
  const answer = postSlow(served, {}, leave.signal).catch(() => "left");
  await until(() => statsOf(served).instances.busy === 1);
  leave.abort();
  expect(await answer).toBe("left");
  await until(() => statsOf(served).requests.failuresByReason.cancelled === 1);
  // The run is cancelled inside the engine; what it used comes back when it has really ended.
  await until(() => statsOf(served).instances.busy === 0 && statsOf(served).quarantine.count === 0);
});

/** Its runs begin when the gate opens. */
class GatedInstance extends Instance {
  readonly #gate: Promise<void>;

  constructor(gate: Promise<void>) {
    super();
    this.#gate = gate;
  }

  override async run(...tensors: Parameters<Instance["run"]>): ReturnType<Instance["run"]> {
    await this.#gate;
    return super.run(...tensors);
  }
}

describe("the end", () => {
  test("in good order: not ready, served all the same, then closed when the last answer is out", async () => {
    const gate = Promise.withResolvers<void>();
    const session = await openSession(
      { cache: false },
      { openInstance: () => new GatedInstance(gate.promise) },
    );
    const models = [{ name: "quick", path: quickPath }];
    const load = { inline: false as const };
    const server = await openServer({ session, models, port: 0, load, timeoutMs: 600_000, warmUp: false });
    const url = server.url.href.replace(/\/$/, "");
    const init = { method: "POST", body: JSON.stringify(quickRequest) };
    const underWay = fetch(`${url}/v2/models/quick/infer`, init);
    const { model } = server.repository.find("quick", undefined);
    await until(() => model.stats.instances.busy === 1);
    const delay = Promise.withResolvers<void>();
    const drained = server.drain({ delayMs: 100, graceMs: 600_000, sleep: () => delay.promise });
    const ready = await fetch(`${url}/v2/health/ready`);
    expect({
      status: ready.status,
      connection: ready.headers.get("connection"),
      json: await ready.json(),
    }).toEqual({
      status: 503,
      connection: "close",
      json: { error: "The server is shutting down" },
    });
    expect((await fetch(`${url}/v2/models/quick`)).status).toBe(200);
    delay.resolve();
    // It takes nobody any more, and has not ended: one request is still at its run.
    const outcome = () =>
      fetch(url).then(
        () => "answered",
        () => "refused",
      );
    while ((await outcome()) === "answered");
    expect(await Promise.race([drained, underWay, Promise.resolve("still open")])).toBe("still open");
    gate.resolve();
    expect(await (await underWay).json()).toMatchObject({ outputs: [{ name: "y", data: [2, 4, 6, 8] }] });
    expect(await drained).toBe(true);
    expect(await outcome()).toBe("refused");
    await session[Symbol.asyncDispose]();
  });

  test("when the grace is over requests are cut off, and that is said", async () => {
    const session = await openSession({ cache: false });
    const models = [{ name: "slow", path: slowPath }];
    const server = await openServer({ session, models, port: 0, timeoutMs: 600_000, warmUp: false });
    const { body, headers } = slowBody();
    const url = `${server.url.href}v2/models/slow/infer`;
    const cut = fetch(url, { method: "POST", body, headers }).then(
      () => "answered",
      () => "cut",
    );
    const { model } = server.repository.find("slow", undefined);
    await until(() => model.stats.instances.busy === 1);
    expect(await server.drain({ delayMs: 0, graceMs: 20 })).toBe(false);
    expect(await cut).toBe("cut");
    await session[Symbol.asyncDispose]();
  });
});

describe("sockets", () => {
  test("a UNIX socket is this user's, takes the place of one that nobody listens on, and is gone afterwards", async () => {
    const path = join(folder.path, "s.sock");
    for (let i = 0; i < 2; i++) {
      const served = await serveModels([{ name: "quick", path: quickPath }], { unixPath: path });
      const answer = await fetch("http://localhost/v2/models/quick/ready", { unix: path });
      expect(await answer.json()).toEqual({ name: "quick", ready: true });
      expect(await modeOf(path)).toBe(0o600);
      const second = serveModels([], { unixPath: path });
      expect(
        await second.then(
          () => "",
          (error: Error) => error.message,
        ),
      ).toBe(`Cannot listen on ${path}: it is in use`);
      await served[Symbol.asyncDispose]();
      expect(await Bun.file(path).exists()).toBe(false);
    }
  });

  test("a path that is no socket is left alone", async () => {
    const path = join(folder.path, "file");
    await Bun.write(path, "mine");
    const opening = serveModels([], { unixPath: path });
    expect(
      await opening.then(
        () => "",
        (error: Error) => error.message,
      ),
    ).toBe(`Cannot listen on "${path}": it is no socket`);
    expect(await Bun.file(path).text()).toBe("mine");
  });

  test("a port that is taken is an error that says so", async () => {
    await using served = await serveModels([]);
    const port = Number(new URL(served.url).port);
    const second = serveModels([], { port });
    expect(
      await second.then(
        () => "",
        (error: Error) => error.message,
      ),
    ).toBe(`Cannot listen on 127.0.0.1:${port}: it is in use`);
  });
});

describe("TLS", () => {
  const [certPath, keyPath] = ["cert.pem", "key.pem"].map((name) => join(folder.path, name));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${keyPath}`];
  const made = Bun.spawnSync([
    "openssl",
    "req",
    "-x509",
    ...key,
    ...subject,
    "-days",
    "2",
    "-out",
    `${certPath}`,
  ]);
  if (made.exitCode !== 0 || certPath === undefined || keyPath === undefined)
    throw new Error(made.stderr.toString());

  test("is spoken where there is a certificate", async () => {
    await using served = await serveModels([{ name: "quick", path: quickPath }], {
      tls: { certPath, keyPath },
    });
    expect(served.url).toStartWith("https://127.0.0.1:");
    const ca = await Bun.file(certPath).text();
    const init = { method: "POST", body: JSON.stringify(quickRequest), tls: { ca } };
    const answer = await fetch(`${served.url}/v2/models/quick/infer`, init);
    expect(await answer.json()).toMatchObject({ outputs: [{ name: "y", data: [2, 4, 6, 8] }] });
  });

  test.each([
    ["a file that is not there", join(folder.path, "none"), keyPath],
    ["files that do not belong together", keyPath, certPath],
  ])("with %s does not begin", async (_, cert, key) => {
    const opening = serveModels([], { tls: { certPath: cert, keyPath: key } });
    expect(
      await opening.then(
        () => "",
        (error: { code: string }) => error.code,
      ),
    ).toBe("USAGE");
  });
});

async function modeOf(path: string): Promise<number> {
  return (await Bun.file(path).stat()).mode & 0o777;
}
