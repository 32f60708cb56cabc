// What session.predict adds to a bare run of ONNX Runtime on the same session: both in turn, pair by pair, so that the
// machine's moods cancel.

import { Instance } from "../../src/runtime/pool/instance.ts";
import type { LoadModelOptions } from "../../src/runtime/session.ts";
import type { Replies, Request } from "../../src/runtime/worker/protocol.ts";
import { type Interval, median, bootstrapInterval, pairedRatio } from "../../src/suites/stats.ts";
import { BareModel } from "./bare.ts";
import type { Figure } from "./figure.ts";
import { randomInputs, referenceModel, writeChainModel, writeTinyModel } from "./models.ts";
import { openBenchSession } from "./session.ts";

/** Some 10 ms on the machine the limits were set for. */
const chainLinks = 24;
/** Until the code around a run is compiled to the end. */
const warmUpCalls = 3_000;

export async function measureOverhead(folder: string, isQuick: boolean): Promise<Figure[]> {
  const scale = isQuick ? 10 : 1;
  const tiny = writeTinyModel(folder);
  await warmUp(tiny, warmUpCalls / scale);
  const chainPath = writeChainModel(folder, chainLinks);
  const single = { pairs: 300 / scale, each: 1 };
  const chain = await measurePairs(chainPath, {}, single);
  const inlineChain = await measurePairs(chainPath, { inline: "always" }, single);
  const leasedChain = await measurePairs(chainPath, { inline: "always" }, { ...single, isLeased: true });
  const worker = await measurePairs(tiny, {}, { pairs: 400 / scale, each: 50 });
  const inline = await measurePairs(tiny, { inline: "auto" }, { pairs: 400 / scale, each: 50 });
  const figures: Figure[] = [
    ratioFigure("session.predict over a bare run of some 10 ms, through a worker", chain, { atMost: 1.01 }),
    ratioFigure("the same in the caller's thread", inlineChain, { atMost: 1.01 }),
    ratioFigure("and with its result in reused memory, as the bare run has it", leasedChain, {
      atMost: 1.01,
    }),
    addedFigure("added to a tiny run, through a worker", worker, { atMost: 60 }),
    addedFigure("added to a tiny run, inline", inline, { atMost: 10 }),
  ];
  const picture = referenceModel("mobilenet_v2_fp16");
  if (picture !== undefined) {
    const pairs = await measurePairs(picture, {}, { pairs: 100 / scale, each: 1 });
    figures.push(
      ratioFigure("the same with MobileNetV2, its picture converted and its classes named", pairs, undefined),
    );
  }
  return figures;
}

type Pair = readonly [session: number, bare: number];

interface Pairs {
  /** Milliseconds of one call each. */
  readonly pairs: readonly Pair[];
  /** What the session says of the time inside the engine. */
  readonly runMs: number;
}

interface PairOptions {
  readonly pairs: number;
  /** Calls of one measurement. */
  readonly each: number;
  /** Results in memory that is reused; else each in memory of its own, whose pages the system has yet to bring. */
  readonly isLeased?: boolean;
}

async function warmUp(path: string, calls: number): Promise<void> {
  await using session = await openBenchSession();
  const model = await session.load(path);
  const inputs = randomInputs(model, 0);
  for (let i = 0; i < calls; i++) await model.predict(inputs);
}

async function measurePairs(
  path: string,
  options: LoadModelOptions,
  { pairs, each, isLeased = false }: PairOptions,
): Promise<Pairs> {
  const seen = new SessionWatch();
  await using session = await openBenchSession({}, { openInstance: () => new WatchedInstance(seen) });
  await using model = await session.load(path, { threads: 1, ...options });
  using bare = BareModel.borrow(seen.ortSession);
  const inputs = randomInputs(model, 0);
  const runs: number[] = [];
  const predict = async () => {
    const started = performance.now();
    for (let i = 0; i < each; i++) {
      if (isLeased) {
        using lease = await model.predictLeased(inputs);
        runs.push(lease.runMs);
      } else runs.push((await model.predictTimed(inputs)).runMs);
    }
    return (performance.now() - started) / each;
  };
  const run = () => {
    const started = performance.now();
    for (let i = 0; i < each; i++) bare.run();
    return (performance.now() - started) / each;
  };
  for (let i = 0; i < 20; i++) {
    await predict();
    run();
  }
  const measured: Pair[] = [];
  for (let i = 0; i < pairs; i++) {
    // Every other pair in the opposite order, so that neither always follows the other's cache.
    if (i % 2 === 0) {
      const first = await predict();
      measured.push([first, run()]);
    } else {
      const first = run();
      measured.push([await predict(), first]);
    }
  }
  if (options.inline !== undefined && !model.isInline) throw new Error("The model was not run inline");
  return { pairs: measured, runMs: median(runs) };
}

/** The ONNX Runtime session that the model's first instance made. */
class SessionWatch {
  #session: number | undefined;

  note(session: number | undefined): void {
    this.#session ??= session;
  }
  get ortSession(): number {
    if (this.#session === undefined) throw new Error("The model is not one graph");
    return this.#session;
  }
}

class WatchedInstance extends Instance {
  readonly #watch: SessionWatch;

  constructor(watch: SessionWatch) {
    super();
    this.#watch = watch;
  }

  override async call<T extends Request["type"]>(
    request: Extract<Request, { readonly type: T }>,
  ): Promise<Replies[T]> {
    const reply: Replies[T] = await super.call<T>(request);
    if (reply !== undefined && "graph" in reply) this.#watch.note(reply.graph?.share?.session);
    return reply;
  }
}

function ratioFigure(name: string, { pairs, runMs }: Pairs, limit: Figure["limit"]): Figure {
  const ratio = pairedRatio(pairs);
  const bareMs = median(pairs.map(([, bare]) => bare));
  return {
    name,
    value: ratio.estimate,
    unit: "times",
    limit,
    note: `95 %: ${describe(ratio, 4)}; bare ${bareMs.toFixed(2)} ms, in the engine ${runMs.toFixed(2)} ms, ${pairs.length} pairs`,
  };
}

function addedFigure(name: string, { pairs, runMs }: Pairs, limit: Figure["limit"]): Figure {
  const added = bootstrapInterval(
    pairs.map(([session, bare]) => (session - bare) * 1_000),
    median,
  );
  const bareUs = median(pairs.map(([, bare]) => bare)) * 1_000;
  return {
    name,
    value: added.estimate,
    unit: "µs",
    limit,
    note: `95 %: ${describe(added, 1)}; bare ${bareUs.toFixed(1)} µs, in the engine ${(runMs * 1_000).toFixed(1)} µs, ${pairs.length} pairs of 50 calls`,
  };
}

function describe({ low, high }: Interval, digits: number): string {
  return `${low.toFixed(digits)} to ${high.toFixed(digits)}`;
}
