// Requests per second of the digits model against the least that hono can do with the same bodies, in turn; what HTTP adds
// to a prediction; and how soon health is answered while inference keeps every core busy. Needs wrk.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { availableParallelism } from "node:os";
import { digitPicture } from "../../tests/support/digits.ts";
import { median, quantile } from "../../src/suites/stats.ts";
import type { Figure } from "./figure.ts";
import { writeChainModel } from "./models.ts";
import { digitsPackage, type Serving, startServing } from "./serving.ts";
import { openBenchSession } from "./session.ts";

const connections = 64;

interface Target {
  readonly name: string;
  readonly url: string;
  readonly script: string;
  readonly perSecond: number[];
}

export async function measureServing(folder: string, isQuick: boolean): Promise<Figure[]> {
  if (Bun.which("wrk") === null) throw new Error("This needs wrk: apt-get install wrk");
  const { bytes: picture } = await digitPicture(7);
  const scripts = writeScripts(folder, picture);
  await using server = await startServing([`digits=${digitsPackage}`], folder);
  await using bytesEcho = await startEcho("bytes");
  await using jsonEcho = await startEcho("json");
  const target = (name: string, { url }: { readonly url: string }, script: string): Target => {
    return { name, url, script, perSecond: [] };
  };
  const ours = target("JSON", server, scripts.json);
  const oursBinary = target("binary", server, scripts.binary);
  const echo = target("echo of the bytes, JSON body", bytesEcho, scripts.json);
  const parsingEcho = target("echo through JSON", jsonEcho, scripts.json);
  const echoBinary = target("echo of the bytes, binary body", bytesEcho, scripts.binary);
  const targets = [ours, echo, parsingEcho, oursBinary, echoBinary];
  // Six of ten seconds each: a minute, in turn.
  const [rounds, seconds] = isQuick ? [2, 2] : [6, 10];
  for (const each of targets) load(each, 2);
  for (let round = 0; round < rounds; round++) {
    for (const each of round % 2 === 0 ? targets : targets.toReversed())
      each.perSecond.push(load(each, seconds));
  }
  const rate = (name: string, { perSecond }: Target, atLeast: number): Figure => ({
    name,
    value: median(perSecond),
    unit: "requests/s",
    limit: { atLeast },
    note: `median of ${rounds} times ${seconds} s, ${connections} connections; ${spread(perSecond)}`,
  });
  const share = (name: string, mine: Target, other: Target, limit: Figure["limit"]): Figure => ({
    name,
    value: median(mine.perSecond.map((value, i) => value / (other.perSecond[i] ?? 1))),
    unit: "times",
    limit,
    note: `the ${other.name}: ${median(other.perSecond).toFixed(0)}/s; ${spread(other.perSecond)}`,
  });
  return [
    rate("digits, JSON", ours, 5_000),
    rate("digits, binary", oursBinary, 8_000),
    share("digits in JSON, of a hono echo that parses", ours, parsingEcho, { atLeast: 0.5 }),
    share("digits in JSON, of a hono echo of the bytes", ours, echo, undefined),
    share("digits in binary, of a hono echo of the bytes", oursBinary, echoBinary, { atLeast: 0.5 }),
    await measureAdded(server, picture, isQuick),
    await measureHealth(folder, isQuick),
  ];
}

function spread(values: readonly number[]): string {
  return `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
}

function writeScripts(folder: string, picture: Uint8Array) {
  const input = { name: "image", datatype: "UINT8", shape: [28, 28] };
  const json = JSON.stringify({ inputs: [{ ...input, data: [...picture] }] });
  const head = JSON.stringify({
    parameters: { binary_data_output: true },
    inputs: [{ ...input, parameters: { binary_data_size: picture.length } }],
  });
  const write = (name: string, body: Uint8Array, header: string) => {
    const file = join(folder, `${name}.body`);
    writeFileSync(file, body);
    const script = join(folder, `${name}.lua`);
    const lines = [
      `local f = io.open(${JSON.stringify(file)}, "rb")`,
      `wrk.body = f:read("*all")`,
      "f:close()",
    ];
    writeFileSync(script, [...lines, `wrk.method = "POST"`, header].join("\n"));
    return script;
  };
  return {
    json: write("json", Buffer.from(json), `wrk.headers["Content-Type"] = "application/json"`),
    binary: write(
      "binary",
      Buffer.concat([Buffer.from(head), picture]),
      `wrk.headers["Inference-Header-Content-Length"] = "${head.length}"`,
    ),
  };
}

interface Echo extends AsyncDisposable {
  readonly url: string;
}

async function startEcho(kind: "bytes" | "json"): Promise<Echo> {
  const program = join(import.meta.dir, "echo-server.ts");
  const child = Bun.spawn([process.execPath, program, kind], { stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const { url } = JSON.parse(new TextDecoder().decode(value)) as { readonly url: string };
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

function wrkArgs(url: string, script: string, seconds: number): string[] {
  return ["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, `${url}v2/models/digits/infer`];
}

function load({ url, script }: Target, seconds: number): number {
  const { stdout } = Bun.spawnSync(wrkArgs(url, script, seconds));
  const text = stdout.toString();
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`Not every request was answered: ${text}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
}

/** One caller, one request after the other: over HTTP, and from the session that a program has of its own. */
async function measureAdded(
  { url }: Serving,
  picture: Uint8Array<ArrayBuffer>,
  isQuick: boolean,
): Promise<Figure> {
  await using session = await openBenchSession();
  const model = await session.load(digitsPackage, { inline: "always", threads: 1 });
  const values = new Map([["image", { dtype: "uint8" as const, shape: [28, 28], bytes: picture }]]);
  const input = { name: "image", datatype: "UINT8", shape: [28, 28] };
  const head = JSON.stringify({ inputs: [{ ...input, parameters: { binary_data_size: picture.length } }] });
  const body = Buffer.concat([Buffer.from(head), picture]);
  const headers = { "inference-header-content-length": String(head.length) };
  const times = { http: new Array<number>(), session: new Array<number>() };
  const count = isQuick ? 500 : 5_000;
  for (let i = 0; i < count + 500; i++) {
    const started = performance.now();
    await (await fetch(`${url}v2/models/digits/infer`, { method: "POST", body, headers })).arrayBuffer();
    const between = performance.now();
    await model.predict(values);
    if (i < 500) continue; // until the code is compiled
    times.http.push(between - started);
    times.session.push(performance.now() - between);
  }
  return {
    name: "HTTP over session.predict, one caller",
    value: (median(times.http) - median(times.session)) * 1_000,
    unit: "µs",
    limit: { atMost: 150 },
    note: `medians of ${count}: ${(median(times.http) * 1_000).toFixed(0)} and ${(median(times.session) * 1_000).toFixed(0)} µs; the caller's side is in it`,
  };
}

const healthEveryMs = 10;

/** Asked for at a steady pace, while 64 connections keep a model of some milliseconds at work on every core. */
async function measureHealth(folder: string, isQuick: boolean): Promise<Figure> {
  const chain = writeChainModel(folder, 4);
  await using server = await startServing([`digits=${chain}`], folder);
  const body = Buffer.concat([Buffer.from(chainHead), new Uint8Array(chainBytes)]);
  writeFileSync(join(folder, "chain.body"), body);
  const lines = [
    `local f = io.open(${JSON.stringify(join(folder, "chain.body"))}, "rb")`,
    `wrk.body = f:read("*all")`,
  ];
  const header = `wrk.headers["Inference-Header-Content-Length"] = "${chainHead.length}"`;
  const script = join(folder, "chain.lua");
  writeFileSync(script, [...lines, "f:close()", `wrk.method = "POST"`, header].join("\n"));
  const seconds = isQuick ? 4 : 60;
  const p99s: number[] = [];
  const busy: number[] = [];
  for (let run = 0; run < 5; run++) {
    const before = cpuSeconds(server.pid);
    const started = performance.now();
    const pressure = Bun.spawn(wrkArgs(server.url, script, seconds), { stdout: "pipe" });
    const times: number[] = [];
    while (pressure.exitCode === null) {
      const asked = performance.now();
      await (await fetch(`${server.url}v2/health/live`)).arrayBuffer();
      times.push(performance.now() - asked);
      await Bun.sleep(healthEveryMs);
    }
    await pressure.exited;
    busy.push((cpuSeconds(server.pid) - before) / ((performance.now() - started) / 1_000));
    p99s.push(
      quantile(
        times.toSorted((a, b) => a - b),
        0.99,
      ),
    );
  }
  return {
    name: "/v2/health/live, 99 % within, while inference keeps every core busy",
    value: median(p99s),
    unit: "ms",
    limit: { atMost: 5 },
    note: `median of 5 runs of ${seconds} s: ${p99s.map((p99) => p99.toFixed(1)).join(", ")}; the server kept ${median(busy).toFixed(1)} of ${availableParallelism()} cores busy`,
  };
}

const chainBytes = 4 * 256 * 256;
const chainHead = JSON.stringify({
  parameters: { binary_data_output: true },
  inputs: [{ name: "x", datatype: "FP32", shape: [256, 256], parameters: { binary_data_size: chainBytes } }],
});

/** Linux only. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
