// Requests per second of the digits model against the least that hono can do with the same bodies, in turn; and what HTTP adds
// to a prediction. Needs wrk.

import { join } from "node:path";
import { digitPicture } from "../../tests/support/digits.ts";
import { median } from "../../src/suites/stats.ts";
import type { Figure } from "./figure.ts";
import { digitsPackage, type Serving, startServing } from "./serving.ts";
import { openBenchSession } from "./session.ts";
import { connections, digitsScripts, hasWrk, measureLoad } from "./wrk.ts";

interface Target {
  readonly name: string;
  readonly url: string;
  readonly script: string;
  readonly perSecond: number[];
}

/** `seconds` of load for each, in turns of a sixth. */
export async function measureServing(folder: string, seconds: number): Promise<Figure[]> {
  if (!hasWrk()) return [];
  const { bytes: picture } = await digitPicture(7);
  const scripts = digitsScripts(folder, picture);
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
  const rounds = 6;
  const turnSeconds = Math.max(1, Math.round(seconds / rounds));
  for (const { url, script } of targets) measureLoad(url, script, 2);
  for (let round = 0; round < rounds; round++) {
    for (const { url, script, perSecond } of round % 2 === 0 ? targets : targets.toReversed())
      perSecond.push(measureLoad(url, script, turnSeconds).perSecond);
  }
  const rate = (name: string, { perSecond }: Target, atLeast: number): Figure => ({
    name,
    value: median(perSecond),
    unit: "requests/s",
    limit: { atLeast },
    note: `median of ${rounds} times ${turnSeconds} s, ${connections} connections; ${spread(perSecond)}`,
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
    share("digits in JSON, of a hono echo that parses and writes JSON", ours, parsingEcho, undefined),
    share("digits in JSON, of a hono echo of the bytes", ours, echo, { atLeast: 0.5 }),
    share("digits in binary, of a hono echo of the bytes", oursBinary, echoBinary, { atLeast: 0.5 }),
    await measureAdded(server, picture),
  ];
}

function spread(values: readonly number[]): string {
  return `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
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

/** One caller, one request after the other: over HTTP, and from the session that a program has of its own. */
async function measureAdded({ url }: Serving, picture: Uint8Array<ArrayBuffer>): Promise<Figure> {
  await using session = await openBenchSession();
  const model = await session.load(digitsPackage, { inline: "always", threads: 1 });
  const values = new Map([["image", { dtype: "uint8" as const, shape: [28, 28], bytes: picture }]]);
  const input = { name: "image", datatype: "UINT8", shape: [28, 28] };
  const head = JSON.stringify({ inputs: [{ ...input, parameters: { binary_data_size: picture.length } }] });
  const body = Buffer.concat([Buffer.from(head), picture]);
  const headers = { "inference-header-content-length": String(head.length) };
  const times = { http: new Array<number>(), session: new Array<number>() };
  const count = 5_000;
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
