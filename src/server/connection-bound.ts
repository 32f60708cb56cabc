// How many connections there may be at once. The runtime does not count them, but each is an open file of the process; beyond the
// bound those that wait for a next request are closed. It cannot close those that have yet to send a whole one: they end after some
// 12 s, whatever the idle timeout is (measured, Bun 1.4.5).

import { readdirSync } from "node:fs";
import { errnoOf } from "../core/errors.ts";

/** What it looks at, and does; tests bring their own. */
export interface ConnectionHost {
  /** Open files of the process. Undefined where there may be no more of them, not even to look. */
  readonly countFiles: () => number | undefined;
  /** Gives how many it closed. */
  readonly closeIdle: () => number;
}

/** Other files that are open when it is made do not count. */
export class ConnectionBound {
  readonly #host: ConnectionHost;
  readonly #most: number;
  readonly #otherFiles: number;

  constructor(maxConnections: number, host: ConnectionHost) {
    this.#host = host;
    this.#most = maxConnections;
    this.#otherFiles = host.countFiles() ?? 0;
  }

  /** To be called now and then. Gives how many connections it has closed. */
  check(): number {
    const files = this.#host.countFiles();
    if (files !== undefined && files - this.#otherFiles <= this.#most) return 0;
    return this.#host.closeIdle();
  }
}

export function countOpenFiles(): number | undefined {
  try {
    return readdirSync(process.platform === "linux" ? "/proc/self/fd" : "/dev/fd").length;
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EMFILE" || code === "ENFILE") return undefined;
    throw error;
  }
}
