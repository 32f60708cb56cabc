// Compile cache entries made by themselves: this program once more, in the background, for each model that was loaded cold.

import { messageOf } from "../core/errors.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import type { EngineOptions } from "../engines/select.ts";
import { programCommand } from "./worker/channel.ts";

/** The hidden first argument by which the program knows that it is to fill the cache; the second is a `FillRequest`. */
export const fillArgument = "__fill";

export interface FillRequest {
  readonly path: string;
  readonly functionName: string | undefined;
  readonly engine: EngineOptions;
}

export interface FillAnswer {
  /** Absent: the entry is there. */
  readonly reason?: string;
}

/**
 * The first predictions come before the filling: side by side on two cores, ResNet-50's first took 185 ms instead of 91.
 * By then a program that runs a model once is over, and starts the process with its last breath.
 */
const defaultDelayMs = 2_000;

export interface CacheFillerOptions {
  readonly telemetry?: Telemetry | undefined;
  readonly delayMs?: number | undefined;
}

interface Waiting {
  readonly request: FillRequest;
  readonly signal: AbortSignal | undefined;
  readonly timer: Timer;
}

/**
 * Starts such processes and hears what becomes of them. They outlive this program, on purpose: who runs a model once and
 * ends would never fill the cache, or would have to wait for it. Ctrl-C ends them too.
 */
export class CacheFiller implements Disposable {
  readonly #telemetry: Telemetry;
  readonly #delayMs: number;
  readonly #waiting = new Map<string, Waiting>();
  readonly #running = new Map<Bun.Subprocess, Promise<void>>();

  constructor({ telemetry = silent, delayMs = defaultDelayMs }: CacheFillerOptions = {}) {
    this.#telemetry = telemetry;
    this.#delayMs = delayMs;
  }

  /**
   * A while later, unless `signal` has aborted by then: whoever was interrupted leaves nothing running. Asking again for the
   * same before that is asking once.
   */
  request(request: FillRequest, signal?: AbortSignal): void {
    const name = JSON.stringify(request);
    if (this.#waiting.has(name)) return;
    const timer = setTimeout(() => this.#start(name), this.#delayMs);
    timer.unref();
    this.#waiting.set(name, { request, signal, timer });
  }

  /** Begins with what was asked for, and waits for its end. */
  async settle(): Promise<void> {
    this.#startAll();
    for (const child of this.#running.keys()) child.ref();
    await Promise.all(this.#running.values());
  }

  /** Begins with what was asked for, and does not wait. */
  [Symbol.dispose](): void {
    this.#startAll();
  }

  #startAll(): void {
    for (const name of this.#waiting.keys()) this.#start(name);
  }

  /** Never throws. */
  #start(name: string): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) return;
    this.#waiting.delete(name);
    clearTimeout(waiting.timer);
    if (waiting.signal?.aborted) return;
    const { path } = waiting.request;
    try {
      const child = Bun.spawn([...programCommand(), fillArgument, name], {
        cwd: "/", // whatever folder we are in may be unmounted meanwhile
        stdin: "ignore",
        stdout: "pipe",
        stderr: "ignore",
      });
      child.unref(); // this program may end before it
      this.#running.set(child, this.#report(child, path));
    } catch (error) {
      this.#telemetry.log("debug", "compile cache not filled", { path, reason: messageOf(error) });
    }
  }

  async #report(child: Bun.Subprocess<"ignore", "pipe", "ignore">, path: string): Promise<void> {
    const [text] = await Promise.all([child.stdout.text(), child.exited]);
    this.#running.delete(child);
    const reason = reasonOf(text, child);
    if (reason === undefined) this.#telemetry.log("debug", "compile cache filled", { path });
    else this.#telemetry.log("debug", "compile cache not filled", { path, reason });
  }
}

function reasonOf(text: string, { signalCode, exitCode }: Bun.Subprocess): string | undefined {
  if (exitCode !== 0) return `its process ended by ${signalCode ?? `exit code ${exitCode}`}`;
  const { reason } = JSON.parse(text) as FillAnswer; // written by this same program
  return reason;
}
