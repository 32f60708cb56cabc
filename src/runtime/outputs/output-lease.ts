// One result's memory in somebody's hands: a pooled buffer, or a mapped file that can be published.

import { CoremlxError } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { MappedFile, PublishedFile } from "../../native/mapped-file.ts";
import type { Loan } from "../buffers/block-pool.ts";
import type { BufferLease } from "../buffers/buffer-pool.ts";
import type { QuarantineTicket } from "../buffers/quarantine.ts";
import type { SharedOutput } from "./shared-output.ts";

interface OutputLeaseBase extends Disposable {
  /** To write the result into, then to read it. */
  readonly tensor: Tensor;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Good in every thread of the process, for as long as the lease. */
  readonly address: number;
  readonly isReturned: boolean;
}

export interface InlineOutput extends OutputLeaseBase {
  readonly kind: "inline";
}

export interface MappedOutput extends OutputLeaseBase {
  readonly kind: "mapped";
  /**
   * Lets other processes of this user read the result, which must be complete, until the lease ends. Again is the same
   * name. Throws IO: disk full, no permission, a folder that is not private.
   */
  publish(): SharedOutput;
}

/** A loan for one result; `using` returns it, and returning it twice is harmless. */
export type OutputLease = InlineOutput | MappedOutput;

export class InlineLease implements InlineOutput {
  readonly kind = "inline";
  readonly buffer: BufferLease;

  constructor(buffer: BufferLease) {
    this.buffer = buffer;
  }

  get tensor(): Tensor {
    return this.buffer.tensor;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.buffer.bytes;
  }
  get address(): number {
    return this.buffer.address;
  }
  get isReturned(): boolean {
    return this.buffer.isReturned;
  }
  [Symbol.dispose](): void {
    this.buffer[Symbol.dispose]();
  }
}

/** What a lease needs of its store; it holds neither alive nor back. */
export interface LeaseOwner {
  publish(file: MappedFile): PublishedFile;
  ended(lease: MappedLease): void;
}

interface MappedLeaseParts {
  readonly loan: Loan<MappedFile>;
  readonly tensor: Tensor;
  readonly owner: LeaseOwner;
}

export class MappedLease implements MappedOutput {
  readonly kind = "mapped";
  #parts: MappedLeaseParts | undefined;
  #shared: SharedOutput | undefined;

  constructor(parts: MappedLeaseParts, shared?: SharedOutput) {
    this.#parts = parts;
    this.#shared = shared;
  }

  get tensor(): Tensor {
    return this.#held.tensor;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#held.tensor.bytes;
  }
  get byteLength(): number {
    return this.#held.loan.block.byteLength;
  }
  get address(): number {
    return this.#held.loan.block.address;
  }
  get isReturned(): boolean {
    return this.#parts === undefined;
  }

  publish(): SharedOutput {
    const { loan, tensor, owner } = this.#held;
    if (this.#shared !== undefined) return this.#shared;
    const { path, descriptorPath } = owner.publish(loan.block);
    const { dtype, shape, bytes } = tensor;
    this.#shared = { dtype, shape, byteLength: bytes.byteLength, path, descriptorPath, pid: process.pid };
    return this.#shared;
  }

  /** The same loan in another lease; this one is over. */
  split(): MappedLease {
    const parts = this.#held;
    this.#parts = undefined;
    return new MappedLease(parts, this.#shared);
  }

  quarantine(): QuarantineTicket {
    const { loan, owner } = this.#held;
    try {
      if (this.#shared !== undefined) loan.block.withdraw();
    } catch {
      // The name goes with the file at the latest, and the file is asked again before it is lent again.
    }
    const ticket = loan.quarantine();
    this.#parts = undefined;
    owner.ended(this);
    return ticket;
  }

  [Symbol.dispose](): void {
    if (this.#parts === undefined) return;
    const { loan, owner } = this.#parts;
    this.#parts = undefined;
    loan.return();
    owner.ended(this);
  }

  get #held(): MappedLeaseParts {
    if (this.#parts === undefined)
      throw new CoremlxError("INTERNAL", "Cannot use an output that was returned");
    return this.#parts;
  }
}

/** The store's own kind of lease behind the interface. Throws INTERNAL for anything else. */
export function ownLease(lease: OutputLease): MappedLease {
  if (lease instanceof MappedLease) return lease;
  throw new CoremlxError("INTERNAL", "Cannot take an output that is no mapped lease of a store");
}
