// WAV files of 16 bit PCM, for tests of audio inputs.

/** `samples` frame by frame, each in [-1, 1). */
export function wavFile(
  samples: ArrayLike<number>,
  format: { readonly rate: number; readonly channels?: number },
): Uint8Array<ArrayBuffer> {
  const { rate, channels = 1 } = format;
  const dataBytes = samples.length * 2;
  const bytes = new Uint8Array(new ArrayBuffer(44 + dataBytes));
  const view = new DataView(bytes.buffer);
  const text = (at: number, value: string) => bytes.set(new TextEncoder().encode(value), at);
  text(0, "RIFF");
  view.setUint32(4, 36 + dataBytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * channels * 2, true);
  view.setUint16(32, channels * 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, dataBytes, true);
  for (let i = 0; i < samples.length; i++) view.setInt16(44 + i * 2, (samples[i] ?? 0) * 32_768, true);
  return bytes;
}
