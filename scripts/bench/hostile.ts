// A server under 100,000 requests that nobody should send: whether it lives, what it answers, and what they leave in its memory.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeIntegerModel } from "../../tests/support/program-models.ts";
import { attack } from "../../tests/support/server/hostile-run.ts";
import type { Figure } from "./figure.ts";
import { digitsPackage, startServing } from "./serving.ts";

const root = resolve(import.meta.dir, "../..");
const callers = 16;
/** In which the heap finds its size, and each sort of request comes some hundred times. */
const warmUp = 20_000;
/** The heap goes up and down by some 25 MB (measured) as it is collected or not; what leaks raises the least of it too. */
const windows = 10;

export async function measureHostile(folder: string, isQuick: boolean): Promise<Figure[]> {
  const model = writeIntegerModel(join(folder, "twice.mlpackage"));
  const control = ["--model-control", "explicit", "--load-model", "*", "--limit", "maxBodyBytes=2MB"];
  await using server = await startServing([model, `digits=${digitsPackage}`, ...control], folder);
  const { url, pid } = server;
  const secrets = [folder, root];
  const count = isQuick ? 10_000 : 100_000;
  const warm = await attack({ url, seed: "warm-up", count: isQuick ? 2_000 : warmUp, callers, secrets });
  const memory = [await settledMb(pid)];
  const startedMs = performance.now();
  const answers: Record<string, number> = {};
  const odd = [...warm.odd];
  for (let i = 0; i < windows; i++) {
    const tally = await attack({ url, seed: `hostile ${i}`, count: count / windows, callers, secrets });
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
      value: Math.min(...memory.slice(-windows / 2)) - Math.min(...memory.slice(0, 2)),
      unit: "MB",
      limit: { atMost: 20 },
      note: `the least of the second half against the first tenth; MB after each tenth: ${memory.map((mb) => mb.toFixed(0)).join(", ")}`,
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

/** The least of a second of doing nothing, in which the runtime gives back what it can. */
async function settledMb(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    await Bun.sleep(100);
    least = Math.min(least, residentMb(pid));
  }
  return least;
}

/** Linux only. */
function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
}
