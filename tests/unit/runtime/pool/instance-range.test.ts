import { expect, test } from "bun:test";
import { rangeFor } from "../../../../src/runtime/pool/instance-range.ts";

test.each([
  ["darwin", "Apple M1", 8, [2, 3]],
  ["darwin", "Apple M2 Max", 12, [2, 3]],
  ["darwin", "Apple M3", 8, [3, 4]],
  ["darwin", "Apple M4 Pro", 14, [3, 4]],
  ["darwin", "Apple M10", 20, [3, 4]],
  ["darwin", "Apple M1 (Virtual)", 3, [1, 1]],
  ["darwin", "Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz", 16, [1, 1]],
  ["linux", "AMD EPYC", 1, [1, 1]],
  ["linux", "AMD EPYC", 2, [2, 2]],
  ["linux", "AMD EPYC", 64, [4, 4]],
])("on %s, %s with %i cores: usually and at most %p", (platform, cpu, cores, [usual = 0, most = 0]) => {
  expect(rangeFor({ platform, cpu, cores })).toEqual({ usual, most });
});
