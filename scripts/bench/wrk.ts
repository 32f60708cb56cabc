// wrk, and the requests it sends: one of the digits model in JSON, one in binary.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const connections = 64;

/** Says so where there is none. */
export function hasWrk(): boolean {
  if (Bun.which("wrk") !== null) return true;
  console.warn("skipped: this needs wrk (apt-get install wrk)");
  return false;
}

export function digitsScripts(
  folder: string,
  picture: Uint8Array,
): { readonly json: string; readonly binary: string } {
  const input = { name: "image", datatype: "UINT8", shape: [28, 28] };
  const json = JSON.stringify({ inputs: [{ ...input, data: [...picture] }] });
  const head = JSON.stringify({
    parameters: { binary_data_output: true },
    inputs: [{ ...input, parameters: { binary_data_size: picture.length } }],
  });
  return {
    json: writeScript(join(folder, "json"), Buffer.from(json), { "Content-Type": "application/json" }),
    binary: writeScript(join(folder, "binary"), Buffer.concat([Buffer.from(head), picture]), {
      "Inference-Header-Content-Length": String(head.length),
    }),
  };
}

/** A script that posts the body again and again. Gives its path. */
export function writeScript(
  path: string,
  body: Uint8Array,
  headers: Readonly<Record<string, string>>,
): string {
  writeFileSync(`${path}.body`, body);
  const lines = [
    `local f = io.open(${JSON.stringify(`${path}.body`)}, "rb")`,
    `wrk.body = f:read("*all")`,
    "f:close()",
    `wrk.method = "POST"`,
    ...Object.entries(headers).map(
      ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
    ),
  ];
  writeFileSync(`${path}.lua`, lines.join("\n"));
  return `${path}.lua`;
}

export function wrkCommand(url: string, script: string, seconds: number): string[] {
  const size = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency"];
  return ["wrk", ...size, "-s", script, `${url}v2/models/digits/infer`];
}

export interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Throws where a request was not answered with 200. */
export function measureLoad(url: string, script: string, seconds: number): Load {
  const text = Bun.spawnSync(wrkCommand(url, script, seconds)).stdout.toString();
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`Not every request was answered: ${text}`);
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    p50Ms: milliseconds(/^\s+50%\s+(\S+)$/m.exec(text)?.[1]),
    p99Ms: milliseconds(/^\s+99%\s+(\S+)$/m.exec(text)?.[1]),
  };
}

function milliseconds(text = ""): number {
  const [, number, unit = ""] = /^([\d.]+)(us|ms|s)$/.exec(text) ?? [];
  const scale: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000 };
  return Number(number) * (scale[unit] ?? Number.NaN);
}
