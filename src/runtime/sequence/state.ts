// The states of one sequence, in pooled memory: what a run reads, and what it writes for the next one.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import type { FeatureValue, FeatureValues } from "../../core/tensor.ts";
import { toStateValue } from "../../engines/features.ts";
import type { StatePort } from "../../lowering/lower.ts";
import type { BufferLease, BufferPool } from "../buffers/buffer-pool.ts";
import type { SharedTensor } from "../worker/protocol.ts";
import type { QuarantineTicket } from "../buffers/quarantine.ts";
import { share } from "../worker/shared-tensor.ts";

/** One run's use of a state. Ends once: what comes after the first of the three endings does nothing. */
export interface StateTurn {
  readonly inputs: readonly SharedTensor[];
  readonly outputs: readonly SharedTensor[];
  /** The run succeeded: what it wrote is the state now. */
  commit(): void;
  /** The run failed: the state is what it was. */
  rollBack(): void;
  /** The run was given up and may still write: the state is unusable from now on. The result ends the quarantine. */
  abandon(): () => void;
}

/** Never for two calls at once. Owns two buffers for each state; they are swapped, not copied. */
export class ModelState implements AsyncDisposable {
  readonly #ports: readonly StatePort[];
  readonly #buffers: BufferPool;
  readonly #current = new Map<string, BufferLease>();
  #isBusy = false;
  #isOver = false;

  constructor(ports: readonly StatePort[], buffers: BufferPool) {
    this.#ports = ports;
    this.#buffers = buffers;
    try {
      for (const { feature, dtype, shape } of ports) {
        const buffer = buffers.acquire(dtype, shape);
        buffer.bytes.fill(0);
        this.#current.set(feature, buffer);
      }
    } catch (error) {
      freeAll(this.#current);
      throw error;
    }
  }

  /** False once it was closed, or a prediction with it was given up. */
  get isUsable(): boolean {
    return !this.#isOver;
  }

  /** A copy of every state's present value, by name. */
  async read(): Promise<FeatureValues> {
    this.#assertFree("read");
    const values = new Map<string, FeatureValue>();
    for (const [name, { tensor }] of this.#current)
      values.set(name, { ...tensor, bytes: tensor.bytes.slice() });
    return values;
  }

  /** Replaces the named states; the rest stay. Throws NOT_FOUND, BAD_INPUT for another type or shape. */
  async write(values: FeatureValues): Promise<void> {
    this.#assertFree("write");
    for (const [name, value] of values) {
      const buffer = this.#current.get(name);
      if (buffer === undefined) {
        const names = this.#ports.map((port) => port.feature);
        throw new CoremlxError("NOT_FOUND", `Cannot find state "${name}"`, {
          hint: suggest(name, names, "The states are"),
        });
      }
      buffer.bytes.set(toStateValue(name, value, buffer.tensor).bytes);
    }
  }

  /** For the runtime: lends the state to one run. Throws BAD_INPUT while another run has it. */
  begin(): StateTurn {
    this.#assertFree("use");
    const next = new Map<string, BufferLease>();
    const inputs: SharedTensor[] = [];
    const outputs: SharedTensor[] = [];
    try {
      for (const { feature, input, output, dtype, shape } of this.#ports) {
        inputs.push(share(input, this.#buffer(feature)));
        if (output === undefined) continue;
        const place = this.#buffers.acquire(dtype, shape);
        next.set(feature, place);
        outputs.push(share(output, place));
      }
    } catch (error) {
      freeAll(next);
      throw error;
    }
    this.#isBusy = true;
    let isEnded = false;
    const end = (then: () => void) => {
      if (isEnded) return;
      isEnded = true;
      then();
      this.#isBusy = false;
      // Whoever closed the state meanwhile left its memory to the run that was using it.
      if (this.#isOver) freeAll(this.#current);
    };
    return {
      inputs,
      outputs,
      commit: () =>
        end(() => {
          for (const [feature, place] of next) {
            this.#buffer(feature)[Symbol.dispose]();
            this.#current.set(feature, place);
          }
        }),
      rollBack: () => end(() => freeAll(next)),
      abandon: () => {
        const tickets: QuarantineTicket[] = [];
        end(() => {
          this.#isOver = true;
          const leases = [...this.#current.values(), ...next.values()];
          this.#current.clear();
          tickets.push(...leases.map((lease) => this.#buffers.quarantine(lease)));
        });
        return () => {
          for (const ticket of tickets) ticket.release();
        };
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    if (!this.#isBusy) freeAll(this.#current);
  }

  #buffer(feature: string): BufferLease {
    const buffer = this.#current.get(feature);
    if (buffer) return buffer;
    throw new CoremlxError("NOT_FOUND", `Cannot find state "${feature}"`);
  }

  #assertFree(action: string): void {
    if (this.#isOver) {
      throw new CoremlxError(
        "NOT_FOUND",
        `Cannot ${action} the state: it was closed, or a prediction with it was given up`,
      );
    }
    if (this.#isBusy)
      throw new CoremlxError("BAD_INPUT", `Cannot ${action} the state: a prediction is using it`);
  }
}

function freeAll(leases: Map<string, BufferLease>): void {
  for (const lease of leases.values()) lease[Symbol.dispose]();
  leases.clear();
}
