// Who may call: names, origins, keys, addresses.

import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { routes } from "../../src/server/app.ts";
import { readKeyFile } from "../../src/server/security/key-file.ts";
import { keyGroups, type ApiKey } from "../../src/server/security/keys.ts";
import { writeIntegerModel } from "../support/program-models.ts";
import { serveModels, type TestServer } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const path = writeIntegerModel(join(folder.path, "twice.mlpackage"));
const models = [{ name: "twice", path }];
const master = "master-key-0123456789abcdef";
const inferKey = "infer-key-0123456789abcdef";
const keys: readonly ApiKey[] = [
  { text: master, groups: keyGroups },
  { text: inferKey, groups: ["inference"] },
];
const open = await serveModels(models);
afterAll(() => open[Symbol.asyncDispose]());
const guarded = await serveModels(models, { keys });
afterAll(() => guarded[Symbol.asyncDispose]());
const shared = await serveModels(models, { keys, allowedOrigins: ["https://app.example"] });
afterAll(() => shared[Symbol.asyncDispose]());

const request = { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3, 4] }] };

interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
}

async function ask(served: TestServer, { method = "GET", path: where, headers = {} }: Asked) {
  const body = method === "POST" ? JSON.stringify(request) : null;
  const { status, headers: answered, ...rest } = await served.get(where, { method, headers, body });
  return { status, headers: answered, json: rest.json };
}

function failureOf(options: Parameters<typeof serveModels>[1]): Promise<unknown> {
  return serveModels(models, options).catch((error: unknown) => error);
}

const every = routes.map(({ method, path: pattern, group }) => ({
  method,
  path: pattern.replace("{model}", "twice").replace("{version}", "1"),
  group,
}));

describe("every route", () => {
  test.each(every)("$method $path is 421 under a name of somebody else", async (route) => {
    const { status, json } = await ask(open, { ...route, headers: { host: "evil.example" } });
    expect({ status, json }).toEqual({
      status: 421,
      json: { error: "This server does not answer to the name in the Host header" },
    });
  });

  test.each(every)("$method $path is 403 for a page of another origin", async (route) => {
    const pages: readonly Record<string, string>[] = [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" },
      { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors" },
    ];
    for (const headers of pages) {
      const { status, json } = await ask(open, { ...route, headers });
      expect({ headers, status, json }).toEqual({
        headers,
        status: 403,
        json: { error: "This server does not answer to pages of other origins" },
      });
    }
  });

  test.each(every.filter(({ group }) => group !== "health" && group !== "page"))(
    "$method $path needs a key where there are keys",
    async (route) => {
      const { status, headers, json } = await ask(guarded, route);
      expect({ status, challenge: headers.get("www-authenticate"), json }).toEqual({
        status: 401,
        challenge: 'Bearer realm="coremlx"',
        json: { error: "This needs a key" },
      });
      const wrong = await ask(guarded, { ...route, headers: { "x-api-key": `${master}x` } });
      expect({ status: wrong.status, json: wrong.json }).toEqual({
        status: 401,
        json: { error: "The key is not known" },
      });
      const ours = await ask(guarded, { ...route, headers: { authorization: `Bearer ${master}` } });
      expect([401, 403]).not.toContain(ours.status);
      const other = await ask(guarded, { ...route, headers: { "x-api-key": inferKey } });
      expect(other.status === 403).toBe(route.group !== "inference");
    },
  );

  test.each(every)("$method $path tells browsers to take nothing for what it is not", async (route) => {
    const { headers } = await ask(open, route);
    expect(Object.fromEntries(headers)).toMatchObject({
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringContaining("frame-ancestors 'none'"),
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "cache-control": "no-store",
    });
  });
});

describe("keys", () => {
  test("open health to everybody, and no path that is no route", async () => {
    expect((await ask(guarded, { path: "/v2/health/ready" })).status).toBe(200);
    expect((await ask(guarded, { path: "/v2/nowhere" })).status).toBe(401);
    expect((await ask(guarded, { path: "/v2/nowhere", headers: { "x-api-key": inferKey } })).status).toBe(
      404,
    );
    expect((await ask(guarded, { path: "/v2", method: "DELETE" })).status).toBe(401);
  });

  test("are asked for before a body is read", async () => {
    const body = new ReadableStream({ pull() {} }); // never comes
    const leave = new AbortController();
    const { status } = await fetch(`${guarded.url}/v2/models/twice/infer`, {
      method: "POST",
      body,
      signal: leave.signal,
    });
    expect(status).toBe(401);
    leave.abort();
  });

  test("of the groups that the operator says are not needed", async () => {
    await using served = await serveModels(models, { keys, keylessGroups: ["metrics"] });
    expect((await ask(served, { path: "/v2/health/live" })).status).toBe(401);
    expect((await ask(served, { path: "/metrics" })).status).not.toBe(401);
  });

  test("stand in a file, each for its groups", () => {
    const file = join(folder.path, "keys");
    writeFileSync(file, `# ours\n${master}\n\n  ${inferKey}  inference metrics\r\n`);
    expect(readKeyFile(file)).toEqual([
      { text: master, groups: keyGroups },
      { text: inferKey, groups: ["inference", "metrics"] },
    ]);
  });

  test.each([
    ["", "there is none"],
    ["short\n", "it must be 16 to 1024 printable ASCII characters without spaces, and has 5"],
    [`${"ä".repeat(20)}\n`, "printable ASCII"],
    [`${master} everything\n`, 'Cannot use the group "everything" of line 1'],
  ])("of a file %j are refused, without saying a key", (text, message) => {
    const file = join(folder.path, "wrong-keys");
    writeFileSync(file, text);
    const read = () => readKeyFile(file);
    expect(read).toThrow(message);
    expect(read).not.toThrow(master);
  });

  test("are not read from a file that everybody may write, nor from what is no file", () => {
    const file = join(folder.path, "loose-keys");
    writeFileSync(file, `${master}\n`);
    chmodSync(file, 0o666);
    expect(() => readKeyFile(file)).toThrow("everybody may write it");
    expect(() => readKeyFile(folder.path)).toThrow("it is not a regular file");
  });
});

describe("origins", () => {
  test("of the server's own pages pass, under each name it has", async () => {
    const { port } = new URL(open.url);
    for (const name of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
      const headers = { host: name, origin: `http://${name}` };
      expect((await ask(open, { path: "/v2", headers })).status).toBe(200);
    }
    const other = { host: `localhost:${port}`, origin: "http://localhost:1" };
    expect((await ask(open, { path: "/v2", headers: other })).status).toBe(403);
  });

  test("do not matter to a browser that says the page is of the same, or that somebody typed the address", async () => {
    for (const site of ["same-origin", "none"]) {
      const headers = { origin: "https://behind.example", "sec-fetch-site": site };
      expect((await ask(open, { path: "/v2", headers })).status).toBe(200);
    }
  });

  test("of a link do not matter for reading, but for everything else", async () => {
    const headers = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    expect((await ask(open, { path: "/v2", headers })).status).toBe(200);
    expect((await ask(open, { path: "/v2/models/twice/infer", method: "POST", headers })).status).toBe(403);
  });

  test("in the list may ask what they may send, without a key, and see answers and errors", async () => {
    const origin = "https://app.example";
    const preflight = await ask(shared, {
      method: "OPTIONS",
      path: "/v2/models/twice/infer",
      headers: { origin, "access-control-request-method": "POST", "sec-fetch-site": "cross-site" },
    });
    expect(preflight.status).toBe(204);
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, HEAD, POST",
      "access-control-allow-headers": expect.stringContaining("Authorization"),
      vary: "Origin",
    });
    const { status, headers } = await ask(shared, { path: "/v2", headers: { origin } });
    expect({ status, allowed: headers.get("access-control-allow-origin") }).toEqual({
      status: 401,
      allowed: origin,
    });
  });

  test("that are not in it are not told anything", async () => {
    const { status, headers } = await ask(shared, {
      method: "OPTIONS",
      path: "/v2/models/twice/infer",
      headers: { origin: "https://app.example.evil.example", "access-control-request-method": "POST" },
    });
    expect({ status, allowed: headers.get("access-control-allow-origin") }).toEqual({
      status: 403,
      allowed: null,
    });
  });

  test("with a slash at the end, or without a scheme, are refused at the start", async () => {
    for (const origin of ["https://app.example/", "app.example"]) {
      expect(await failureOf({ allowedOrigins: [origin] })).toMatchObject({
        code: "USAGE",
        message: `Cannot allow the origin "${origin}": it is none`,
      });
    }
  });
});

describe("an address that others can reach", () => {
  test.each(["0.0.0.0", "::", "", "192.0.2.1", "host.example"])(
    "is refused without keys: %j",
    async (hostname) => {
      expect(await failureOf({ hostname })).toMatchObject({
        code: "USAGE",
        message: `Cannot listen on "${hostname}" without keys: other machines could reach it, and anybody may call`,
      });
    },
  );

  test("is taken with keys, and where somebody says so", async () => {
    await using withKeys = await serveModels(models, { hostname: "0.0.0.0", keys });
    await using insecure = await serveModels(models, { hostname: "0.0.0.0", isInsecure: true });
    expect([withKeys.server.url.port, insecure.server.url.port]).not.toContain("");
  });
});
