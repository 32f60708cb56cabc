// Lists of strings as the protocol's BYTES tensors carry them: each behind its length, 32 bits, lowest byte first.

const encoder = new TextEncoder();

export function frameStrings(strings: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = strings.map((string) => encoder.encode(string));
  const frames = new Uint8Array(new ArrayBuffer(encoded.reduce((sum, { length }) => sum + 4 + length, 0)));
  const view = new DataView(frames.buffer);
  let at = 0;
  for (const bytes of encoded) {
    view.setUint32(at, bytes.length, true);
    frames.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  return frames;
}
