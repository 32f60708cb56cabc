// Models that come and go while requests are under way.

import { describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import {
  operation,
  port,
  writeIntegerModel,
  writeProgram,
  writeSlowModel,
} from "../support/program-models.ts";
import { type Answer, serveModels, type TestServer } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

/** y = x * x in place of x + x. */
function writeSquareModel(path: string): string {
  const [x, y] = [port("x", "int32", [4]), port("y", "int32", [4])];
  return writeProgram(path, {
    inputs: [x],
    outputs: [y],
    operations: [operation("mul", { x: "x", y: "x" }, y)],
  });
}

const request = { inputs: [{ name: "x", datatype: "INT32", shape: [4], data: [3, 4, 5, 6] }] };
const doubled = [6, 8, 10, 12];
const squared = [9, 16, 25, 36];

function dataOf({ json }: Answer): unknown {
  return (json as { readonly outputs?: readonly { readonly data: unknown }[] }).outputs?.[0]?.data;
}

async function infer({ post }: TestServer, path = "model"): Promise<unknown> {
  return dataOf(await post(`/v2/models/${path}/infer`, request));
}

const index = "/v2/repository/index";
const load = (name: string) => `/v2/repository/models/${name}/load`;
const unload = (name: string) => `/v2/repository/models/${name}/unload`;

describe("explicit control", () => {
  test("loads nothing at the start but what is named, and says what there is", async () => {
    using folder = tempFolder();
    writeIntegerModel(join(folder.path, "model.mlpackage"));
    writeIntegerModel(join(folder.path, "other.mlpackage"));
    await using served = await serveModels([], {
      repositories: [folder.path],
      control: "explicit",
      loadAtStart: ["model"],
    });
    expect((await served.post(index)).json).toEqual([
      { name: "model", version: "1", state: "READY", reason: "" },
      { name: "other", version: "1", state: "UNAVAILABLE", reason: "" },
    ]);
    expect((await served.post(index, { ready: true })).json).toEqual([
      { name: "model", version: "1", state: "READY", reason: "" },
    ]);
    expect((await served.get("/v2/health/ready")).status).toBe(200);
  });

  test("loads and unloads by request", async () => {
    using folder = tempFolder();
    writeIntegerModel(join(folder.path, "model.mlpackage"));
    await using served = await serveModels([], { repositories: [folder.path], control: "explicit" });
    expect((await served.get("/v2/models/model/ready")).status).toBe(404);
    expect(await served.post(load("model"))).toMatchObject({ status: 200, json: {} });
    expect(await infer(served)).toEqual(doubled);
    expect(await served.post(unload("model"))).toMatchObject({ status: 200, json: {} });
    expect(await served.get("/v2/models/model/ready")).toMatchObject({
      status: 404,
      json: { error: "Request for unknown model: 'model' is not found" },
    });
    expect((await served.post(index)).json).toEqual([
      { name: "model", version: "1", state: "UNAVAILABLE", reason: "unloaded" },
    ]);
    expect((await served.get("/v2/health/ready")).status).toBe(200);
  });

  test("loading again serves the new files, and no request fails meanwhile", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "model.mlpackage");
    writeIntegerModel(path);
    await using served = await serveModels([], {
      repositories: [folder.path],
      control: "explicit",
      loadAtStart: ["*"],
    });
    const seen: unknown[] = [];
    let isOver = false;
    const callers = [1, 2, 3].map(async () => {
      while (!isOver) seen.push(await infer(served));
    });
    rmSync(path, { recursive: true });
    writeSquareModel(path);
    expect((await served.post(load("model"))).status).toBe(200);
    expect(await infer(served)).toEqual(squared);
    isOver = true;
    await Promise.all(callers);
    const kinds = new Set(seen.map((data) => JSON.stringify(data)));
    expect(
      [...kinds].filter((kind) => kind !== JSON.stringify(doubled) && kind !== JSON.stringify(squared)),
    ).toEqual([]);
  });

  test("a request that is under way has its answer from a model that is unloaded meanwhile", async () => {
    using folder = tempFolder();
    writeSlowModel(join(folder.path, "model.mlpackage"), 2);
    await using served = await serveModels([], {
      repositories: [folder.path],
      control: "explicit",
      loadAtStart: ["model"],
      timeoutMs: 60_000,
    });
    const shape = [2048, 2048];
    const input = { name: "x", datatype: "FP32", shape, parameters: { binary_data_size: 2 ** 24 } };
    const head = new TextEncoder().encode(
      JSON.stringify({ inputs: [input], parameters: { binary_data_output: true } }),
    );
    const body = new Uint8Array(head.length + 2 ** 24);
    body.set(head);
    const answer = served.post("/v2/models/model/infer", body, {
      headers: { "inference-header-content-length": String(head.length) },
    });
    const { model } = served.server.repository.find("model", undefined);
    while (model.stats.instances.busy === 0) await new Promise((resolve) => setImmediate(resolve));
    expect((await served.post(unload("model"))).status).toBe(200);
    expect((await served.get("/v2/models/model")).status).toBe(404);
    expect((await answer).status).toBe(200);
  });

  test("what cannot be loaded says so, without a word about files, and leaves what is served", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "model.mlpackage");
    writeIntegerModel(path);
    await using served = await serveModels([], {
      repositories: [folder.path],
      control: "explicit",
      loadAtStart: ["*"],
    });
    expect(await served.post(load("nope"))).toMatchObject({
      status: 404,
      json: { error: "failed to load 'nope', it is not in the model repository" },
    });
    writeFileSync(join(path, "Data/com.apple.CoreML/model.mlmodel"), "no model");
    const failed = await served.post(load("model"));
    expect(failed).toMatchObject({
      status: 400,
      json: { error: "failed to load 'model', it is not a valid model" },
    });
    expect(await infer(served)).toEqual(doubled);
    expect((await served.post(unload("nope"))).status).toBe(404);
    expect((await served.get("/v2/health/ready")).status).toBe(200);
  });

  test("takes no configuration and no files from a client", async () => {
    await using served = await serveModels([], { control: "explicit" });
    for (const parameters of [{ config: "{}" }, { "file:1/model.onnx": "AAAA" }]) {
      expect((await served.post(load("model"), { parameters })).status).toBe(501);
    }
    expect((await served.post(load("model"), "{")).status).toBe(400);
  });
});

test("without explicit control nobody loads and unloads", async () => {
  await using served = await serveModels([{ name: "digits", path: digitsPackage }]);
  for (const path of [index, load("digits"), unload("digits")]) {
    expect(await served.post(path)).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining("explicit model load / unload is not allowed") },
    });
  }
});

test("versions: the latest is served, or those that the model's options name", async () => {
  using folder = tempFolder();
  for (const [name, options] of [
    ["latest", ""],
    ["all", 'versions = "all"\nwarm-up = false'],
  ] as const) {
    const model = join(folder.path, name);
    mkdirSync(join(model, "2"), { recursive: true });
    writeIntegerModel(join(model, "1", "a.mlpackage"));
    writeSquareModel(join(model, "2", "b.mlpackage"));
    writeFileSync(join(model, "model.toml"), options);
  }
  await using served = await serveModels([], { repositories: [folder.path] });
  expect((await served.get("/v2/models/latest")).json).toMatchObject({ versions: ["2"] });
  expect(await infer(served, "latest")).toEqual(squared);
  expect((await served.get("/v2/models/all")).json).toMatchObject({ versions: ["1", "2"] });
  expect(await infer(served, "all/versions/1")).toEqual(doubled);
  expect(await infer(served, "all")).toEqual(squared);
  expect(await served.get("/v2/models/latest/versions/1")).toMatchObject({
    status: 404,
    json: { error: "Request for unknown model: 'latest' version 1 is not found" },
  });
});

describe("polling", () => {
  test("follows the folder: new, changed, damaged and removed models", async () => {
    using folder = tempFolder();
    await using served = await serveModels([], {
      repositories: [folder.path],
      control: "poll",
      pollIntervalMs: 3_600_000,
    });
    const { repository } = served.server;
    const path = join(folder.path, "model.mlpackage");
    writeIntegerModel(path);
    await repository.poll(); // seen, and perhaps still being written
    expect((await served.get("/v2/models/model")).status).toBe(404);
    await repository.poll();
    expect(await infer(served)).toEqual(doubled);

    writeSquareModel(path);
    await repository.poll();
    expect(await infer(served)).toEqual(doubled);
    await repository.poll();
    expect(await infer(served)).toEqual(squared);

    writeFileSync(join(path, "Data/com.apple.CoreML/model.mlmodel"), "no model");
    for (let i = 0; i < 3; i++) await repository.poll();
    expect(await infer(served)).toEqual(squared);
    expect((await served.get("/v2/health/ready")).status).toBe(200);

    rmSync(path, { recursive: true });
    await repository.poll();
    expect((await served.get("/v2/models/model")).status).toBe(404);
  });

  test("a model that cannot be loaded keeps the server from being ready, until it can", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "model.mlpackage");
    mkdirSync(path);
    await using served = await serveModels([], {
      repositories: [folder.path],
      control: "poll",
      pollIntervalMs: 3_600_000,
    });
    expect((await served.get("/v2/health/ready")).status).toBe(503);
    expect((await served.get("/v2/health/live")).status).toBe(200);
    const whole = writeIntegerModel(join(folder.path, ".elsewhere"));
    cpSync(whole, path, { recursive: true });
    for (let i = 0; i < 2; i++) await served.server.repository.poll();
    expect((await served.get("/v2/health/ready")).status).toBe(200);
  });
});

test("a server that cannot load what it was told to does not open", async () => {
  using folder = tempFolder();
  mkdirSync(join(folder.path, "model.mlpackage"));
  const opening = serveModels([], { repositories: [folder.path] });
  expect(
    await opening.then(
      () => "opened",
      (error: { code: string }) => error.code,
    ),
  ).toBe("BAD_MODEL");
});
