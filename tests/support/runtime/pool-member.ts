// What a pool lends in tests, and calls that the test ends when it likes.

import type { PoolMember } from "../../../src/runtime/pool/model-pool.ts";

export class Member implements PoolMember {
  isEnded = false;
  isKillable = false;
  isDisposed = false;
  isAbandoned = false;
  served = 0;
  onEnd: (() => void) | undefined;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
  abandon(): void {
    this.isAbandoned = true;
    this.isEnded = true;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.isDisposed = true;
    this.isEnded = true;
  }
}

export function openCall() {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => {});
  return { promise, resolve, reject };
}
