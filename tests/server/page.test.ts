// The page and the reference as a browser gets them, and the code that the page shows, in a shell and in Python.

import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ModelForm } from "../../src/server/ui/page-data.ts";
import { keyGroups } from "../../src/server/security/keys.ts";
import { planRequest, type InputValue } from "../../src/server/ui/request-plan.ts";
import { curlSnippet, pythonSnippet } from "../../src/server/ui/snippets.ts";
import { digitsPackage } from "../support/digits.ts";
import { attack, writeHostileModel } from "../support/hostile-model.ts";
import { runCommand } from "../support/program.ts";
import { writePictureModel, writeSumModel } from "../support/program-models.ts";
import { serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";
import { program, testWith } from "../support/tools.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const served = await serveModels([
  { name: "Digits", path: digitsPackage },
  { name: "sum", path: writeSumModel(join(folder.path, "sum.mlpackage")) },
  { name: "picture", path: writePictureModel(join(folder.path, "picture.mlpackage")) },
  { name: attack, path: writeHostileModel(join(folder.path, "hostile.mlpackage")) },
]);
afterAll(() => served[Symbol.asyncDispose]());
const digit = (n: number) => resolve(import.meta.dir, `../../examples/digits/digit_${n}.png`);

async function pageAt(path: string) {
  const { status, headers, bytes } = await served.get(path);
  const html = new TextDecoder().decode(bytes);
  const policy = headers.get("content-security-policy") ?? "";
  return { status, headers, html, policy, byteLength: bytes.length };
}

function digestOf(html: string, tag: string): readonly string[] {
  return [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, "g"))].map(
    ([, text = ""]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`,
  );
}

describe.each(["/", "/docs"])("%s", (path) => {
  test("is one file of HTML below 200 KB", async () => {
    const { status, headers, byteLength } = await pageAt(path);
    expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(byteLength).toBeGreaterThan(5_000);
    expect(byteLength).toBeLessThan(200_000);
  });

  test("needs nothing from anywhere else", async () => {
    const { html } = await pageAt(path);
    const urls = html.match(/https?:\/\/[^\s"'`)]+/g) ?? [];
    expect(urls.filter((url) => url !== "http://www.w3.org/2000/svg")).toEqual([]); // the name of a namespace
    expect(html).not.toMatch(/<link[^>]+stylesheet|<script[^>]+src|@import|url\(|\bimport\(/);
  });

  test("runs the script and has the style that are in it, and no others", async () => {
    const { html, policy } = await pageAt(path);
    const [script, style] = [digestOf(html, "script"), digestOf(html, "style")];
    expect([script.length, style.length]).toEqual([1, 1]);
    expect(policy.split("; ")).toEqual([
      "default-src 'none'",
      `script-src ${script[0]}`,
      `style-src ${style[0]}`,
      "connect-src 'self'",
      "img-src blob: data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]);
    expect(html).not.toMatch(/ style="| on\w+="|javascript:/);
  });

  test("has the headers that keep a page to itself", async () => {
    const { headers } = await pageAt(path);
    const names = [
      "x-content-type-options",
      "x-frame-options",
      "referrer-policy",
      "cross-origin-opener-policy",
      "cross-origin-resource-policy",
      "cache-control",
    ];
    expect(names.map((name) => headers.get(name))).toEqual([
      "nosniff",
      "DENY",
      "no-referrer",
      "same-origin",
      "same-origin",
      "no-store",
    ]);
  });

  test("comes compressed where that is wanted, and not with another method", async () => {
    const { html } = await pageAt(path);
    const response = await fetch(served.url + path, { headers: { "accept-encoding": "gzip" } });
    expect([response.headers.get("content-encoding"), await response.text()]).toEqual(["gzip", html]);
    expect(await served.post(path, "")).toMatchObject({ status: 405 });
  });
});

describe("what the page asks for", () => {
  test("are the models with their states and numbers", async () => {
    const { json } = await served.get("/page/models");
    const row = (name: string) => ({
      name,
      version: "1",
      state: "READY",
      numbers: {
        device: "cpu",
        succeeded: expect.any(Number),
        failed: 0,
        meanMs: expect.any(Number),
        p99Ms: expect.any(Number),
        pending: 0,
        busy: 0,
        instances: expect.any(Number),
      },
    });
    expect(json).toEqual({
      version: expect.any(String),
      isReady: true,
      mayControl: false,
      models: ["Digits", "sum", "picture", attack].map(row),
    });
  });

  test("is the form of a model, with what its interface alone does not say", async () => {
    expect(await formOf("Digits")).toMatchObject({
      name: "Digits",
      isOnlyVersion: true,
      isStateful: false,
      labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
      inputs: [{ name: "image", kind: "image", shape: [28, 28], takesPicture: true, isOptional: false }],
      outputs: [
        { name: "classLabel", kind: "text" },
        { name: "classLabel_probs", kind: "dictionary", keys: "classLabel_probs_keys" },
        { name: "classLabel_probs_keys", kind: "list" },
      ],
    });
    expect(await served.get("/page/models/Digits/versions/9")).toMatchObject({ status: 404 });
  });

  test("is told when nothing is loaded yet", async () => {
    await using empty = await serveModels([{ name: "d", path: digitsPackage }], { control: "explicit" });
    expect((await empty.get("/page/models")).json).toEqual({
      version: expect.any(String),
      isReady: true,
      mayControl: true,
      models: [{ name: "d", version: "1", state: "UNAVAILABLE" }],
    });
  });
});

async function formOf(name: string): Promise<ModelForm> {
  return (await served.get(`/page/models/${encodeURIComponent(name)}/versions/1`)).json as ModelForm;
}

const target = () => ({ baseUrl: `${served.url}/`, hasKey: false });

const sixes = (text: string): InputValue => ({ kind: "json", text });
const picture = (fileName: string, fit: "" | "crop" = ""): InputValue => ({
  kind: "picture",
  fileName,
  mediaType: "image/png",
  bytes: new Uint8Array(readFileSync(digit(3))),
  fit,
});

const cases: readonly (readonly [string, string, Readonly<Record<string, InputValue>>, string])[] = [
  ["values", "sum", { left: sixes("[1,2,3,4,5,6]"), right: sixes("[[1,1,1],[1,1,1]]") }, "2, 3, 4, 5, 6, 7"],
  ["a picture file", "Digits", { image: picture("three.png") }, "3"],
  ["a picture in base64", "Digits", { image: picture("three.png", "crop") }, "3"],
  [
    "a file with a name that is a command",
    "Digits",
    { image: picture("'$(touch pwned)`touch pwned`;.png") },
    "3",
  ],
  ["a file called -", "Digits", { image: picture("-") }, "3"],
  ["a model that is an attack", attack, { x: sixes("[1, 2]") }, "1, 2"],
];

describe("the code that the page shows for", () => {
  const setUp = async (name: string, values: Readonly<Record<string, InputValue>>) => {
    const cwd = tempFolder();
    for (const value of Object.values(values)) {
      if (value.kind === "picture") copyFileSync(digit(3), join(cwd.path, value.fileName));
    }
    return { cwd, plan: planRequest(await formOf(name), new Map(Object.entries(values))) };
  };

  test.each(cases)("%s works in a shell", async (_case, name, values, expected) => {
    const { cwd, plan } = await setUp(name, values);
    using _ = cwd;
    const line = curlSnippet(plan, target());
    const { code, stdout } = await runCommand(["sh", "-c", line], { cwd: cwd.path });
    expect(code).toBe(0);
    const { outputs } = JSON.parse(stdout) as { readonly outputs: readonly { readonly data: unknown[] }[] };
    expect(outputs[0]?.data.join(", ")).toBe(expected);
    expect(existsSync(join(cwd.path, "pwned"))).toBe(false);
  });

  for (const [title, name, values, expected] of cases) {
    testWith([program("python3")], `${title} works in Python`, async () => {
      const { cwd, plan } = await setUp(name, values);
      using _ = cwd;
      const code = pythonSnippet(plan, target());
      const ran = await runCommand(["python3", "-c", code], { cwd: cwd.path });
      expect(ran).toMatchObject({ code: 0, stderr: "" });
      expect(ran.stdout.replaceAll(/\.0\b|'/g, "").split("\n")[0]).toEndWith(`[${expected}]`);
    });
  }

  test("a long request reads it from a file", async () => {
    const values = { left: sixes(`[${"1.0000000000,".repeat(5)}2]`), right: sixes("[0,0,0,0,0,0]") };
    const plan = planRequest(await formOf("sum"), new Map(Object.entries(values)));
    if (plan.kind !== "json") throw new Error("it is a picture");
    const padded = { ...plan, text: plan.text + " ".repeat(200_000) };
    using cwd = tempFolder();
    await Bun.write(join(cwd.path, "request.json"), padded.text);
    const line = curlSnippet(padded, target());
    expect(line.length).toBeLessThan(200);
    const { stdout } = await runCommand(["sh", "-c", line], { cwd: cwd.path });
    expect(JSON.parse(stdout)).toMatchObject({ outputs: [{ data: [1, 1, 1, 1, 1, 2] }] });
  });
});

describe("where the server has keys", () => {
  const text = "k".repeat(32);
  const options = { keys: [{ text, groups: keyGroups }] };

  test("the pages are open to all, and what they show is not", async () => {
    await using closed = await serveModels([{ name: "d", path: digitsPackage }], options);
    const statuses = async (init?: RequestInit) => {
      const paths = ["/", "/docs", "/page/models", "/page/models/d/versions/1"];
      return Promise.all(paths.map(async (path) => (await closed.get(path, init)).status));
    };
    expect(await statuses()).toEqual([200, 200, 401, 401]);
    expect(await statuses({ headers: { authorization: `Bearer ${text}` } })).toEqual([200, 200, 200, 200]);
  });

  test("the code takes it from the environment", async () => {
    await using closed = await serveModels(
      [{ name: "sum", path: join(folder.path, "sum.mlpackage") }],
      options,
    );
    const values = { left: sixes("[1,2,3,4,5,6]"), right: sixes("[1,1,1,1,1,1]") };
    const plan = planRequest(await formOf("sum"), new Map(Object.entries(values)));
    const keyed = { baseUrl: `${closed.url}/`, hasKey: true };
    const env = { COREMLX_API_KEY: text };
    const { stdout } = await runCommand(["sh", "-c", curlSnippet(plan, keyed)], { env });
    expect(JSON.parse(stdout)).toMatchObject({ outputs: [{ data: [2, 3, 4, 5, 6, 7] }] });
    expect(pythonSnippet(plan, keyed)).toContain(
      '"Authorization": "Bearer " + os.environ["COREMLX_API_KEY"]',
    );
    expect(curlSnippet(plan, keyed) + pythonSnippet(plan, keyed)).not.toContain(text);
  });
});
