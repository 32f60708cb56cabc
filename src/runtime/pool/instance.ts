// Our side of one worker or child process: requests and their answers, and an end that cannot hang.

import { CoremlxError } from "../../core/errors.ts";
import { type FeatureValues, isSameShape } from "../../core/tensor.ts";
import { cancelRun, forgetCancel } from "../../engines/cancel.ts";
import type { CancelHandle } from "../../engines/engine.ts";
import { type Channel, type Isolation, openChannel } from "../worker/channel.ts";
import { runCopies } from "../worker/copied-run.ts";
import { mostRuns, mostTensors } from "../worker/mailbox.ts";
import type { Replies, Reply, Request, RunReply, SharedTensor, WireError } from "../worker/protocol.ts";

interface Waiting {
  /** Of the mailbox, for a run that was handed over there. */
  readonly place: number | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** A run that lies ready behind the one under way. */
export interface AheadRun {
  readonly reply: Promise<RunReply>;
  /** Takes it back: then it never runs, and its reply never settles. Gives false where the worker has it already. */
  withdraw(): boolean;
  /** Asks it to end at its next step. Gives false where nothing can be asked. */
  cancel(): boolean;
}

/** How long closing waits for a worker to give back its memory. */
const closeGraceMs = 500;

/**
 * One worker thread or child process, which answers one request after the other. Invariant: every call settles when the worker answers
 * or ends. Nothing here gives up on a call: who stops waiting for one calls `cancel`, and `abandon` when that does not help.
 */
export class Instance implements AsyncDisposable {
  readonly #channel: Channel;
  readonly #waiting = new Map<number, Waiting>();
  /** For the pool: see PoolMember. */
  served = 0;
  onEnd: (() => void) | undefined;
  #nextId = 1;
  #ended: CoremlxError | undefined;
  /** It takes no more calls, and answers those it has. */
  #closing: Promise<void> | undefined;
  /** Told when no call is under way. */
  #onQuiet: (() => void) | undefined;
  /** By the place of the run in the mailbox; a run that came in a message goes by the first. */
  #cancels: readonly CancelHandle[] = [];
  /** Of the run that was handed over last, where it was not one ahead. */
  #place = 0;
  /** What the worker can repeat on other memory. */
  #last: { readonly inputs: readonly SharedTensor[]; readonly outputs: readonly SharedTensor[] } | undefined;

  /** `open` makes what answers: a worker, a child, or what a test brings. */
  constructor(isolation: Isolation = "worker", open = openChannel) {
    this.#channel = open(isolation, {
      onReply: (reply) => this.#settle(reply),
      onEnd: (reason) => this.#end(reason),
    });
  }

  /** Tensors can be handed over by their address. */
  get sharesMemory(): boolean {
    return this.#channel.sharesMemory;
  }
  /** Giving it up leaves nothing behind that could still write to memory of ours. */
  get isKillable(): boolean {
    return !this.#channel.sharesMemory;
  }
  get pid(): number {
    return this.#channel.pid;
  }

  /** It will answer nothing more. */
  get isEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** Why. */
  get endedBy(): CoremlxError | undefined {
    return this.#ended;
  }

  /** Settles when the worker answers, however long that takes, or when it ends. */
  call<T extends Request["type"]>(request: Extract<Request, { readonly type: T }>): Promise<Replies[T]> {
    return this.#ask((id) => this.#channel.post({ id, request }));
  }

  /**
   * Runs the graph on memory that is borrowed until the answer; by copies where that memory is not shared. One run at a
   * time. Results that have no place come back in the reply.
   */
  run(inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): Promise<RunReply> {
    const { mailbox } = this.#channel;
    if (mailbox === undefined) return runCopies((request) => this.call(request), inputs, outputs);
    if (this.#canRepeat(inputs, outputs)) {
      this.#place = mailbox.nextPlace;
      this.#clearCancel(this.#place);
      return this.#ask((id) => mailbox.postRun(id, inputs, outputs), this.#place);
    }
    const fits = inputs.length + outputs.length <= mostTensors;
    this.#last = fits ? { inputs, outputs } : undefined;
    this.#place = 0;
    this.#clearCancel(0);
    return this.call({ type: "run", inputs, outputs });
  }

  /**
   * Hands over a run while another is under way, for the worker to go on with. `undefined` where it cannot be taken up
   * without a message, or another lies ready already.
   */
  runAhead(inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): AheadRun | undefined {
    const { mailbox } = this.#channel;
    if (mailbox === undefined || !this.mayRunAhead || !this.#canRepeat(inputs, outputs)) return undefined;
    const place = mailbox.nextPlace;
    this.#clearCancel(place);
    let id = 0;
    let isBack = false;
    const reply = this.#post<RunReply>((given) => {
      id = given;
      mailbox.postRun(id, inputs, outputs);
    }, place);
    // It may end with its thread after it was taken back, when nobody listens any more.
    reply.catch(() => {});
    return {
      reply,
      withdraw: () => {
        // With the thread gone nobody waits here any more, and what it had not begun can still be taken back.
        const isOpen = !isBack && (this.#waiting.has(id) || this.#ended !== undefined);
        if (!isOpen || !mailbox.withdraw()) return false;
        isBack = true;
        this.#waiting.delete(id);
        this.#noteQuiet();
        return true;
      },
      cancel: () => this.#waiting.has(id) && this.#setCancel(place),
    };
  }

  /** One run is under way that came through the mailbox, and nothing waits behind it. */
  get mayRunAhead(): boolean {
    if (this.#ended || this.#closing || this.#cancels.length < mostRuns || this.#waiting.size !== 1)
      return false;
    const [only] = this.#waiting.values();
    return only?.place !== undefined;
  }

  /** Before a `predict` that may be cancelled: a cancel that came too late for the last one is forgotten. */
  prepareRun(): void {
    this.#place = 0;
    this.#clearCancel(0);
  }

  /** How runs of this instance are ended from outside, if they can be; set once the worker has a model. */
  allowCancel(handles: readonly CancelHandle[]): void {
    this.#cancels = handles;
  }

  /** Asks the run under way to end at its next step. Gives false where nothing can be asked. */
  cancel(): boolean {
    return this.#setCancel(this.#place);
  }

  #setCancel(place: number): boolean {
    const handle = this.#cancels[place];
    if (handle === undefined || this.#ended) return false;
    cancelRun(handle);
    return true;
  }

  /** Before a run that may be cancelled: a cancel that came too late for the last one is forgotten. */
  #clearCancel(place: number): void {
    const handle = this.#cancels[place];
    if (handle) forgetCancel(handle);
  }

  #canRepeat(inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): boolean {
    const last = this.#last;
    return last !== undefined && areAlike(inputs, last.inputs) && areAlike(outputs, last.outputs);
  }

  /**
   * Gives up on one that will not be heard of again, and ends its calls: a process is gone, a thread goes on with what it is
   * at. Never for a thread that runs on memory of ours: its calls end when it has.
   */
  abandon(): void {
    this.#end(new CoremlxError("UNAVAILABLE", "The worker hung and was given up"));
    this.#channel.terminate();
  }

  /** Lets the process end without it. */
  unref(): void {
    this.#channel.unref();
  }

  /** One that is still at work is not waited for: a thread gives its memory back when it is done, a process is ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return this.#channel.terminate();
    const finish = () => {
      this.#end(modelIsClosed());
      this.#channel.terminate();
    };
    this.#closing ??= this.#close();
    const closed = this.#closing.then(finish, finish);
    const grace = Promise.withResolvers<void>();
    const timer = setTimeout(grace.resolve, closeGraceMs);
    await Promise.race([closed, grace.promise]);
    clearTimeout(timer);
    if (this.#ended) return;
    if (this.isKillable) finish();
    else this.#channel.unref();
  }

  /**
   * Not before the run under way is over: until then it may be cancelled, and what that goes by is given back with the
   * graph, before anybody here knows.
   */
  async #close(): Promise<void> {
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#onQuiet = resolve));
    this.#cancels = [];
    await this.#post<undefined>((id) => this.#channel.post({ id, request: { type: "close" } }));
  }

  #ask<T>(post: (id: number) => void, place?: number): Promise<T> {
    return this.#closing && !this.#ended ? Promise.reject(modelIsClosed()) : this.#post(post, place);
  }

  /** The worker answers each request with the reply of its type; structured clone loses the static type. */
  #post<T>(post: (id: number) => void, place?: number): Promise<T> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { place, resolve: (value) => resolve(value as T), reject });
      try {
        post(id);
      } catch (error) {
        this.#waiting.delete(id); // what cannot be cloned is not sent, and nobody will answer
        reject(error);
      }
    });
  }

  #settle(reply: Reply): void {
    const id = typeof reply === "number" ? reply : reply.id;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (typeof reply === "number")
      waiting?.resolve({ results: noResults, runMs: this.#channel.mailbox?.runMs(waiting.place ?? 0) });
    else if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(fromWire(reply.error));
    this.#noteQuiet();
  }

  #noteQuiet(): void {
    if (this.#waiting.size === 0) this.#onQuiet?.();
  }

  #end(error: CoremlxError): void {
    const isFirst = this.#ended === undefined;
    this.#ended ??= error;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of waiting) call.reject(error);
    this.#noteQuiet();
    if (isFirst) this.onEnd?.();
  }
}

function modelIsClosed(): CoremlxError {
  return new CoremlxError("UNAVAILABLE", "The model is closed");
}

const noResults: FeatureValues = new Map();

/** The same names, types, shapes and sizes in the same order: the worker is told nothing but addresses. */
function areAlike(these: readonly SharedTensor[], those: readonly SharedTensor[]): boolean {
  return (
    these.length === those.length &&
    these.every((tensor, index) => {
      const other = those[index];
      return (
        tensor.name === other?.name &&
        tensor.dtype === other.dtype &&
        tensor.byteLength === other.byteLength &&
        isSameShape(tensor.shape, other.shape)
      );
    })
  );
}

function fromWire(error: WireError): CoremlxError {
  return new CoremlxError(error.code, error.message, {
    hint: error.hint,
    details: error.details,
  });
}
