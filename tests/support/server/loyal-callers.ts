// Clients as behind a load balancer: one request after the other on a connection that is kept, elsewhere when the server says
// that it ends. Every request that a connection took is to have its answer.

import { connect, type NetConnectOpts, type Socket } from "node:net";
import { splitAnswers } from "./raw.ts";

export type Loyalty = LoyalOptions & ({ readonly url: string } | { readonly unixPath: string });

interface LoyalOptions {
  readonly callers: number;
  /** Whole requests, in turn. */
  readonly requests: readonly Uint8Array[];
  /** Also where an answer ends the connection: they call a proxy, which does so now and then. Default false. */
  readonly comesBack?: boolean;
}

export interface LoyalTally {
  readonly answers: Readonly<Record<number, number>>;
  /** Requests that were sent on a connection and have no answer. */
  readonly broken: number;
  /** Connections that nobody took. */
  readonly refused: number;
}

export interface LoyalCallers {
  readonly answered: number;
  /** When each of them was told to go, found nobody, or was stopped. */
  readonly gone: Promise<LoyalTally>;
  /** After the request each is at. */
  stop(): void;
}

export function startLoyalCallers(loyalty: Loyalty): LoyalCallers {
  const { callers, requests, comesBack = false } = loyalty;
  const answers: Record<number, number> = {};
  const counts = { answered: 0, broken: 0, refused: 0, sent: 0 };
  let isStopped = false;
  const call = async () => {
    while (!isStopped) {
      const socket = await open("url" in loyalty ? addressOf(loyalty.url) : { path: loyalty.unixPath });
      if (socket === undefined) {
        counts.refused++;
        return;
      }
      for (let isKept = true; isKept && !isStopped; ) {
        const answer = await exchange(socket, requests[counts.sent++ % requests.length] ?? new Uint8Array());
        if (answer === undefined) {
          counts.broken++;
          break;
        }
        counts.answered++;
        answers[answer.status] = (answers[answer.status] ?? 0) + 1;
        isKept = !/^connection: close$/im.test(answer.head);
        if (isKept || comesBack) continue;
        socket.destroy();
        return; // it ends: the balancer sends the next request elsewhere
      }
      socket.destroy();
    }
  };
  const gone = Promise.all(Array.from({ length: callers }, call)).then(() => ({
    answers,
    broken: counts.broken,
    refused: counts.refused,
  }));
  return {
    get answered() {
      return counts.answered;
    },
    gone,
    stop() {
      isStopped = true;
    },
  };
}

function addressOf(url: string): NetConnectOpts {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

function open(address: NetConnectOpts): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once("connect", () => resolve(socket));
    socket.on("error", () => resolve(undefined));
  });
}

/** Undefined where the connection ends first. */
function exchange(
  socket: Socket,
  request: Uint8Array,
): Promise<{ readonly status: number; readonly head: string } | undefined> {
  return new Promise((resolve) => {
    let received = "";
    const finish = (answer: { readonly status: number; readonly head: string } | undefined) => {
      socket.off("data", read).off("close", lost);
      resolve(answer);
    };
    const read = (chunk: Buffer) => {
      received += chunk.toString("latin1");
      const [answer] = splitAnswers(received, false);
      if (answer) finish(answer);
    };
    const lost = () => finish(undefined);
    socket.on("data", read).on("close", lost);
    if (socket.destroyed) lost();
    else socket.write(request);
  });
}
