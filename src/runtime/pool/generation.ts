// One loading of a model, and the instances that use it: whoever loaded it goes last.

import type { InstanceSource, PoolMember } from "./pool-member.ts";

/**
 * Invariant: an owner is closed only when nobody uses what it loaded: no guest, none on its way, no hung thread. Where
 * each instance has loaded the model for itself there is no owner, and each goes when it likes.
 */
export class Generation<I extends PoolMember> {
  readonly owner: I | undefined;
  readonly create: (() => Promise<I>) | undefined;
  readonly #onOver: () => void;
  readonly #guests = new Set<I>();
  /** Users that are no guests of the pool, and guests on their way. */
  #holds = 0;
  #isOwnerDue = false;

  /** `onOver` is told when the owner is closed. */
  constructor(
    source: InstanceSource<I>,
    options: { readonly isShared: boolean; readonly onOver: () => void },
  ) {
    this.create = source.create;
    this.#onOver = options.onOver;
    if (options.isShared) this.owner = source.first;
    else {
      this.owner = undefined;
      this.#guests.add(source.first);
    }
  }

  has(instance: I): boolean {
    return instance === this.owner || this.#guests.has(instance);
  }

  async make(create: () => Promise<I>): Promise<I> {
    const end = this.hold();
    try {
      const instance = await create();
      this.#guests.add(instance);
      return instance;
    } finally {
      end();
    }
  }

  /** Keeps the owner open until the returned function is called, once. */
  hold(): () => void {
    this.#holds++;
    return () => {
      this.#holds--;
      void this.#closeOwner();
    };
  }

  /** Closes a guest, and the owner after the last of them. Only for instances that nothing runs in any more. */
  async dismiss(instance: I): Promise<void> {
    if (instance === this.owner) this.#isOwnerDue = true;
    else {
      await instance[Symbol.asyncDispose]();
      this.#guests.delete(instance);
    }
    await this.#closeOwner();
  }

  /**
   * Ends all of it, but for the hung: they may still use what the owner has, so that it has to stay with them. A guest may
   * go on with its last run after it was told to end; then the owner follows it, and nobody waits for that.
   */
  async close(hung: ReadonlySet<I>): Promise<void> {
    const { owner } = this;
    const isHung = [...hung].some((instance) => this.has(instance));
    const guests = [...this.#guests].filter((instance) => !hung.has(instance));
    await Promise.all(guests.map((instance) => instance[Symbol.asyncDispose]()));
    const working = guests.filter((instance) => !instance.isEnded);
    if (isHung) owner?.abandon();
    else if (working.length === 0) await owner?.[Symbol.asyncDispose]();
    else if (owner) {
      owner.unref?.();
      void Promise.all(working.map((instance) => endOf(instance))).then(() => owner[Symbol.asyncDispose]());
    }
  }

  async #closeOwner(): Promise<void> {
    const { owner } = this;
    if (owner === undefined || !this.#isOwnerDue || this.#guests.size > 0 || this.#holds > 0) return;
    this.#isOwnerDue = false;
    await owner[Symbol.asyncDispose]();
    this.#onOver();
  }
}

function endOf(instance: PoolMember): Promise<void> {
  return new Promise((resolve) => {
    instance.onEnd = resolve;
  });
}
