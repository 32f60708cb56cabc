// The digits example as tests use it.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { decodeImage } from "../../src/codecs/image.ts";
import type { Tensor } from "../../src/core/tensor.ts";

export const digitsPackage = resolve(import.meta.dir, "../../examples/digits/Digits.mlpackage");

/** uint8 [28, 28] */
export async function digitPicture(digit: number): Promise<Tensor> {
  const path = resolve(import.meta.dir, `../../examples/digits/digit_${digit}.png`);
  const { height, width, pixels } = await decodeImage(new Uint8Array(readFileSync(path)), path);
  return { dtype: "uint8", shape: [height, width], bytes: pixels };
}
