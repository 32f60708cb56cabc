// A thread that runs graphs for the tests of src/native: its own sessions, or ones it borrows.

import type { Tensor } from "../../../src/core/tensor.ts";
import { CoremlxError } from "../../../src/core/errors.ts";
import {
  OnnxRuntime,
  type OrtSession,
  type SessionHandle,
  type TerminateHandle,
} from "../../../src/native/onnxruntime.ts";
import { firstHandleOf } from "./terminate-handle.ts";

export type WorkerRequest =
  | { readonly kind: "load"; readonly library: string; readonly model: Uint8Array<ArrayBuffer> }
  | { readonly kind: "borrow"; readonly library: string; readonly session: SessionHandle }
  | { readonly kind: "run"; readonly inputs: ReadonlyMap<string, Tensor>; readonly times: number };

export type WorkerReply =
  | { readonly kind: "loaded"; readonly terminate: TerminateHandle }
  | { readonly kind: "running" }
  | { readonly kind: "done"; readonly outputs: ReadonlyMap<string, Tensor> }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

declare const self: Worker;
let session: OrtSession | undefined;

self.onmessage = (event: MessageEvent<WorkerRequest>) => {
  const request = event.data;
  if (request.kind === "load") {
    session = OnnxRuntime.open(request.library).createSession(request.model, { threads: 1 });
    reply({ kind: "loaded", terminate: firstHandleOf(session) });
  } else if (request.kind === "borrow") {
    session = OnnxRuntime.open(request.library).borrowSession(request.session);
    reply({ kind: "loaded", terminate: firstHandleOf(session) });
  } else {
    reply({ kind: "running" });
    reply(run(request.inputs, request.times));
  }
};

function run(inputs: ReadonlyMap<string, Tensor>, times: number): WorkerReply {
  try {
    let outputs: ReadonlyMap<string, Tensor> = new Map();
    for (let i = 0; i < times; i++) outputs = session?.run(inputs) ?? outputs;
    return { kind: "done", outputs };
  } catch (error) {
    if (!(error instanceof CoremlxError)) throw error;
    return { kind: "failed", code: error.code, message: error.message };
  }
}

function reply(message: WorkerReply): void {
  self.postMessage(message);
}
