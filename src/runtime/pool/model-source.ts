// Where one model's instances come from: the first loads it, the others join it or load it for themselves, and it can be
// loaded once more when all of them are to go.

import { CoremlxError } from "../../core/errors.ts";
import type { GraphShare, LoadedGraph } from "../../engines/engine.ts";
import { borrowGraph } from "../../engines/select.ts";
import type { Isolation } from "../worker/channel.ts";
import type { LoadReply, LoadRequest, SharedGraph } from "../worker/protocol.ts";
import type { Instance } from "./instance.ts";
import type { InstanceSource } from "./pool-member.ts";

export interface ModelSourceOptions {
  readonly request: LoadRequest;
  readonly isolation: Isolation;
  readonly openInstance: (isolation: Isolation) => Instance;
}

/** Owns nothing: each instance belongs to whoever asked for it. */
export class ModelSource {
  readonly reply: LoadReply;
  readonly source: InstanceSource<Instance>;
  readonly #options: ModelSourceOptions;
  /** Of the latest load: what others join. */
  #graph: SharedGraph | undefined;

  /** Waits for the first instance by way of `wait`, which may give up: then the instance is given up too. */
  static async open(
    options: ModelSourceOptions,
    wait: (loading: Promise<LoadReply>) => Promise<LoadReply>,
  ): Promise<ModelSource> {
    const first = options.openInstance(options.isolation);
    try {
      return new ModelSource(options, first, await wait(first.call(options.request)));
    } catch (error) {
      first.abandon();
      throw error;
    }
  }

  private constructor(options: ModelSourceOptions, first: Instance, reply: LoadReply) {
    this.#options = options;
    this.reply = reply;
    this.source = this.#sourceOf(first, reply);
  }

  /** Each instance has loaded the model for itself. */
  get areIndependent(): boolean {
    return !this.source.first.sharesMemory || this.reply.loadsPerThread;
  }

  /** Instances like those of `source`, over a load of their own. Throws BAD_MODEL when the file is another one by now. */
  async reload(): Promise<InstanceSource<Instance>> {
    return this.#start(async (instance) => this.#sourceOf(instance, await this.#loadAgain(instance)));
  }

  /** Joins the latest load from this thread; undefined where that cannot be done. */
  get openInline(): (() => Promise<LoadedGraph>) | undefined {
    if (this.areIndependent || this.#graph === undefined) return undefined;
    return async () => {
      const graph = this.#graph;
      if (graph?.share) return borrowGraph(graph.share);
      throw new CoremlxError("INTERNAL", "Cannot join a graph: the model has none any more");
    };
  }

  #sourceOf(first: Instance, reply: LoadReply): InstanceSource<Instance> {
    const { graph, loadsPerThread } = reply;
    this.#graph = graph;
    this.#allowCancel(first, reply);
    if (!first.sharesMemory || loadsPerThread) {
      return {
        first,
        create: () =>
          this.#start(async (instance) => {
            this.#allowCancel(instance, await this.#loadAgain(instance));
            return instance;
          }),
      };
    }
    const share = graph?.share;
    if (share === undefined) return { first, create: undefined };
    return { first, create: () => this.#start((instance) => this.#join(instance, share)) };
  }

  /** By plain data of this process: not for an instance in another one. */
  #allowCancel(instance: Instance, { graph, cancel }: LoadReply): void {
    if (instance.sharesMemory) instance.allowCancel(graph?.cancels ?? (cancel ? [cancel] : []));
  }

  async #join(instance: Instance, share: GraphShare): Promise<Instance> {
    instance.allowCancel(await instance.call({ type: "adopt", share }));
    return instance;
  }

  async #loadAgain(instance: Instance): Promise<LoadReply> {
    const { request } = this.#options;
    const again = await instance.call(request);
    if (isSameModel(this.reply, again)) return again;
    throw new CoremlxError("BAD_MODEL", `Cannot load "${request.path}" again: it is another model by now`, {
      hint: "Unload the model and load it anew",
    });
  }

  /** One more instance, made ready by `prepare`; one that cannot be is given up. */
  async #start<T>(prepare: (instance: Instance) => Promise<T>): Promise<T> {
    const instance = this.#options.openInstance(this.#options.isolation);
    try {
      return await prepare(instance);
    } catch (error) {
      instance.abandon();
      throw error;
    }
  }
}

/** By its digest where that was asked for, else by its interface: reading all weights again costs more than it tells. */
function isSameModel(before: LoadReply, after: LoadReply): boolean {
  return (
    before.digest === after.digest &&
    Bun.deepEquals(before.function, after.function) &&
    Bun.deepEquals(before.graph?.ports, after.graph?.ports)
  );
}
