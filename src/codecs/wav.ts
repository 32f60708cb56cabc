// WAV audio: PCM and floats out of RIFF, RF64 and BW64 files. Mixing channels and changing the rate happen only when asked.

import { CoremlxError, type ErrorOptions } from "../core/errors.ts";
import { allocateBytes } from "./allocate.ts";
import { isAscii } from "./exif.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";

export interface Audio {
  /** Frames a second. */
  readonly sampleRate: number;
  readonly channels: number;
  /** Frame by frame, within a frame channel by channel. Full scale is -1 to 1; floats come as they are, even beyond. */
  readonly samples: Float32Array<ArrayBuffer>;
}

/**
 * Integers are divided by 2^(bits - 1), after 128 is taken from 8-bit ones, which have no sign. A chunk that claims more
 * than the file holds is refused, except for the placeholders of writers that could not go back: there the data reach to
 * the end. `name` appears in errors. Throws BAD_INPUT, or UNSUPPORTED for compressed audio.
 */
export function decodeWav(bytes: Uint8Array, name: string, limits: CodecLimits = defaultLimits): Audio {
  const subject = `Cannot read WAV ${JSON.stringify(name)}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = findChunks(view, bytes, subject);
  const format = readFormat(chunks.format, subject);
  const sampleBytes = format.blockAlign / format.channels;
  const count = Math.floor(chunks.data.byteLength / format.blockAlign) * format.channels;
  const samples = new Float32Array(allocateBytes(count * 4, subject, limits).buffer);
  readSamples[format.isFloat ? "float" : "integer"][sampleBytes]?.(chunks.data, samples);
  return { sampleRate: format.sampleRate, channels: format.channels, samples };
}

/** One channel: the average of all. Audio that has only one is given back as it is, not copied. */
export function mixdown(audio: Audio): Float32Array<ArrayBuffer> {
  const { channels, samples } = audio;
  if (channels === 1) return samples;
  const mono = new Float32Array(new ArrayBuffer(Math.floor(samples.length / channels) * 4));
  for (let frame = 0; frame < mono.length; frame++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) sum += samples[frame * channels + channel] ?? 0;
    mono[frame] = sum / channels;
  }
  return mono;
}

/**
 * One channel at another rate: ceil(length * to / from) samples, the first at the same moment. A windowed sinc (Kaiser,
 * 64 periods of the lower rate to each side, 100 dB): what lies below 90 % of the lower Nyquist frequency passes within
 * 0.0001 of its size, what lies above the lower Nyquist frequency is 90 dB down at least. Silence is assumed around the
 * signal. Throws BAD_INPUT for rates that are no positive integers or further than 1 : 256 apart.
 */
export function resample(
  samples: Float32Array<ArrayBuffer>,
  from: number,
  to: number,
  limits: CodecLimits = defaultLimits,
): Float32Array<ArrayBuffer> {
  const subject = `Cannot resample from ${from} Hz to ${to} Hz`;
  for (const rate of [from, to])
    if (!Number.isSafeInteger(rate) || rate <= 0)
      throw bad(subject, `a rate must be a positive integer, got ${rate}`);
  if (Math.max(from, to) > MAX_RATIO * Math.min(from, to))
    throw bad(subject, `the rates are further apart than 1 : ${MAX_RATIO}`);
  if (from === to) return samples.slice();
  const divisor = greatestCommonDivisor(from, to);
  const step = from / divisor;
  const phases = to / divisor;
  const count = Math.ceil((samples.length * phases) / step);
  const result = new Float32Array(allocateBytes(count * 4, subject, limits).buffer);
  const bank = new FilterBank(phases, Math.min(1, to / from));
  for (let i = 0; i < count; i++) {
    const position = i * step;
    const phase = position % phases;
    const center = (position - phase) / phases;
    const taps = bank.taps(phase);
    const first = center - bank.reach;
    const end = Math.min(taps.length, samples.length - first);
    let sum = 0;
    for (let k = Math.max(0, -first); k < end; k++) sum += (taps[k] ?? 0) * (samples[first + k] ?? 0);
    result[i] = sum;
  }
  return result;
}

interface Format {
  readonly isFloat: boolean;
  readonly channels: number;
  readonly sampleRate: number;
  /** Bytes of one frame. */
  readonly blockAlign: number;
}

interface Chunks {
  readonly format: DataView;
  readonly data: DataView;
}

/** The first format chunk and the first data chunk, in whatever order. */
function findChunks(view: DataView, bytes: Uint8Array, subject: string): Chunks {
  const isLarge = isAscii(bytes, 0, "RF64") || isAscii(bytes, 0, "BW64");
  if ((!isAscii(bytes, 0, "RIFF") && !isLarge) || !isAscii(bytes, 8, "WAVE"))
    throw bad(subject, 'it does not begin with "RIFF" and "WAVE"');
  let format: DataView | undefined;
  let data: DataView | undefined;
  let largeDataBytes: number | undefined;
  let at = 12;
  while (at + 8 <= bytes.length && (format === undefined || data === undefined)) {
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    const left = bytes.length - start;
    if (isAscii(bytes, at, "data")) {
      const length = dataLength(view, { start, size, largeDataBytes });
      if (length > left)
        throw bad(subject, `its data claim ${length} bytes, the file has ${left}`, truncated);
      data = slice(view, start, length);
      at = start + length + (length % 2);
      continue;
    }
    if (size > left) {
      const id = String.fromCharCode(...bytes.subarray(at, at + 4));
      throw bad(
        subject,
        `its chunk ${JSON.stringify(id)} claims ${size} bytes, the file has ${left}`,
        truncated,
      );
    }
    if (isAscii(bytes, at, "fmt ")) format = slice(view, start, size);
    else if (isLarge && isAscii(bytes, at, "ds64") && size >= 16)
      largeDataBytes = Number(view.getBigUint64(start + 8, true));
    at = start + size + (size % 2); // chunks begin at even offsets
  }
  if (format === undefined) throw bad(subject, 'it has no "fmt " chunk');
  if (data === undefined) throw bad(subject, 'it has no "data" chunk', truncated);
  return { format, data };
}

interface DataChunk {
  readonly start: number;
  readonly size: number;
  /** What an RF64 file says in place of `size`. */
  readonly largeDataBytes: number | undefined;
}

/** How long the data are, when a writer to a pipe could not fill in the size. */
function dataLength(view: DataView, { start, size, largeDataBytes }: DataChunk): number {
  const left = view.byteLength - start;
  if (largeDataBytes !== undefined && size === UNKNOWN_SIZE) return largeDataBytes;
  if (size > left && size >= FIRST_PLACEHOLDER) return left;
  // No data, and a file that does not end here either, by its own account: the size was never filled in.
  const fileSize = view.getUint32(4, true);
  const isUnfinished = fileSize === UNKNOWN_SIZE || fileSize + 8 <= start;
  return size === 0 && isUnfinished ? left : size;
}

function readFormat(view: DataView, subject: string): Format {
  if (view.byteLength < 16) throw bad(subject, `its format has ${view.byteLength} bytes, needs 16`);
  const channels = view.getUint16(2, true);
  const sampleRate = view.getUint32(4, true);
  const blockAlign = view.getUint16(12, true);
  const bits = view.getUint16(14, true);
  const encoding = readEncoding(view, subject);
  if (channels === 0) throw bad(subject, "it has no channels");
  if (sampleRate === 0) throw bad(subject, "its sample rate is 0");
  const isFloat = encoding === FLOAT;
  const sampleBytes = Math.ceil(bits / 8);
  if (isFloat ? bits !== 32 && bits !== 64 : bits === 0 || bits > 32)
    throw bad(subject, `its samples are ${isFloat ? "floats" : "integers"} of ${bits} bits`);
  if (blockAlign !== channels * sampleBytes)
    throw bad(
      subject,
      `${channels} x ${bits} bits take ${channels * sampleBytes} bytes, its frames have ${blockAlign}`,
    );
  return { isFloat, channels, sampleRate, blockAlign };
}

function readEncoding(view: DataView, subject: string): number {
  const tag = view.getUint16(0, true);
  const isExtensible = tag === EXTENSIBLE && view.byteLength >= 40;
  const encoding = isExtensible ? view.getUint16(24, true) : tag;
  const isPlain = !isExtensible || subformatTail.every((byte, i) => view.getUint8(26 + i) === byte);
  if (isPlain && (encoding === PCM || encoding === FLOAT)) return encoding;
  const known = isPlain ? compressions.get(encoding) : undefined;
  throw new CoremlxError(
    "UNSUPPORTED",
    `${subject}: its audio is ${known ?? `of type 0x${encoding.toString(16).padStart(4, "0")}`}, not PCM or float`,
    { hint: "Convert it, for instance with: ffmpeg -i FILE -c:a pcm_s16le FILE.wav" },
  );
}

type SampleReader = (data: DataView, samples: Float32Array) => void;

/** By kind and bytes of a sample. Fewer bits than fill the bytes are the upper ones, so that the scale stays. */
const readSamples: Readonly<Record<"integer" | "float", Readonly<Record<number, SampleReader>>>> = {
  integer: {
    1: (data, samples) => {
      for (let i = 0; i < samples.length; i++) samples[i] = (data.getUint8(i) - 128) / 2 ** 7;
    },
    2: (data, samples) => {
      for (let i = 0; i < samples.length; i++) samples[i] = data.getInt16(i * 2, true) / 2 ** 15;
    },
    3: (data, samples) => {
      for (let i = 0; i < samples.length; i++)
        samples[i] = (data.getInt8(i * 3 + 2) * 2 ** 16 + data.getUint16(i * 3, true)) / 2 ** 23;
    },
    4: (data, samples) => {
      for (let i = 0; i < samples.length; i++) samples[i] = data.getInt32(i * 4, true) / 2 ** 31;
    },
  },
  float: {
    4: (data, samples) => {
      for (let i = 0; i < samples.length; i++) samples[i] = data.getFloat32(i * 4, true);
    },
    8: (data, samples) => {
      for (let i = 0; i < samples.length; i++) samples[i] = data.getFloat64(i * 8, true);
    },
  },
};

/** Coefficients for each position of an output sample between two input samples, in steps of 1 / phases. */
class FilterBank {
  /** Input samples to each side of the center. */
  readonly reach: number;
  readonly #phases: number;
  readonly #scale: number;
  readonly #rows = new Map<number, Float64Array>();

  /** `scale` is the lower rate by the input's. */
  constructor(phases: number, scale: number) {
    this.#phases = phases;
    this.#scale = scale;
    this.reach = Math.ceil(HALF_WIDTH / scale);
  }

  taps(phase: number): Float64Array {
    const known = this.#rows.get(phase);
    if (known !== undefined) return known;
    const taps = new Float64Array(2 * this.reach + 2);
    let sum = 0;
    for (let k = 0; k < taps.length; k++) {
      const weight = kernelAt((k - this.reach - phase / this.#phases) * this.#scale);
      taps[k] = weight;
      sum += weight;
    }
    for (let k = 0; k < taps.length; k++) taps[k] = (taps[k] ?? 0) / sum; // a constant stays exactly what it is
    if ((this.#rows.size + 1) * taps.length <= MAX_CACHED_TAPS) this.#rows.set(phase, taps);
    return taps;
  }
}

/** The windowed sinc at `x` periods of the lower rate, between the table's points by a straight line (-128 dB). */
function kernelAt(x: number): number {
  const position = Math.abs(x) * KERNEL_STEPS;
  const index = Math.floor(position);
  kernelTable ??= makeKernelTable();
  const here = kernelTable[index] ?? 0;
  const next = kernelTable[index + 1] ?? 0;
  return here + (next - here) * (position - index);
}

let kernelTable: Float64Array | undefined; // made once, when first needed

function makeKernelTable(): Float64Array {
  const table = new Float64Array(HALF_WIDTH * KERNEL_STEPS + 1);
  for (let i = 0; i < table.length; i++) {
    const x = i / KERNEL_STEPS;
    const angle = Math.PI * CUTOFF * x;
    const sinc = i === 0 ? 1 : Math.sin(angle) / angle;
    table[i] = sinc * bessel0(KAISER_BETA * Math.sqrt(1 - (x / HALF_WIDTH) ** 2));
  }
  return table;
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function bessel0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function slice(view: DataView, start: number, byteLength: number): DataView {
  return new DataView(view.buffer, view.byteOffset + start, byteLength);
}

function bad(subject: string, reason: string, options: ErrorOptions = {}): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${subject}: ${reason}`, options);
}

const truncated: ErrorOptions = { hint: "The file is cut off: copy or record it again" };

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** The end of every sub-format that is an old format tag: xxxx0000-0000-0010-8000-00AA00389B71. */
const subformatTail = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
const compressions: ReadonlyMap<number, string> = new Map([
  [0x0002, "Microsoft ADPCM"],
  [0x0006, "A-law"],
  [0x0007, "mu-law"],
  [0x0011, "IMA ADPCM"],
  [0x0031, "GSM 6.10"],
  [0x0050, "MPEG"],
  [0x0055, "MP3"],
  [0x00ff, "AAC"],
  [0x0161, "Windows Media Audio"],
]);

const UNKNOWN_SIZE = 0xffffffff;
/** Sizes from here on that the file does not have: sox writes 0x7ffff000 less its header to a pipe, others 0xffffffff. */
const FIRST_PLACEHOLDER = 0x7fff0000;

const MAX_RATIO = 256;
/** Periods of the lower rate to each side. A Kaiser window this long falls 100 dB within a tenth of the Nyquist frequency. */
const HALF_WIDTH = 64;
const KAISER_BETA = 0.1102 * (100 - 8.7);
/** Middle of the fall from 90 % to 100 % of the Nyquist frequency. */
const CUTOFF = 0.95;
/** Points of the kernel's table in one period: a straight line between them errs by 4e-7. */
const KERNEL_STEPS = 1024;
/** 32 MiB. Common rates have up to 640 phases of up to 800 taps. */
const MAX_CACHED_TAPS = 2 ** 22;
