// What a pool needs to know of an instance, and where instances come from.

import type { CoremlxError } from "../../core/errors.ts";

export interface PoolMember extends AsyncDisposable {
  /** It will answer nothing more. */
  readonly isEnded: boolean;
  /** Why, once it is ended. */
  readonly endedBy?: CoremlxError | undefined;
  /** Giving it up ends what it does; else its thread goes on. */
  readonly isKillable: boolean;
  /** It is in the middle of a run, and may be handed one more. */
  readonly mayRunAhead?: boolean | undefined;
  /** Of the process it runs in. */
  readonly pid?: number | undefined;
  /** Loans so far; the pool counts. */
  served: number;
  /** Called once it is ended; the pool sets it. */
  onEnd?: (() => void) | undefined;
  /** Lets the process end without it. */
  unref?(): void;
  /** Gives up on it while it may still be busy. */
  abandon(): void;
}

export interface InstanceSource<I extends PoolMember> {
  /** Has loaded the model. */
  readonly first: I;
  /** Makes one more; undefined where what `first` loaded cannot be used by others. */
  readonly create: (() => Promise<I>) | undefined;
}
