// Every bound that protects us from a hostile tape.

export interface TapeLimits {
  /** Of the file. */
  readonly tapeBytes: number;
  /** Unpacked. */
  readonly tapeContentBytes: number;
  /** Of the JSON in it. */
  readonly tapeHeadBytes: number;
  /** Arrays and other values, equal ones counted once. */
  readonly tapeBlobs: number;
  /** Inputs, answers or predictions. */
  readonly tapeRows: number;
}

export const defaultTapeLimits: TapeLimits = {
  tapeBytes: 2 ** 29,
  tapeContentBytes: 2 ** 30,
  tapeHeadBytes: 2 ** 26,
  tapeBlobs: 1_000_000,
  tapeRows: 1_000_000,
};
