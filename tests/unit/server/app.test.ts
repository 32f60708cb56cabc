// The application without a socket: what every request goes through, whatever its route.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { LogFields } from "../../../src/core/telemetry.ts";
import { type AppOptions, createApp } from "../../../src/server/app.ts";
import { defaultServerLimits } from "../../../src/server/limits.ts";
import { Repository } from "../../../src/server/repository/repository.ts";
import { ServedModel } from "../../../src/server/repository/served-model.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { writeIntegerModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";
import { createAuthorizer } from "../../../src/server/security/keys.ts";
import { createOriginPolicy } from "../../../src/server/security/origin.ts";
import { BodyBudget } from "../../../src/server/body-budget.ts";
import { ThreadTurns } from "../../../src/server/thread-turns.ts";
import { refuse } from "../../../src/server/status.ts";

const openToAll = {
  origins: createOriginPolicy([]),
  authorize: createAuthorizer({ keys: [], keylessGroups: [] }),
};

interface Logged {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields | undefined;
}

function makeApp(own: Partial<AppOptions> & { readonly isDraining?: boolean } = {}) {
  const logged: Logged[] = [];
  const telemetry: AppOptions["context"]["telemetry"] = {
    log: (level, event, fields) => void logged.push({ level, event, fields }),
  };
  const repository = new Repository({
    control: "explicit",
    find: () => {
      throw new Error("/secret/path");
    },
    load: async () => [],
    telemetry,
  });
  const { isDraining = false, ...rest } = own;
  const app = createApp({
    context: {
      turns: new ThreadTurns(1),
      bodies: new BodyBudget(2 ** 30),
      repository,
      limits: defaultServerLimits,
      telemetry,
      metrics: undefined,
      isDraining: () => isDraining,
    },
    guards: [],
    ...openToAll,
    hasAccessLog: false,
    ...rest,
  });
  const call = (path: string, init?: RequestInit) =>
    app(new Request(`http://localhost${path}`, init), { holdOpen() {} });
  return { call, logged };
}

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("names of a request", () => {
  test("come back as they were, and into the access log", async () => {
    const { call, logged } = makeApp({ hasAccessLog: true });
    const { headers } = await call("/v2/health/live?secret=1", {
      headers: { "x-request-id": "a-1", traceparent: trace },
    });
    expect([headers.get("x-request-id"), headers.get("traceparent")]).toEqual(["a-1", trace]);
    expect(logged).toEqual([
      {
        level: "info",
        event: "request answered",
        fields: {
          method: "GET",
          path: "/v2/health/live",
          status: 200,
          ms: expect.any(Number),
          requestId: "a-1",
          traceparent: trace,
        },
      },
    ]);
  });

  test("that a request has none of are not in the log", async () => {
    const { call, logged } = makeApp({ hasAccessLog: true });
    await call("/nowhere", { method: "POST" });
    const fields = { method: "POST", path: "/nowhere", status: 404, ms: expect.any(Number) };
    expect(logged.map((entry) => Object.entries(entry.fields ?? {}))).toEqual([Object.entries(fields)]);
  });

  test.each([
    ["x-request-id", 'a"b'],
    ["x-request-id", "a b"],
    ["x-request-id", "x".repeat(129)],
    ["traceparent", "00-xyz-b7ad6b7169203331-01"],
  ])("that are none (%s: %p) come back nowhere", async (name, value) => {
    const { call } = makeApp();
    expect((await call("/v2", { headers: { [name]: value } })).headers.has(name)).toBe(false);
  });
});

describe("a failure of our own", () => {
  test("is told in general words, and logged in its own", async () => {
    const { call, logged } = makeApp();
    const response = await call("/v2/repository/index", { method: "POST", headers: { "x-request-id": "7" } });
    expect({ status: response.status, json: await response.json() }).toEqual({
      status: 500,
      json: { error: "Something went wrong inside the server" },
    });
    expect(logged).toEqual([
      {
        level: "error",
        event: "request failed",
        fields: { code: "INTERNAL", reason: "/secret/path", requestId: "7" },
      },
    ]);
  });
});

describe("a guard", () => {
  test("comes before every path, those that are none of ours too", async () => {
    const guards = [
      () => {
        throw refuse(403, "no");
      },
    ];
    const { call } = makeApp({ guards });
    for (const path of ["/v2", "/v2/health/live", "/metrics", "/openapi.json", "/", "/nowhere"]) {
      for (const method of ["GET", "POST", "OPTIONS", "DELETE"]) {
        expect((await call(path, { method })).status).toBe(403);
      }
    }
  });
});

test("while the server ends, every answer closes its connection", async () => {
  const { call } = makeApp({ isDraining: true });
  for (const path of ["/v2", "/v2/health/ready", "/nowhere"]) {
    expect((await call(path)).headers.get("connection")).toBe("close");
  }
  expect((await makeApp().call("/v2")).headers.has("connection")).toBe(false);
});

test("a connection is held open once the body is there, and the time that passes is the server's", async () => {
  using folder = tempFolder();
  await using session = await openSession({ cache: false });
  const model = await session.load(writeIntegerModel(join(folder.path, "m.mlpackage")));
  const { timeoutMs, limits } = { timeoutMs: 5_000, limits: defaultServerLimits };
  const served = new ServedModel({ name: "m", version: "1", model, limits, timeoutMs });
  const files = { name: "m", versions: new Map([["1", folder.path]]), optionsPath: undefined };
  const telemetry = { log() {} };
  await using repository = new Repository({
    control: "none",
    find: () => new Map([["m", files]]),
    load: async () => [served],
    telemetry,
  });
  await repository.open();
  const context = {
    repository,
    limits,
    telemetry,
    metrics: undefined,
    isDraining: () => false,
    turns: new ThreadTurns(1),
    bodies: new BodyBudget(2 ** 30),
  };
  const app = createApp({ context, guards: [], ...openToAll, hasAccessLog: false });
  const body = new TransformStream<Uint8Array, Uint8Array>();
  let held = 0;
  const answer = app(
    new Request("http://localhost/v2/models/m/infer", { method: "POST", body: body.readable }),
    {
      holdOpen: () => void held++,
    },
  );
  const writer = body.writable.getWriter();
  const bytes = new TextEncoder().encode(
    '{"inputs":[{"name":"x","datatype":"INT32","shape":[4],"data":[1,2,3,4]}]}',
  );
  await writer.write(bytes.subarray(0, 10));
  await new Promise((resolve) => setImmediate(resolve));
  expect(held).toBe(0);
  await writer.write(bytes.subarray(10));
  await writer.close();
  expect((await answer).status).toBe(200);
  expect(held).toBe(1);
});
