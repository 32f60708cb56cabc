// Several predictions at once: their answers, their throughput against bare threads, and the memory of an instance.

import { type FeatureValues, isTensor } from "../../src/core/tensor.ts";
import type { SessionModel } from "../../src/runtime/session.ts";
import { pairedRatio } from "../../src/suites/stats.ts";
import { BareModel } from "./bare.ts";
import type { BareReply, BareRequest } from "./bare-worker.ts";
import type { Figure } from "./figure.ts";
import { randomInputs, referenceModel, weightBytes, writeChainModel } from "./models.ts";
import { openBenchSession } from "./session.ts";

const callers = 4;
const deadlineMs = 5_000;
const distinctInputs = 8;
const chainLinks = 20;

export async function measureInstances(folder: string, isQuick: boolean): Promise<Figure[]> {
  const path = writeChainModel(folder, chainLinks);
  const network = referenceModel("mobilenet_v2_fp16") ?? path;
  const figures: Figure[] = [];
  for (const instances of [1, 2, 3, 4]) figures.push(await compareAnswers(network, instances));
  const block = isQuick ? { ms: 300, pairs: 4 } : { ms: 1_000, pairs: 12 };
  for (const instances of [1, 2, 3, 4]) figures.push(await compareThroughput(path, instances, block));
  const resnet = referenceModel("resnet50_fp16");
  if (resnet !== undefined) figures.push(await measureMemory(resnet));
  return figures;
}

/** How many of the answers to callers at once differ from those to one caller, or did not come. */
async function compareAnswers(path: string, instances: number): Promise<Figure> {
  await using session = await openBenchSession();
  await using model = await session.load(path, { instances, threads: 1 });
  const inputs = Array.from({ length: distinctInputs }, (_, seed) => randomInputs(model, seed));
  const expected: FeatureValues[] = [];
  for (const values of inputs) expected.push(await model.predict(values));
  const each = 20;
  const wrong: string[] = [];
  const caller = async (first: number) => {
    for (let i = 0; i < each; i++) {
      const at = (first * 3 + i) % distinctInputs;
      try {
        const answer = await model.predict(inputs[at] ?? new Map(), { timeoutMs: deadlineMs });
        if (!areEqual(answer, expected[at])) wrong.push(`input ${at} differs`);
      } catch (error) {
        wrong.push(String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, i) => caller(i)));
  return {
    name: `answers of ${callers} callers on ${instances} instances that are late or not bit-equal`,
    value: wrong.length,
    unit: `of ${callers * each}`,
    limit: { atMost: 0 },
    note: wrong[0] ?? "",
  };
}

function areEqual(left: FeatureValues, right: FeatureValues | undefined): boolean {
  return [...left].every(([name, value]) => {
    const other = right?.get(name);
    if (other === undefined || !isTensor(value) || !isTensor(other)) return Bun.deepEquals(value, other);
    return Buffer.compare(value.bytes, other.bytes) === 0;
  });
}

/** Predictions a second over those of as many bare threads on one session, in alternating blocks. */
async function compareThroughput(
  path: string,
  instances: number,
  block: { readonly ms: number; readonly pairs: number },
): Promise<Figure> {
  await using session = await openBenchSession();
  await using model = await session.load(path, { instances, threads: 1 });
  using owner = await BareModel.open(path, 1);
  await using threads = await BareThreads.open(instances, owner.session.handle.session);
  const inputs = randomInputs(model, 0);
  const concurrency = Math.max(callers, instances);
  await predictFor(model, inputs, { concurrency, ms: block.ms });
  await threads.runFor(block.ms);
  const pairs: [number, number][] = [];
  for (let i = 0; i < block.pairs; i++) {
    const measure = [
      async () => predictFor(model, inputs, { concurrency, ms: block.ms }),
      async () => threads.runFor(block.ms),
    ] as const;
    if (i % 2 === 0) {
      const first = await measure[0]();
      pairs.push([first, await measure[1]()]);
    } else {
      const first = await measure[1]();
      pairs.push([await measure[0](), first]);
    }
  }
  const ratio = pairedRatio(pairs);
  const bare = pairs.reduce((sum, [, perSecond]) => sum + perSecond, 0) / pairs.length;
  return {
    name: `throughput of ${concurrency} callers on ${instances} instances over ${instances} bare threads`,
    value: ratio.estimate,
    unit: "times",
    limit: { atLeast: 0.95 },
    note: `95 %: ${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}; bare ${bare.toFixed(0)}/s`,
  };
}

/** Predictions a second. */
async function predictFor(
  model: SessionModel,
  inputs: FeatureValues,
  { concurrency, ms }: { readonly concurrency: number; readonly ms: number },
): Promise<number> {
  const started = performance.now();
  let count = 0;
  const caller = async () => {
    while (performance.now() - started < ms) {
      await model.predict(inputs);
      count++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  return count / ((performance.now() - started) / 1_000);
}

class BareThreads implements AsyncDisposable {
  readonly #workers: readonly Worker[];

  static async open(count: number, session: number): Promise<BareThreads> {
    const url = new URL("./bare-worker.ts", import.meta.url).href;
    const threads = new BareThreads(Array.from({ length: count }, () => new Worker(url)));
    await threads.#ask({ type: "open", session });
    return threads;
  }

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** Runs a second, all threads together. */
  async runFor(durationMs: number): Promise<number> {
    const replies = await this.#ask({ type: "run", durationMs });
    return replies.reduce((sum, { count, elapsedMs }) => sum + count / (elapsedMs / 1_000), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ask({ type: "close" });
    for (const worker of this.#workers) worker.terminate();
  }

  #ask(request: BareRequest): Promise<BareReply[]> {
    return Promise.all(
      this.#workers.map((worker) => {
        const reply = Promise.withResolvers<BareReply>();
        worker.onmessage = (event: MessageEvent<BareReply>) => reply.resolve(event.data);
        worker.onerror = (event) => reply.reject(new Error(event.message));
        worker.postMessage(request);
        return reply.promise;
      }),
    );
  }
}

/** Resident memory of each instance beyond the first, as a share of the model's weights. */
async function measureMemory(path: string): Promise<Figure> {
  const most = 4;
  await using session = await openBenchSession();
  await using model = await session.load(path, { instances: most, threads: 1 });
  const inputs = randomInputs(model, 0);
  const resident: number[] = [];
  for (let wanted = 1; wanted <= most; wanted++) {
    // Busy callers make the pool grow; each instance then has run several times.
    for (let round = 0; round < 100 && countOf(model) < wanted; round++)
      await predictAtOnce(model, inputs, wanted);
    for (let round = 0; round < 4; round++) await predictAtOnce(model, inputs, wanted);
    if (countOf(model) !== wanted) throw new Error(`${countOf(model)} instances, not ${wanted}`);
    Bun.gc(true);
    resident.push(process.memoryUsage.rss());
  }
  const perInstance = ((resident.at(-1) ?? 0) - (resident[0] ?? 0)) / (most - 1);
  const weights = weightBytes(path);
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  return {
    name: "memory per extra instance of ResNet-50, as a share of its weights",
    value: perInstance / weights,
    unit: "",
    limit: { atMost: 0.2 },
    note: `${megabytes(perInstance)} of ${megabytes(weights)}; resident with 1 to 4: ${resident.map(megabytes).join(", ")}`,
  };
}

function countOf(model: SessionModel): number {
  const { idle, busy } = model.stats.instances;
  return idle + busy;
}

async function predictAtOnce(model: SessionModel, inputs: FeatureValues, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => model.predict(inputs, { timeoutMs: 60_000 })));
}
