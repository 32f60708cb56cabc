// A loaded graph in ONNX Runtime: what goes in, what comes out, and runs that block the thread they are called on.

import { CFunction, type Pointer } from "bun:ffi";
import { CoremlxError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { trimHeap } from "./libc.ts";
import { readCString } from "./memory.ts";
import type { OrtApi } from "./ort-api.ts";
import { type Call, CallPlan, type Port } from "./ort-plan.ts";
import { checkTensor, quote, readTensorInfo, type TensorInfo } from "./ort-tensor.ts";

export interface RunOptions {
  /** Default: every output, in the graph's order. */
  readonly outputNames?: readonly string[] | undefined;
  /**
   * Tensors to write results into, each of exactly the result's type and shape; without a copy from 64 KiB on. They
   * share no memory with an input or with each other.
   */
  readonly outputs?: ReadonlyMap<string, Tensor> | undefined;
  /** Which of the session's terminate handles ends this run. Default: the first. */
  readonly terminate?: number | undefined;
}

/** Stops those of a session's runs that go by it, from another thread of the process: plain numbers, good until the session is disposed. */
export interface TerminateHandle {
  readonly runOptions: number;
  readonly setTerminate: number;
  readonly unsetTerminate: number;
}

/** A session that another thread of this process may borrow: a plain number, good until its owner disposes it. */
export interface SessionHandle {
  readonly session: number;
  /** Of the ONNX Runtime that made it: any other has other code for the same number. */
  readonly libraryPath: string;
}

/** What a session gets from the runtime that made it; borrowed throughout. */
export interface SessionParts {
  readonly api: OrtApi;
  readonly memoryInfo: Pointer;
  readonly allocator: Pointer;
  readonly session: Pointer;
  /** A borrowed session is left alone when this side is disposed. */
  readonly isOwned: boolean;
  readonly onDispose: (session: OrtSession) => void;
}

/** Shapes that a session remembers how to be called with; the least recently used goes first. */
const mostPlans = 8;

/** Runs of one session that can be told apart by who ends them: one under way, one that lies ready. */
const terminateHandleCount = 2;

/** Belongs to the thread that made it. Invariant: until disposed, every pointer here is alive and ours to release. */
export class OrtSession implements Disposable {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly #parts: SessionParts;
  readonly #inputPorts: readonly Port[];
  readonly #outputPorts: readonly Port[];
  readonly #runOptions: Pointer[] = [];
  #plans: CallPlan[] = []; // most recently used first
  #isDisposed = false;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { api, session } = parts;
    const { functions } = api;
    const named: Pointer[] = [];
    try {
      const inputCount = api.taken(functions.SessionGetInputCount(session, api.out), "count the inputs");
      const outputCount = api.taken(functions.SessionGetOutputCount(session, api.out), "count the outputs");
      this.#inputPorts = Array.from({ length: inputCount }, (_, i) => readPort(parts, "Input", i, named));
      this.#outputPorts = Array.from({ length: outputCount }, (_, i) => readPort(parts, "Output", i, named));
      for (let i = 0; i < terminateHandleCount; i++)
        this.#runOptions.push(api.taken(functions.CreateRunOptions(api.out), "prepare runs") as Pointer);
    } catch (error) {
      for (const name of named) functions.AllocatorFree(parts.allocator, name);
      for (const options of this.#runOptions) functions.ReleaseRunOptions(options);
      if (parts.isOwned) functions.ReleaseSession(session);
      throw error;
    }
    this.inputs = this.#inputPorts.map(infoOf);
    this.outputs = this.#outputPorts.map(infoOf);
  }

  /** For `borrowSession` on another thread's runtime. */
  get handle(): SessionHandle {
    this.#assertLive();
    const { session, api } = this.#parts;
    return { session, libraryPath: api.libraryPath };
  }

  /**
   * For `setTerminate` on another thread: each stops the runs that were given its number. They stop runs of this object, not
   * those of a borrower.
   */
  get terminateHandles(): readonly TerminateHandle[] {
    this.#assertLive();
    const { api } = this.#parts;
    return this.#runOptions.map((runOptions) => ({
      runOptions,
      setTerminate: api.addressOf("RunOptionsSetTerminate"),
      unsetTerminate: api.addressOf("RunOptionsUnsetTerminate"),
    }));
  }

  /**
   * Blocks until the results are there, by output name. Throws BAD_INPUT for inputs that do not fit the graph, before
   * native code sees them; INTERRUPTED after `setTerminate`; NATIVE with the library's reason otherwise. The session
   * can be used on after any of them.
   */
  run(inputs: ReadonlyMap<string, Tensor>, options: RunOptions = {}): Map<string, Tensor> {
    this.#assertLive();
    const call = this.#checkCall(inputs, options);
    const { api, session } = this.#parts;
    const runOptions = this.#runOptionsOf(options.terminate ?? 0);
    let results: Tensor[];
    try {
      results = this.#planFor(call).run(session, runOptions, call);
    } catch (error) {
      api.functions.RunOptionsUnsetTerminate(runOptions);
      throw error;
    }
    return new Map(call.outputs.map((port, i) => [port.name, results[i] as Tensor]));
  }

  /** Ends the profile that `profilePrefix` began, and returns its file's path. */
  endProfiling(): string {
    this.#assertLive();
    const { api, session, allocator } = this.#parts;
    const path = api.taken(
      api.functions.SessionEndProfiling(session, allocator, api.out),
      "end the profile",
    ) as Pointer;
    const text = readCString(path);
    api.functions.AllocatorFree(allocator, path);
    return text;
  }

  /** Gives the memory back to the system. May be called again. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const { api, session, allocator, isOwned, onDispose } = this.#parts;
    const { functions } = api;
    for (const plan of this.#plans) plan[Symbol.dispose]();
    this.#plans = [];
    for (const port of [...this.#inputPorts, ...this.#outputPorts])
      functions.AllocatorFree(allocator, port.cName);
    for (const options of this.#runOptions) functions.ReleaseRunOptions(options);
    if (isOwned) {
      functions.ReleaseSession(session);
      trimHeap();
    }
    onDispose(this);
  }

  #checkCall(inputs: ReadonlyMap<string, Tensor>, options: RunOptions): Call {
    const tensors = this.#inputPorts.map((port) => {
      const tensor = inputs.get(port.name);
      if (tensor === undefined)
        throw new CoremlxError("BAD_INPUT", `Cannot run the model: no input ${quote(port.name)}`);
      checkTensor(tensor, port, "input");
      return tensor;
    });
    if (inputs.size > tensors.length) {
      const surplus = [...inputs.keys()].filter(
        (name) => !this.#inputPorts.some((port) => port.name === name),
      );
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot run the model: it has no input ${surplus.map(quote).join(", ")}`,
      );
    }
    const outputs = options.outputNames?.map((name) => this.#outputPort(name)) ?? this.#outputPorts;
    const destinations = outputs.map((port) => options.outputs?.get(port.name));
    destinations.forEach((tensor, i) => {
      if (tensor !== undefined) checkTensor(tensor, outputs[i] as Port, "output");
    });
    for (const name of options.outputs?.keys() ?? []) {
      if (outputs.every((port) => port.name !== name)) {
        throw new CoremlxError("BAD_INPUT", `Cannot write output ${quote(name)}: the run does not make it`);
      }
    }
    return { inputs: tensors, outputs, destinations };
  }

  #runOptionsOf(terminate: number): Pointer {
    const options = this.#runOptions[terminate];
    if (options === undefined)
      throw new CoremlxError("INTERNAL", `Cannot run the model: it has no terminate handle ${terminate}`);
    return options;
  }

  #outputPort(name: string): Port {
    const port = this.#outputPorts.find((each) => each.name === name);
    if (port === undefined)
      throw new CoremlxError("BAD_INPUT", `Cannot run the model: it has no output ${quote(name)}`);
    return port;
  }

  #planFor(call: Call): CallPlan {
    const index = this.#plans.findIndex((plan) => plan.fits(call));
    const [found = new CallPlan({ ...this.#parts, inputs: this.#inputPorts }, call)] =
      index < 0 ? [] : this.#plans.splice(index, 1);
    this.#plans.unshift(found);
    if (this.#plans.length > mostPlans) this.#plans.pop()?.[Symbol.dispose]();
    return found;
  }

  #assertLive(): void {
    if (this.#isDisposed)
      throw new CoremlxError("INTERNAL", "Cannot use an ONNX Runtime session that was disposed");
  }
}

function infoOf({ name, dtype, dims }: Port): TensorInfo {
  return { name, dtype, dims };
}

/** Appends the name it takes from the allocator to `named`, before anything else can fail. */
function readPort(parts: SessionParts, role: "Input" | "Output", index: number, named: Pointer[]): Port {
  const { api, session, allocator } = parts;
  const { functions } = api;
  const action = `describe ${role.toLowerCase()} ${index}`;
  const cName = api.taken(
    functions[`SessionGet${role}Name`](session, index, allocator, api.out),
    action,
  ) as Pointer;
  named.push(cName);
  const name = readCString(cName);
  const type = api.taken(functions[`SessionGet${role}TypeInfo`](session, index, api.out), action) as Pointer;
  try {
    const tensorType = api.taken(functions.CastTypeInfoToTensorInfo(type, api.out), action);
    if (tensorType === 0)
      throw new CoremlxError("UNSUPPORTED", `Cannot use ${quote(name)}: it is not a tensor`);
    return { ...readTensorInfo(api, tensorType as Pointer, name), cName };
  } finally {
    functions.ReleaseTypeInfo(type);
  }
}

// Bound once per thread: a library's function has one address for the life of the process.
const terminators = new Map<number, (runOptions: number) => unknown>();

/**
 * Ends the run under way at its next node; where none is, the next run ends at once. A thread that only sends this
 * needs no ONNX Runtime of its own. To hit one run and no other, call `clearTerminate` before that run is sent off.
 */
export function setTerminate(handle: TerminateHandle): void {
  callWithRunOptions(handle.setTerminate, handle.runOptions);
}

/** Takes back a `setTerminate` that came too late for its run. */
export function clearTerminate(handle: TerminateHandle): void {
  callWithRunOptions(handle.unsetTerminate, handle.runOptions);
}

function callWithRunOptions(address: number, runOptions: number): void {
  let call = terminators.get(address);
  if (call === undefined) {
    const bound = CFunction({ ptr: address as Pointer, args: ["ptr"], returns: "ptr" });
    call = (options) => bound(options as Pointer);
    terminators.set(address, call);
  }
  call(runOptions);
}
