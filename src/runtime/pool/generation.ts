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
    else await this.#end(instance);
    await this.#closeOwner();
  }

  /**
   * Ends all of it, and the owner after all others. A guest may go on with its last run after it was told to end, and the
   * hung have not heard it: then the owner stays until they are done, and nobody waits for that. Whoever hangs is
   * dismissed when it comes back.
   */
  async close(hung: ReadonlySet<I>): Promise<void> {
    const { owner } = this;
    await Promise.all([...this.#guests].filter((guest) => !hung.has(guest)).map((guest) => this.#end(guest)));
    for (const instance of hung) if (this.has(instance)) instance.unref?.();
    if (owner === undefined || hung.has(owner)) return;
    this.#isOwnerDue = true;
    if (this.#guests.size > 0) owner.unref?.();
    await this.#closeOwner();
  }

  /** It may still be at work afterwards; then it is a guest until it is done. */
  async #end(guest: I): Promise<void> {
    await guest[Symbol.asyncDispose]();
    if (guest.isEnded) this.#guests.delete(guest);
    else
      guest.onEnd = () => {
        this.#guests.delete(guest);
        void this.#closeOwner();
      };
  }

  async #closeOwner(): Promise<void> {
    const { owner } = this;
    if (owner === undefined || !this.#isOwnerDue || this.#guests.size > 0 || this.#holds > 0) return;
    this.#isOwnerDue = false;
    await owner[Symbol.asyncDispose]();
    this.#onOver();
  }
}
