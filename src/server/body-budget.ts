// The memory that bodies take, of all requests under way together: each may be large, and there may be many.

import { CoremlxError } from "../core/errors.ts";

/** Invariant: `used` is what the rooms that are open have taken, and never more than the capacity. */
export class BodyBudget {
  readonly capacityBytes: number;
  #usedBytes = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /**
   * For a body that has yet to come. Only half of the capacity is promised: who says much and sends little keeps nobody from
   * the other half, which is taken by what is there.
   */
  tryPromise(byteLength: number): boolean {
    if (this.#usedBytes + byteLength > this.capacityBytes / 2) return false;
    this.#usedBytes += byteLength;
    return true;
  }

  /** Throws OVERLOADED. */
  take(byteLength: number): void {
    if (this.#usedBytes + byteLength > this.capacityBytes) {
      throw new CoremlxError(
        "OVERLOADED",
        `The bodies of the requests under way have more than ${this.capacityBytes} bytes together`,
      );
    }
    this.#usedBytes += byteLength;
  }

  giveBack(byteLength: number): void {
    this.#usedBytes -= byteLength;
  }
}

/** What one request has taken; all of it goes back at the end of the scope. */
export class BodyRoom implements Disposable {
  readonly #budget: BodyBudget;
  #takenBytes = 0;

  constructor(budget: BodyBudget) {
    this.#budget = budget;
  }

  /** Throws OVERLOADED. */
  take(byteLength: number): void {
    this.#budget.take(byteLength);
    this.#takenBytes += byteLength;
  }

  /** See BodyBudget. */
  tryPromise(byteLength: number): boolean {
    const isPromised = this.#budget.tryPromise(byteLength);
    if (isPromised) this.#takenBytes += byteLength;
    return isPromised;
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    this.#budget.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
  }
}
