// A thread that runs a bare session over and over.

import { BareModel } from "./bare.ts";

declare const self: Worker;

export type BareRequest =
  | { readonly type: "open"; readonly session: number }
  | { readonly type: "run"; readonly durationMs: number }
  | { readonly type: "close" };
/** Runs, and the time they took. */
export interface BareReply {
  readonly count: number;
  readonly elapsedMs: number;
}

let model: BareModel | undefined;

self.onmessage = (event: MessageEvent<BareRequest>) => {
  const request = event.data;
  const started = performance.now();
  let count = 0;
  if (request.type === "open") model = BareModel.borrow(request.session);
  if (request.type === "close") model?.[Symbol.dispose]();
  if (request.type === "run") {
    do {
      model?.run();
      count++;
    } while (performance.now() - started < request.durationMs);
  }
  self.postMessage({ count, elapsedMs: performance.now() - started } satisfies BareReply);
};
