import { expect, test } from "bun:test";
import {
  factsOf,
  knownChips,
  nameChip,
  parseChip,
  poolDefaultsOf,
} from "../../../../src/engines/device/chips.ts";

test("every chip from M1 to M5 is known in its variants", () => {
  const variants = ["", " Pro", " Max", " Ultra"];
  const all = [1, 2, 3, 4, 5].flatMap((generation) => variants.map((variant) => `M${generation}${variant}`));
  expect(knownChips).toEqual(all.filter((name) => name !== "M4 Ultra" && name !== "M5 Ultra")); // never sold
});

test.each(knownChips)("%s is found by what the processor says", (name) => {
  const chip = parseChip(`Apple ${name}`);
  expect(chip && nameChip(chip)).toBe(name);
  const facts = chip && factsOf(chip);
  expect(facts?.neuralEngine).toBe(name.endsWith("Ultra") ? 32 : 16);
  for (const levels of facts?.cpu ?? []) expect(levels).toHaveLength(2);
});

test.each([
  "",
  "Apple",
  "Apple processor",
  "Apple M",
  "Apple M1x",
  "Apple M1 Pro Max",
  "Apple M123",
  "Apple A18 Pro",
])("%p is none of them", (brand) => {
  expect(parseChip(brand)).toBeUndefined();
});

test.each([
  ["Apple M1", 2, 3],
  ["Apple M2 Ultra", 2, 3],
  ["Apple M3", 3, 4],
  ["Apple M4 Max", 3, 4],
  ["Apple M9", 3, 4],
])("%s carries %i instances, and at most %i", (brand, usual, most) => {
  const chip = parseChip(brand);
  expect(chip && poolDefaultsOf(chip)).toEqual({ usual, most });
});
