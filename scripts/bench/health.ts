// How soon /v2/health/live is answered while inference keeps every core busy. Needs wrk.

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { median, quantile } from "../../src/suites/stats.ts";
import type { Figure } from "./figure.ts";
import { writeChainModel } from "./models.ts";
import { startServing } from "./serving.ts";
import { hasWrk, writeScript, wrkCommand } from "./wrk.ts";

const healthEveryMs = 10;

/** Asked for at a steady pace, while 64 connections keep a model of some milliseconds at work on every core. */
export async function measureHealth(folder: string, seconds: number): Promise<Figure[]> {
  if (!hasWrk()) return [];
  const chain = writeChainModel(folder, 4);
  await using server = await startServing([`digits=${chain}`], folder);
  const body = Buffer.concat([Buffer.from(chainHead), new Uint8Array(chainBytes)]);
  const length = { "Inference-Header-Content-Length": String(chainHead.length) };
  const script = writeScript(join(folder, "chain"), body, length);
  const p99s: number[] = [];
  const busy: number[] = [];
  for (let run = 0; run < 5; run++) {
    const before = cpuSeconds(server.pid);
    const started = performance.now();
    const pressure = Bun.spawn(wrkCommand(server.url, script, seconds), { stdout: "pipe" });
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
  const figure: Figure = {
    name: "/v2/health/live, 99 % within, while inference keeps every core busy",
    value: median(p99s),
    unit: "ms",
    limit: { atMost: 5 },
    note: `median of 5 runs of ${seconds} s: ${p99s.map((p99) => p99.toFixed(1)).join(", ")}; the server kept ${median(busy).toFixed(1)} of ${availableParallelism()} cores busy`,
  };
  return [figure];
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
