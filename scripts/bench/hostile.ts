// A server under 100,000 requests that nobody should send: whether it lives, what it answers, and what they leave in its memory.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeIntegerModel } from "../../tests/support/program-models.ts";
import { attack } from "../../tests/support/server/hostile-run.ts";
import type { Figure } from "./figure.ts";
import { digitsPackage, startServing } from "./serving.ts";

const root = resolve(import.meta.dir, "../..");
const collector = join(import.meta.dir, "collect-on-signal.ts");
const callers = 16;
/** In which the heap finds its size, and each sort of request comes some hundred times. */
const warmUp = 20_000;
/** Each a third of the requests. */
const seeds = ["hostile 1", "hostile 2", "hostile 3"];

export async function measureHostile(folder: string, isQuick: boolean): Promise<Figure[]> {
  const model = writeIntegerModel(join(folder, "twice.mlpackage"));
  const control = ["--model-control", "explicit", "--load-model", "*", "--limit", "maxBodyBytes=2MB"];
  await using server = await startServing([model, `digits=${digitsPackage}`, ...control], folder, collector);
  const { url, pid } = server;
  const secrets = [folder, root];
  const count = isQuick ? 10_000 : 100_000;
  const warm = await attack({ url, seed: "warm-up", count: isQuick ? 2_000 : warmUp, callers, secrets });
  const memory = [await settledMb(pid)];
  const startedMs = performance.now();
  const answers: Record<string, number> = {};
  const odd = [...warm.odd];
  for (const seed of seeds) {
    const tally = await attack({ url, seed, count: Math.ceil(count / seeds.length), callers, secrets });
    for (const [status, times] of Object.entries(tally.answers))
      answers[status] = (answers[status] ?? 0) + times;
    odd.push(...tally.odd);
    memory.push(await settledMb(pid));
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const live = await fetch(`${url}v2/health/ready`);
  const statuses = Object.entries(answers).map(([status, times]) => `${status}: ${times}`);
  return [
    {
      name: "hostile requests with an answer that is not documented, or none",
      value: odd.length,
      unit: `of ${count + warm.requests}`,
      limit: { atMost: 0 },
      note: odd[0] ?? `${statuses.join(", ")} in ${seconds.toFixed(0)} s`,
    },
    {
      name: "resident memory that they left in the server",
      value: (memory.at(-1) ?? Number.NaN) - (memory[0] ?? Number.NaN),
      unit: "MB",
      limit: { atMost: 20 },
      note: `after the last of ${seeds.length} seeds against after the warm-up, each when garbage was collected and two idle seconds were over: ${memory.map((mb) => mb.toFixed(1)).join(", ")} MB`,
    },
    {
      name: "the server is ready afterwards",
      value: Number(live.ok),
      unit: "",
      limit: { atLeast: 1 },
      note: `status ${live.status}`,
    },
  ];
}

/** Without garbage, and when the allocator has had time to give back what it keeps. */
async function settledMb(pid: number): Promise<number> {
  for (let i = 0; i < 2; i++) {
    process.kill(pid, "SIGUSR2");
    await Bun.sleep(1_000);
  }
  return residentMb(pid);
}

/** Linux only. */
function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
}
