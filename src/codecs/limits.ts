// Every bound that protects the codecs from hostile files. All of them can be set by the caller.

export interface CodecLimits {
  /** Bytes of one array, read, converted or generated. An ArrayBuffer of the runtime ends near this too. */
  readonly tensorBytes: number;
  /** Axes of one array; numpy itself stops at 64. */
  readonly rank: number;
  /** Text of an npy header. numpy writes about 100 bytes. */
  readonly npyHeaderBytes: number;
  /** Members of an npz archive. */
  readonly archiveEntries: number;
  /** All members of an npz archive together, decompressed. */
  readonly archiveBytes: number;
  /** The format's own limit. */
  readonly safetensorsHeaderBytes: number;
  readonly jsonBytes: number;
  /** Nested lists and objects. */
  readonly jsonDepth: number;
  /** Lists and objects in all: each costs some 50 bytes, whatever it holds. */
  readonly jsonContainers: number;
  /** Digits of one whole number in JSON, far beyond float64; converting takes quadratic time. */
  readonly jsonDigits: number;
  /** width x height of a picture, both as decoded and as resized. Decoding takes up to 16 bytes a pixel. */
  readonly imagePixels: number;
  /** Scans of a progressive JPEG: each costs a pass over the whole picture, however few bytes it has. */
  readonly jpegScans: number;
}

export const defaultLimits: CodecLimits = {
  tensorBytes: 2 ** 32,
  rank: 32,
  npyHeaderBytes: 65_536,
  archiveEntries: 65_535,
  archiveBytes: 2 ** 33,
  safetensorsHeaderBytes: 100_000_000,
  jsonBytes: 2 ** 28,
  jsonDepth: 64,
  jsonContainers: 4_000_000,
  jsonDigits: 400,
  imagePixels: 64_000_000,
  jpegScans: 500,
};

/** Arrays up to this many elements appear whole in JSON results; larger ones as statistics. */
export const INLINE_ELEMENTS = 1_000;

/** First values shown with the statistics of a large array. */
export const FIRST_VALUES = 8;

/** npz is written without zip64: an archive or member from here on is refused. */
export const MAX_WRITTEN_ARCHIVE_BYTES = 2 ** 32 - 1;
