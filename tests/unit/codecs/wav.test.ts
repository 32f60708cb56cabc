import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { type Audio, decodeWav, mixdown, resample } from "../../../src/codecs/wav.ts";
import { CoremlxError } from "../../../src/core/errors.ts";
import { defaultLimits } from "../../../src/codecs/limits.ts";
import { damaged, errorOf } from "../../support/codec-fixtures.ts";
import { sharedPath } from "../../support/shared.ts";

type Bytes = readonly number[];

const u16 = (value: number): Bytes => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value: number): Bytes => [...u16(value), ...u16(Math.floor(value / 2 ** 16))];
const u64 = (value: number): Bytes => [...u32(value), ...u32(Math.floor(value / 2 ** 32))];
const ascii = (text: string): Bytes => [...new TextEncoder().encode(text)];

function chunk(id: string, body: Bytes, size = body.length): Bytes {
  return [...ascii(id), ...u32(size), ...body, ...(body.length % 2 === 1 ? [0] : [])];
}

interface FormatFields {
  readonly tag?: number;
  readonly channels?: number;
  readonly rate?: number;
  readonly align?: number;
  readonly bits?: number;
}

function format({
  tag = 1,
  channels = 1,
  rate = 8000,
  bits = 16,
  align = channels * Math.ceil(bits / 8),
}: FormatFields = {}): Bytes {
  return [
    ...u16(tag),
    ...u16(channels),
    ...u32(rate),
    ...u32((rate * align) % 2 ** 32),
    ...u16(align),
    ...u16(bits),
  ];
}

function extensible(
  encoding: number,
  fields: FormatFields,
  validBits: number,
  tail: Bytes = guidTail,
): Bytes {
  return [
    ...format({ ...fields, tag: 0xfffe }),
    ...u16(22),
    ...u16(validBits),
    ...u32(3),
    ...u16(encoding),
    ...tail,
  ];
}

const guidTail = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

function riff(
  chunks: Bytes,
  options: { readonly id?: string; readonly size?: number } = {},
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...ascii(options.id ?? "RIFF"),
    ...u32(options.size ?? chunks.length + 4),
    ...ascii("WAVE"),
    ...chunks,
  ]);
}

function wav(data: Bytes, fields: FormatFields = {}): Uint8Array<ArrayBuffer> {
  return riff([...chunk("fmt ", format(fields)), ...chunk("data", data)]);
}

function samplesOf(file: Uint8Array): number[] {
  return [...decodeWav(file, "x.wav").samples];
}

function floatBytes(values: readonly number[], Type: typeof Float32Array | typeof Float64Array): Bytes {
  return [...new Uint8Array(new Type(values).buffer)];
}

describe("decodeWav", () => {
  test("scales integers of every width to -1 … 1", () => {
    expect(samplesOf(wav([0, 64, 128, 192, 255], { bits: 8 }))).toEqual([-1, -0.5, 0, 0.5, 127 / 128]);
    expect(samplesOf(wav([0x00, 0x80, 0xff, 0xff, 0, 0, 0xff, 0x7f]))).toEqual([
      -1,
      -1 / 32_768,
      0,
      32_767 / 32_768,
    ]);
    expect(samplesOf(wav([0, 0, 0x80, 0xff, 0xff, 0xff, 1, 0, 0, 0xff, 0xff, 0x7f], { bits: 24 }))).toEqual([
      -1,
      -(2 ** -23),
      2 ** -23,
      1 - 2 ** -23,
    ]);
    expect(samplesOf(wav([0, 0, 0, 0x80, 0, 0, 0, 0x40, 0xff, 0xff, 0xff, 0x7f], { bits: 32 }))).toEqual([
      -1, 0.5, 1,
    ]);
    // 12 bits fill the upper part of two bytes.
    expect(samplesOf(wav([0x00, 0x80, 0xf0, 0x7f], { bits: 12 }))).toEqual([-1, 2047 / 2048]);
  });

  test("takes floats as they are, beyond full scale too", () => {
    const values = [0, -1.5, 0.1, Infinity];
    expect(samplesOf(wav(floatBytes(values, Float32Array), { tag: 3, bits: 32 }))).toEqual([
      0,
      -1.5,
      Math.fround(0.1),
      Infinity,
    ]);
    expect(samplesOf(wav(floatBytes(values, Float64Array), { tag: 3, bits: 64 }))).toEqual([
      0,
      -1.5,
      Math.fround(0.1),
      Infinity,
    ]);
  });

  test("keeps channels interleaved and drops a frame that is not whole", () => {
    const audio = decodeWav(
      wav([0, 0x40, 0, 0xc0, 0, 0x20, 0, 0xe0, 0, 0], { channels: 2, rate: 44_100 }),
      "x.wav",
    );
    expect(audio).toEqual({
      sampleRate: 44_100,
      channels: 2,
      samples: new Float32Array([0.5, -0.5, 0.25, -0.25]),
    });
    expect(decodeWav(wav([]), "x.wav").samples.length).toBe(0);
  });

  test("reads the extensible format by its sub-format", () => {
    const file = (body: Bytes, data: Bytes) => riff([...chunk("fmt ", body), ...chunk("data", data)]);
    expect(samplesOf(file(extensible(1, { bits: 24 }, 20), [0, 0, 0xc0]))).toEqual([-0.5]);
    expect(samplesOf(file(extensible(3, { bits: 32 }, 32), floatBytes([0.75], Float32Array)))).toEqual([
      0.75,
    ]);
    expect(errorOf(() => samplesOf(file(extensible(0x55, { bits: 16 }, 16), []))).message).toBe(
      'Cannot read WAV "x.wav": its audio is MP3, not PCM or float',
    );
    const ambisonic = [0x21, 0x07, 0xd3, 0x11, 0x86, 0x44, 0xc8, 0xc1, 0xca, 0, 0, 0, 0, 0];
    expect(errorOf(() => samplesOf(file(extensible(1, { bits: 16 }, 16, ambisonic), []))).message).toBe(
      'Cannot read WAV "x.wav": its audio is of type 0x0001, not PCM or float',
    );
  });

  test("passes over other chunks, padded to even length, in any order", () => {
    const fmt = chunk("fmt ", format({ bits: 8 }));
    const data = chunk("data", [0, 128, 255]);
    const expected = [-1, 0, 127 / 128];
    expect(
      samplesOf(
        riff([
          ...chunk("LIST", [1, 2, 3]),
          ...fmt,
          ...chunk("fact", [1, 0, 0, 0]),
          ...data,
          ...chunk("id3 ", [9]),
        ]),
      ),
    ).toEqual(expected);
    expect(samplesOf(riff([...data, ...fmt]))).toEqual(expected);
    expect(samplesOf(riff([...fmt, ...data.slice(0, -1)]))).toEqual(expected); // the last padding byte left out
    expect(samplesOf(riff([...fmt, ...data, ...chunk("data", [5])]))).toEqual(expected);
  });

  test("takes the rest of the file where a writer could not fill in sizes", () => {
    const fmt = chunk("fmt ", format({ bits: 8 }));
    const unfinished = (dataSize: number, fileSize: number) =>
      samplesOf(riff([...fmt, ...chunk("data", [0, 128, 255, 64], dataSize)], { size: fileSize }));
    const expected = [-1, 0, 127 / 128, -0.5];
    expect(unfinished(0xffffffff, 0xffffffff)).toEqual(expected);
    expect(unfinished(0xffffffff, 0)).toEqual(expected);
    expect(unfinished(0, 0)).toEqual(expected);
    expect(unfinished(0, 36)).toEqual(expected);
    expect(unfinished(0, 0xffffffff)).toEqual(expected);
    expect(unfinished(0x7fffefdc, 0x7ffff000)).toEqual(expected);
    // A file that is complete by its own account and has no audio, only a title.
    expect(samplesOf(riff([...fmt, ...chunk("data", []), ...chunk("LIST", [1, 2])]))).toEqual([]);
    // A size of the whole file that is wrong changes nothing.
    expect(unfinished(4, 12)).toEqual(expected);
  });

  test("reads RF64, whose sizes have 64 bits", () => {
    const ds64 = chunk("ds64", [...u64(100), ...u64(3), ...u64(3), ...u32(0)]);
    const rest = [
      ...chunk("fmt ", format({ bits: 8 })),
      ...chunk("data", [0, 128, 255], 0xffffffff),
      ...chunk("LIST", [1, 2]),
    ];
    for (const id of ["RF64", "BW64"])
      expect(samplesOf(riff([...ds64, ...rest], { id, size: 0xffffffff }))).toEqual([-1, 0, 127 / 128]);
    const lying = chunk("ds64", [...u64(100), ...u64(2 ** 40), ...u64(3), ...u32(0)]);
    expect(errorOf(() => samplesOf(riff([...lying, ...rest], { id: "RF64" }))).message).toBe(
      'Cannot read WAV "x.wav": its data claim 1099511627776 bytes, the file has 14',
    );
  });

  const fmt = chunk("fmt ", format());
  const refused: readonly (readonly [string, Uint8Array<ArrayBuffer>, string])[] = [
    ["an empty file", new Uint8Array(0), 'it does not begin with "RIFF" and "WAVE"'],
    [
      "another RIFF file",
      Uint8Array.from([...ascii("RIFF"), ...u32(4), ...ascii("AVI ")]),
      'it does not begin with "RIFF" and "WAVE"',
    ],
    ["a big-endian file", riff([], { id: "RIFX" }), 'it does not begin with "RIFF" and "WAVE"'],
    ["no format", riff(chunk("data", [0])), 'it has no "fmt " chunk'],
    ["no data", riff(fmt), 'it has no "data" chunk'],
    [
      "a short format",
      riff([...chunk("fmt ", [1, 0]), ...chunk("data", [])]),
      "its format has 2 bytes, needs 16",
    ],
    [
      "data that are cut off",
      riff([...fmt, ...chunk("data", [1, 2], 1000)]),
      "its data claim 1000 bytes, the file has 2",
    ],
    [
      "a chunk that is cut off",
      riff([...chunk("LI\nT", [1, 2], 0xffffffff)]),
      'its chunk "LI\\nT" claims 4294967295 bytes, the file has 2',
    ],
    ["no channels", wav([], { channels: 0 }), "it has no channels"],
    ["no sample rate", wav([], { rate: 0 }), "its sample rate is 0"],
    ["no bits", wav([], { bits: 0 }), "its samples are integers of 0 bits"],
    ["64-bit integers", wav([], { bits: 64 }), "its samples are integers of 64 bits"],
    ["16-bit floats", wav([], { tag: 3, bits: 16 }), "its samples are floats of 16 bits"],
    [
      "frames of a strange size",
      wav([], { channels: 2, align: 3 }),
      "2 x 16 bits take 4 bytes, its frames have 3",
    ],
    ["mu-law", wav([], { tag: 7, bits: 8 }), "its audio is mu-law, not PCM or float"],
    ["an unknown encoding", wav([], { tag: 0x1234 }), "its audio is of type 0x1234, not PCM or float"],
  ];
  test.each(refused)("refuses %s", (_, file, reason) => {
    const error = errorOf(() => samplesOf(file));
    expect(error.message).toBe(`Cannot read WAV "x.wav": ${reason}`);
    expect(error.code).toBe(reason.includes("not PCM") ? "UNSUPPORTED" : "BAD_INPUT");
  });

  test("keeps to the limit on memory", () => {
    const limits = { ...defaultLimits, tensorBytes: 8 };
    expect(decodeWav(wav([0, 0, 0, 0]), "x.wav", limits).samples.length).toBe(2);
    expect(errorOf(() => decodeWav(wav([0, 0, 0, 0, 0, 0]), "x.wav", limits)).message).toContain(
      "more than the limit of 8",
    );
  });

  // Python's wave module and numpy: length, sum, sum of squares, the first three, three from the middle, the last.
  const models = "models/dtln-aec-128-part1-fp32/reference";
  const recordings = [
    [
      "models/basic-pitch/reference/vocadito_10.wav",
      44_100,
      401_214,
      86.98974609375,
      8809.763481469825,
      [-9.1552734375e-5, -3.0517578125e-5, -6.103515625e-5],
      [-0.00372314453125, -9.1552734375e-5, 0.00286865234375],
      -0.001220703125,
    ],
    [
      "models/silero-vad-mlmodelc/reference/test.wav",
      16_000,
      960_000,
      -47.66143798828125,
      4308.630390744656,
      [-0.004486083984375, -0.00537109375, -0.005401611328125],
      [-0.00836181640625, -0.021270751953125, -0.032928466796875],
      0.010284423828125,
    ],
    [
      `${models}/Samples/aec_challenge/farend_singletalk_processed_coreml_128.wav`,
      16_000,
      173_824,
      -2.5692138671875,
      0.009827222675085068,
      [-3.0517578125e-5, -0.0001220703125, -0.000152587890625],
      [-0.000152587890625, -0.0001220703125, -0.0001220703125],
      6.103515625e-5,
    ],
    [
      `${models}/Fixtures/farend.wav`,
      16_000,
      85_829,
      -22.368075601768204,
      1934.429589029088,
      [-0.00044854884617961943, -0.0010149385780096054, -2.3705300918663852e-5],
      [-0.00013940734788775444, -0.0001376607542624697, -0.00013168192526791245],
      0,
    ],
    [
      `${models}/Samples/aec_challenge/farend_singletalk_lpb.wav`,
      16_000,
      173_920,
      -5.969512939453125,
      682.7850824361667,
      [-3.0517578125e-5, 0, -3.0517578125e-5],
      [-0.0643310546875, -0.061767578125, -0.052886962890625],
      0.042999267578125,
    ],
  ] as const;
  test.each(recordings)(
    "reads %s as Python does",
    (file, rate, length, sum, squares, first, middle, last) => {
      const { sampleRate, channels, samples } = decodeWav(
        new Uint8Array(readFileSync(sharedPath(file))),
        file,
      );
      expect([sampleRate, channels, samples.length]).toEqual([rate, 1, length]);
      expect(samples.reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 6);
      expect(samples.reduce((a, b) => a + b * b, 0)).toBeCloseTo(squares, 6);
      const half = Math.floor(length / 2);
      expect([...samples.slice(0, 3), ...samples.slice(half, half + 3), samples.at(-1)]).toEqual([
        ...first,
        ...middle,
        last,
      ]);
    },
  );

  test("never throws anything but a CoremlxError, whatever the damage", () => {
    const files = [
      wav([1, 2, 3, 4, 5, 6, 7, 8], { channels: 2 }),
      riff([
        ...chunk("LIST", [1, 2, 3]),
        ...chunk("fmt ", extensible(3, { bits: 32 }, 32)),
        ...chunk("data", floatBytes([1, 2], Float32Array)),
      ]),
      riff(
        [
          ...chunk("ds64", [...u64(9), ...u64(2), ...u64(1), ...u32(0)]),
          ...chunk("fmt ", format()),
          ...chunk("data", [1, 2], 0xffffffff),
        ],
        { id: "RF64" },
      ),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...files).chain(damaged), (bytes) => {
        try {
          const { channels, samples } = decodeWav(bytes, "x.wav");
          expect(samples.length % channels).toBe(0);
        } catch (error) {
          expect(error).toBeInstanceOf(CoremlxError);
        }
      }),
      { seed: 9, numRuns: 3000 },
    );
  });
});

test("mixdown averages the channels of each frame", () => {
  const stereo: Audio = { sampleRate: 1, channels: 2, samples: new Float32Array([1, 0, -0.5, 0.25, 3, -3]) };
  expect([...mixdown(stereo)]).toEqual([0.5, -0.125, 0]);
  const mono: Audio = { sampleRate: 1, channels: 1, samples: new Float32Array([1, 2]) };
  expect(mixdown(mono)).toBe(mono.samples);
  expect([...mixdown({ sampleRate: 1, channels: 3, samples: new Float32Array([3, 3, 0, 1]) })]).toEqual([2]);
});

describe("resample", () => {
  function sine(hertz: number, rate: number, length: number): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate));
  }

  /** The largest difference of two signals away from their ends, where the filter reaches into the silence. */
  function difference(actual: Float32Array, expected: Float32Array, margin: number): number {
    let largest = 0;
    for (let i = margin; i < actual.length - margin; i++)
      largest = Math.max(largest, Math.abs((actual[i] ?? 0) - (expected[i] ?? 0)));
    return largest;
  }

  test.each([
    [44_100, 16_000],
    [16_000, 44_100],
    [48_000, 16_000],
    [8000, 16_000],
    [44_100, 44_101],
    [22_050, 12_345],
    [384_000, 8000],
  ])(
    "from %p Hz to %p Hz a tone stays what it is, up to 90 %% of the lower Nyquist frequency",
    (from, to) => {
      const seconds = 0.1 + 400 / Math.min(from, to);
      const lower = Math.min(from, to) / 2;
      for (const share of [0.01, 0.5, 0.9]) {
        const input = sine(lower * share, from, Math.round(from * seconds));
        const output = resample(input, from, to);
        expect(output.length).toBe(Math.ceil((input.length * to) / from));
        const margin = Math.ceil((70 * to) / Math.min(from, to));
        expect(difference(output, sine(lower * share, to, output.length), margin)).toBeLessThan(1e-4);
      }
    },
  );

  test("a tone above the new Nyquist frequency is 90 dB down", () => {
    for (const hertz of [8001, 10_000, 15_000, 22_000]) {
      const output = resample(sine(hertz, 44_100, 44_100), 44_100, 16_000);
      expect(difference(output, new Float32Array(output.length), 100)).toBeLessThan(10 ** (-90 / 20));
    }
  });

  test("a constant keeps its value, and silence surrounds the signal", () => {
    const output = resample(new Float32Array(2000).fill(0.5), 3, 2);
    expect(difference(output, new Float32Array(output.length).fill(0.5), 100)).toBeLessThan(1e-7);
    expect(output[0]).toBeLessThan(0.5);
  });

  test("gives a copy at the same rate, and nothing for nothing", () => {
    const input = new Float32Array([1, 2, 3]);
    const output = resample(input, 16_000, 16_000);
    expect(output).toEqual(input);
    expect(output).not.toBe(input);
    expect(resample(new Float32Array(0), 1, 2).length).toBe(0);
    expect(resample(new Float32Array([1]), 256, 1).length).toBe(1);
  });

  test("refuses rates it cannot serve, and results beyond the limit", () => {
    const message = (from: number, to: number) =>
      errorOf(() => resample(new Float32Array(4), from, to)).message;
    expect(message(0, 8000)).toBe(
      "Cannot resample from 0 Hz to 8000 Hz: a rate must be a positive integer, got 0",
    );
    expect(message(8000, 1.5)).toBe(
      "Cannot resample from 8000 Hz to 1.5 Hz: a rate must be a positive integer, got 1.5",
    );
    expect(message(Number.NaN, 1)).toContain("got NaN");
    expect(message(1, 257)).toBe(
      "Cannot resample from 1 Hz to 257 Hz: the rates are further apart than 1 : 256",
    );
    const limits = { ...defaultLimits, tensorBytes: 100 };
    expect(errorOf(() => resample(new Float32Array(20), 1, 2, limits)).message).toContain(
      "more than the limit of 100",
    );
  });
});
