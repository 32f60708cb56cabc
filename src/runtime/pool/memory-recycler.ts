// Recycles the instances whose memory grows with what they predict.

import { silent, type Telemetry } from "../../core/telemetry.ts";
import { readAnonymousBytes } from "./anonymous-bytes.ts";
import { type MemoryGrowth, MemoryWatch } from "./memory-watch.ts";
import type { ModelPool } from "./model-pool.ts";
import type { PoolMember } from "./pool-member.ts";

/**
 * Growth that is put up with. A child that serves the example of ten digits stays within 12 MB of where it began over
 * 200,000 predictions, this process with a worker within 30 MB (measured); a large model takes minutes to load on a Mac.
 */
export const defaultGrowthBytes = 256 * 1024 ** 2;
const defaultSampleMs = 2_000;

export interface MemoryRecyclerOptions<I extends PoolMember> {
  readonly model: string;
  readonly pool: Pick<ModelPool<I>, "instances" | "isReplacing" | "recycle" | "recycleAll">;
  /** Each instance is a process. Else they are threads, and share the memory of this process with everything else. */
  readonly areProcesses: boolean;
  readonly limitBytes?: number | undefined;
  /** Time from sample to sample. Default 2 s. */
  readonly sampleMs?: number | undefined;
  /** Of the model, wherever they ran. */
  readonly predictions: () => number;
  /** Nothing else of the session uses this process's memory by running models. */
  readonly isAlone: () => boolean;
  /** Of this process's memory: what the session keeps for reuse, which recycling would not give back. */
  readonly pooledBytes: () => number;
  readonly telemetry?: Telemetry | undefined;
  readonly readBytes?: ((pid: number) => number | undefined) | undefined;
  /** Calls `tick` again and again until it is disposed. Default: a timer that keeps no process alive. */
  readonly every?: ((ms: number, tick: () => void) => Disposable) | undefined;
}

/**
 * The memory of a process is its own. That of threads is everybody's: growth is put down to a model only while it is
 * the only one of its session, and when recycling it has not brought back a quarter of the growth, then it was not the
 * model's, and memory recycles it no more.
 */
export class MemoryRecycler<I extends PoolMember> implements Disposable {
  readonly #options: MemoryRecyclerOptions<I>;
  readonly #limitBytes: number;
  readonly #timer: Disposable;
  readonly #byInstance = new WeakMap<I, MemoryWatch>();
  #shared: MemoryWatch;
  /** A recycling of threads whose effect is not known yet. */
  #trial: { readonly bytes: number; readonly growthBytes: number } | undefined;
  #isOff = false;

  constructor(options: MemoryRecyclerOptions<I>) {
    this.#options = options;
    this.#limitBytes = options.limitBytes ?? defaultGrowthBytes;
    this.#shared = new MemoryWatch(this.#limitBytes);
    this.#timer = (options.every ?? everyQuietly)(options.sampleMs ?? defaultSampleMs, () => this.#sample());
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #sample(): void {
    if (this.#options.areProcesses) this.#sampleProcesses();
    else if (!this.#isOff) this.#sampleThreads();
  }

  #sampleProcesses(): void {
    const { pool } = this.#options;
    for (const instance of pool.instances) {
      const bytes = this.#read(instance.pid);
      if (bytes === undefined) continue;
      const watch = this.#byInstance.get(instance) ?? new MemoryWatch(this.#limitBytes);
      const growth = watch.add(instance.served, bytes);
      // Begun anew when it is found: where no replacement can be made, it is asked for again after as much growth.
      if (growth) this.#byInstance.delete(instance);
      else this.#byInstance.set(instance, watch);
      if (growth) this.#recycle(instance.pid, growth, () => pool.recycle(instance, "memory"));
    }
  }

  #sampleThreads(): void {
    const { pool, predictions, isAlone, pooledBytes } = this.#options;
    if (pool.isReplacing) return;
    if (!isAlone()) {
      this.#shared = new MemoryWatch(this.#limitBytes);
      this.#trial = undefined;
      return;
    }
    const resident = this.#read(process.pid);
    if (resident === undefined) return;
    const bytes = resident - pooledBytes();
    if (this.#trial) this.#judge(this.#trial, bytes);
    if (this.#isOff) return;
    const growth = this.#shared.add(predictions(), bytes);
    if (!growth) return;
    this.#shared = new MemoryWatch(this.#limitBytes);
    this.#trial = { bytes, growthBytes: growth.growthBytes };
    this.#recycle(process.pid, growth, () => pool.recycleAll("memory"));
  }

  #judge(trial: { readonly bytes: number; readonly growthBytes: number }, bytes: number): void {
    this.#trial = undefined;
    if (bytes <= trial.bytes - trial.growthBytes / 4) return;
    this.#isOff = true;
    const { model, telemetry = silent } = this.#options;
    const growthBytes = Math.round(trial.growthBytes);
    telemetry.log("warn", "recycling did not help", { model, residentBytes: bytes, growthBytes });
  }

  #recycle(pid: number | undefined, growth: MemoryGrowth, recycle: () => void): void {
    const { model, telemetry = silent } = this.#options;
    telemetry.log("warn", "memory grows", {
      model,
      pid,
      growthBytes: Math.round(growth.growthBytes),
      predictions: growth.predictions,
      bytesPerPrediction: Math.round(growth.bytesPerPrediction),
    });
    recycle();
  }

  #read(pid: number | undefined): number | undefined {
    return pid === undefined ? undefined : (this.#options.readBytes ?? readAnonymousBytes)(pid);
  }
}

function everyQuietly(ms: number, tick: () => void): Disposable {
  const timer = setInterval(tick, ms);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
