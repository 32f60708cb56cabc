// Beside a server that others run: MLServer from PyPI, with the same network in the same ONNX Runtime, asked the same things in
// turn by the same wrk.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { median } from "../../src/suites/stats.ts";
import { digitPicture } from "../../tests/support/digits.ts";
import { findVenv, must, suiteCache } from "../../tests/support/venv.ts";
import type { Figure } from "./figure.ts";
import { digitsPackage, startServing } from "./serving.ts";
import { digitsScripts, hasWrk, measureLoad } from "./wrk.ts";

const here = join(import.meta.dir, "mlserver");
const root = resolve(import.meta.dir, "../..");

interface Peer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  readonly startMs: number;
}

interface Measured {
  readonly name: string;
  readonly peer: Peer;
  readonly perSecond: number[];
  readonly p50Ms: number[];
  readonly p99Ms: number[];
}

export async function measurePeerServer(folder: string, isQuick: boolean): Promise<Figure[]> {
  if (!hasWrk()) return [];
  const python = await findVenv(join(suiteCache, "mlserver"), join(here, "requirements.txt"));
  if (python === undefined) return [];
  const graph = join(folder, "digits.onnx");
  await must([process.execPath, join(root, "src/main.ts"), "export", digitsPackage, "-o", graph]);
  const { bytes: picture } = await digitPicture(7);
  const { json } = digitsScripts(folder, picture);
  await using ours = await startServing([`digits=${digitsPackage}`], folder);
  await using alone = await startMlserver({ python, graph, folder: join(folder, "alone"), workers: 0 });
  await using pooled = await startMlserver({ python, graph, folder: join(folder, "pooled"), workers: 1 });
  const measure = (name: string, peer: Peer): Measured => ({
    name,
    peer,
    perSecond: [],
    p50Ms: [],
    p99Ms: [],
  });
  const all = [
    measure("coremlx", ours),
    measure("MLServer in one process", alone),
    measure("MLServer with its one worker", pooled),
  ];
  for (const { name, peer } of all) {
    const best = await askForSeven(peer.url, picture);
    if (best !== 7) throw new Error(`${name} takes the picture of a 7 for a ${best}`);
  }
  const [rounds, seconds] = isQuick ? [2, 2] : [5, 5];
  for (const { peer } of all) measureLoad(peer.url, json, 2);
  for (let round = 0; round < rounds; round++) {
    for (const each of round % 2 === 0 ? all : all.toReversed()) {
      const { perSecond, p50Ms, p99Ms } = measureLoad(each.peer.url, json, seconds);
      each.perSecond.push(perSecond);
      each.p50Ms.push(p50Ms);
      each.p99Ms.push(p99Ms);
    }
  }
  return all.flatMap(({ name, peer, perSecond, p50Ms, p99Ms }) => {
    const figure = (what: string, value: number, unit: string, note = ""): Figure => {
      return { name: `${name}: ${what}`, value, unit, limit: undefined, note };
    };
    const range = `${Math.min(...perSecond).toFixed(0)} to ${Math.max(...perSecond).toFixed(0)}`;
    return [
      figure(
        "requests",
        median(perSecond),
        "per s",
        `${rounds} times ${seconds} s, 64 connections: ${range}`,
      ),
      figure("half of the answers within", median(p50Ms), "ms"),
      figure("99 % within", median(p99Ms), "ms"),
      figure("ready after", peer.startMs, "ms"),
      figure("resident memory after the load", residentMb(peer.pid), "MB", "with its child processes"),
    ];
  });
}

interface MlserverOptions {
  readonly python: string;
  readonly graph: string;
  readonly folder: string;
  /** Processes beside the one that listens; its own default is 1. */
  readonly workers: number;
}

async function startMlserver({ python, graph, folder, workers }: MlserverOptions): Promise<Peer> {
  mkdirSync(folder);
  const [http_port, grpc_port, metrics_port] = [await freePort(), await freePort(), await freePort()];
  const ports = { host: "127.0.0.1", http_port, grpc_port, metrics_port };
  writeFileSync(join(folder, "settings.json"), JSON.stringify({ ...ports, parallel_workers: workers }));
  const model = { name: "digits", implementation: "onnx_digits.OnnxDigits" };
  writeFileSync(join(folder, "model-settings.json"), JSON.stringify(model));
  writeFileSync(join(folder, "onnx_digits.py"), readFileSync(join(here, "onnx_digits.py")));
  const started = performance.now();
  const child = Bun.spawn([join(dirname(python), "mlserver"), "start", folder], {
    env: { ...process.env, DIGITS_ONNX: graph, PYTHONPATH: folder },
    stdout: "ignore",
    stderr: "ignore",
  });
  const url = `http://127.0.0.1:${http_port}/`;
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error(`MLServer ended with ${child.exitCode}`);
    await Bun.sleep(20);
  }
  return {
    url,
    pid: child.pid,
    startMs: performance.now() - started,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

function isReady(url: string): Promise<boolean> {
  return fetch(`${url}v2/models/digits/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** The place of the greatest of ten probabilities. */
async function askForSeven(url: string, picture: Uint8Array): Promise<number> {
  const input = { name: "image", datatype: "UINT8", shape: [28, 28], data: [...picture] };
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ inputs: [input] });
  const answer = await fetch(`${url}v2/models/digits/infer`, { method: "POST", body, headers });
  const { outputs } = (await answer.json()) as {
    readonly outputs: readonly { readonly data: readonly unknown[] }[];
  };
  const probabilities = outputs
    .map(({ data }) => data)
    .find((data) => typeof data[0] === "number" && data.length === 10);
  const numbers = (probabilities ?? []).map(Number);
  return numbers.indexOf(Math.max(...numbers));
}

/** Of the process and all that it started. Linux only. */
function residentMb(pid: number): number {
  const own =
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024;
  const threads = readdirSync(`/proc/${pid}/task`);
  const children = threads.flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
  return children.reduce((sum, child) => sum + residentMb(child), own);
}
