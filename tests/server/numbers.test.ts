// What a server says in numbers: statistics in Triton's form, metrics in Prometheus', its interface in OpenAPI's.

import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { SessionMetrics } from "../../src/runtime/metrics/metrics.ts";
import { routes } from "../../src/server/app.ts";
import { writeIntegerModel } from "../support/program-models.ts";
import { serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const metrics = new SessionMetrics();
const served = await serveModels(
  [{ name: "twice", path: writeIntegerModel(join(folder.path, "twice.mlpackage")) }],
  { metrics, sessionOptions: { telemetry: { log() {}, meters: metrics } } },
);
afterAll(() => served[Symbol.asyncDispose]());
const { get, post } = served;

const good = { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [1, 2, 3, 4] }] };
const bad = { inputs: [{ name: "x", datatype: "INT32", shape: [3], data: [1, 2, 3] }] };

interface Statistics {
  readonly model_stats: readonly [
    {
      readonly name: string;
      readonly version: string;
      readonly last_inference: number;
      readonly inference_count: number;
      readonly execution_count: number;
      readonly inference_stats: Readonly<Record<string, { readonly count: number; readonly ns: number }>>;
      readonly batch_stats: readonly unknown[];
    },
  ];
}

async function statistics(path = "/v2/models/twice/stats"): Promise<Statistics> {
  return (await get(path)).json as Statistics;
}

describe("statistics", () => {
  test("count successes and failures, with the time they took, by phase", async () => {
    const [before] = (await statistics()).model_stats;
    const startedMs = Date.now();
    for (let i = 0; i < 5; i++) expect((await post("/v2/models/twice/infer", good)).status).toBe(200);
    expect((await post("/v2/models/twice/infer", bad)).status).toBe(400);
    const [after] = (await statistics()).model_stats;
    expect(after).toMatchObject({ name: "twice", version: "1" });
    expect(after.inference_count - before.inference_count).toBe(5);
    expect(after.execution_count).toBe(after.inference_count);
    expect(after.last_inference).toBeGreaterThanOrEqual(startedMs);
    const { success, fail, queue, compute_infer: infer } = after.inference_stats;
    expect((success?.count ?? 0) - (before.inference_stats["success"]?.count ?? 0)).toBe(5);
    expect((fail?.count ?? 0) - (before.inference_stats["fail"]?.count ?? 0)).toBe(1);
    expect(infer?.ns).toBeGreaterThan(0);
    expect(success?.ns).toBeGreaterThan((queue?.ns ?? 0) + (infer?.ns ?? 0));
    expect(after.batch_stats).toEqual([expect.objectContaining({ batch_size: 1, compute_infer: infer })]);
  });

  test("are the same for the model, its version, and all models", async () => {
    const one = await statistics();
    expect(await statistics("/v2/models/twice/versions/1/stats")).toEqual(one);
    expect(await statistics("/v2/models/stats")).toEqual(one);
  });
});

describe("metrics", () => {
  test("are Prometheus' text, with the model's name and version", async () => {
    await post("/v2/models/twice/infer", good);
    const { status, headers, bytes } = await get("/metrics");
    expect(status).toBe(200);
    expect(headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const text = new TextDecoder().decode(bytes);
    expect(text).toMatch(/^coremlx_inference_success_total\{model="twice",version="1"\} \d+$/m);
    expect(text).toMatch(/^coremlx_breaker_state\{model="twice",version="1"\} 0$/m);
    expect(text).toMatch(/^coremlx_process_resident_memory_bytes \d+$/m);
  });

  test("are not there where nobody counts", async () => {
    await using plain = await serveModels([]);
    expect(await plain.get("/metrics")).toMatchObject({ status: 404 });
  });
});

describe("/openapi.json", () => {
  test("has every route, with the errors that the guards give", async () => {
    const { json } = await get("/openapi.json");
    const { openapi, paths } = json as {
      readonly openapi: string;
      readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: object }>>>>;
    };
    expect(openapi).toBe("3.1.0");
    const listed = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(listed.toSorted()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).toSorted());
    for (const methods of Object.values(paths)) {
      for (const { responses } of Object.values(methods)) expect(Object.keys(responses)).toContain("421");
    }
  });

  test("refers to nothing that is not in it", async () => {
    const { json } = await get("/openapi.json");
    const { components } = json as { readonly components: { readonly schemas: object } };
    const names = [...JSON.stringify(json).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    );
    expect(new Set(names)).toEqual(new Set(Object.keys(components.schemas)));
  });

  test("gives each operation a name of its own", () => {
    const ids = routes.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
