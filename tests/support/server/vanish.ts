// Clients that leave in the middle: while they send their request, when it is sent, while it is worked on, while the answer comes.

import { connect } from "node:net";
import { randomSource } from "../../../src/codecs/generate.ts";

export interface Vanishing {
  readonly url: string;
  readonly seed: string;
  readonly count: number;
  /** At once. */
  readonly callers: number;
  /** Whole requests, of which each client has one. */
  readonly requests: readonly Uint8Array[];
  /** Longest stay after the whole request, in milliseconds. */
  readonly stayMs: number;
}

export interface VanishTally {
  readonly duringRequest: number;
  readonly duringRun: number;
  readonly duringAnswer: number;
}

/** Ends when all have left. */
export async function vanish(options: Vanishing): Promise<VanishTally> {
  const next = randomSource(options.seed);
  const random = () => next() / 2 ** 32;
  const tally = { duringRequest: 0, duringRun: 0, duringAnswer: 0 };
  let begun = 0;
  const call = async () => {
    while (begun < options.count) {
      const index = begun++;
      const request = options.requests[index % options.requests.length] ?? new Uint8Array();
      const isCut = random() < 0.4;
      const bytes = isCut ? request.subarray(0, Math.floor(random() * request.length)) : request;
      const stayMs = stays(random, options.stayMs);
      const hasAnswer = await visit({ url: options.url, bytes, stayMs: isCut ? 0 : stayMs, index });
      tally[isCut ? "duringRequest" : hasAnswer ? "duringAnswer" : "duringRun"]++;
    }
  };
  await Promise.all(Array.from({ length: options.callers }, call));
  return tally;
}

/** A third leaves at once, one some time later, and one with the first piece of the answer. */
function stays(random: () => number, longestMs: number): number {
  const kind = Math.floor(random() * 3);
  if (kind === 0) return 0;
  return kind === 1 ? random() * longestMs : Number.POSITIVE_INFINITY;
}

interface Visit {
  readonly url: string;
  readonly bytes: Uint8Array;
  readonly stayMs: number;
  readonly index: number;
}

/** Whether a piece of the answer came, at which a client leaves too. */
function visit({ url, bytes, stayMs, index }: Visit): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    // One address alone has ports for some 28,000 connections a minute.
    const localAddress = `127.0.0.${2 + (index % 250)}`;
    const socket = connect({ host: hostname, port: Number(port), localAddress });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const leave = (hasAnswer: boolean) => {
      clearTimeout(timer);
      socket.resetAndDestroy();
      resolve(hasAnswer);
    };
    socket.on("data", () => leave(true));
    socket.on("error", () => leave(false));
    socket.on("close", () => leave(false));
    socket.on("connect", () => {
      socket.write(bytes, () => {
        if (stayMs === 0) leave(false);
        else if (Number.isFinite(stayMs)) timer = setTimeout(() => leave(false), stayMs);
      });
    });
  });
}
