import { expect, test } from "bun:test";
import { joinBytes, readBounded } from "../../../src/core/bytes.ts";

async function* pieces(...lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (const [i, length] of lengths.entries()) yield new Uint8Array(length).fill(i + 1);
}

const tooLong = () => new RangeError("too long");

test("pieces lie one after the other in memory of their own", () => {
  const parts = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)];
  const whole = joinBytes(parts);
  parts[0]?.fill(9);
  expect(whole).toEqual(Uint8Array.of(1, 2, 3));
  expect(joinBytes([])).toEqual(new Uint8Array(0));
});

test("a stream is read to its end as long as it stays within its bound", async () => {
  expect(await readBounded(pieces(2, 0, 1), 3, tooLong)).toEqual(Uint8Array.of(1, 1, 3));
  expect(await readBounded(pieces(), 0, tooLong)).toEqual(new Uint8Array(0));
});

test("a stream that is longer is not read on", async () => {
  let asked = 0;
  async function* endless() {
    for (;;) {
      asked++;
      yield new Uint8Array(2);
    }
  }
  expect(await readBounded(endless(), 3, tooLong).catch((error: unknown) => error)).toEqual(tooLong());
  expect(asked).toBe(2);
});
