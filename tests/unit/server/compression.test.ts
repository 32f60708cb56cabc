// Compressed bodies. What is compressed here was compressed by Bun's own functions, which are other code than the server's.

import { describe, expect, test } from "bun:test";
import { deflateSync } from "node:zlib";
import { compress, decompress } from "../../../src/server/compression.ts";
import { errorText, statusOf } from "../../../src/server/status.ts";

const text = new TextEncoder().encode("core ml ".repeat(500));
const packed: readonly (readonly [string, Uint8Array<ArrayBuffer>])[] = [
  ["gzip", Bun.gzipSync(text)],
  ["zstd", new Uint8Array(Bun.zstdCompressSync(text))],
  ["deflate", new Uint8Array(deflateSync(text))],
];

async function refusalOf(work: Promise<unknown>): Promise<readonly [number, string]> {
  try {
    await work;
  } catch (error) {
    return [statusOf(error), errorText(error)];
  }
  throw new Error("Expected an error, got none");
}

describe.each(packed)("%s", (name, bytes) => {
  test("is read, whatever the case of its name", async () => {
    expect(await decompress(bytes, ` ${name.toUpperCase()}`, text.length)).toEqual(text);
  });

  test("is stopped at the limit", async () => {
    expect(await refusalOf(decompress(bytes, name, text.length - 1))).toEqual([
      413,
      `The body has more than ${text.length - 1} bytes, decompressed`,
    ]);
  });

  test("that is damaged or cut is a wrong request", async () => {
    const wrong = [400, `Cannot read the request: its ${name} data are damaged`] as const;
    expect(await refusalOf(decompress(bytes.slice(0, -6), name, text.length))).toEqual(wrong);
    expect(await refusalOf(decompress(text, name, text.length))).toEqual(wrong);
  });

  test("is written where a client asks for it", async () => {
    const compressed = await compress(text, `br, ${name};q=0.5, *;q=0.1`);
    expect(compressed?.encoding).toBe(name);
    expect(compressed?.body.length).toBeLessThan(text.length / 2);
    expect(await decompress(compressed?.body ?? text, name, text.length)).toEqual(text);
  });
});

test("a bomb costs no more than the limit", async () => {
  const bomb = Bun.gzipSync(new Uint8Array(64 * 2 ** 20));
  expect((await refusalOf(decompress(bomb, "gzip", 2 ** 20)))[0]).toBe(413);
});

test("an unknown encoding, and several at once, are refused with those there are", async () => {
  for (const name of ["br", "gzip, gzip", "x"]) {
    expect(await refusalOf(decompress(text, name, 1e9))).toEqual([
      415,
      "A body's Content-Encoding can be zstd, gzip, deflate",
    ]);
  }
  expect(await decompress(text, "identity", 1e9)).toEqual(text);
});

test.each(["", "identity", "br", "gzip;q=0", "gzip;q=x"])(
  "a client that asks for %p gets it as it is",
  async (accepted) => {
    expect(await compress(text, accepted)).toBeUndefined();
  },
);

test("small answers are not worth it, and the weight decides", async () => {
  expect(await compress(text.slice(0, 1_000), "gzip")).toBeUndefined();
  expect((await compress(text, "gzip, zstd"))?.encoding).toBe("zstd");
  expect((await compress(text, "gzip;q=0.9, zstd;q=0.8"))?.encoding).toBe("gzip");
});
