import { expect, test } from "bun:test";
import { frameStrings } from "../../../src/codecs/string-frames.ts";

test("each string follows its length in bytes, as the protocol's binary extension has it", () => {
  expect([...frameStrings(["ab", "", "ü"])]).toEqual([
    2, 0, 0, 0, 97, 98, 0, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xbc,
  ]);
  expect(frameStrings([]).length).toBe(0);
});
