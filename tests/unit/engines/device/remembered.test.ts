import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rememberFacts } from "../../../../src/engines/device/remembered.ts";
import { tempFolder } from "../../../support/temp.ts";

const facts = { model: "Mac16,5", cpu: "Apple M4 Max", cpuCores: 16, gpuCores: 40 };

function counter() {
  let count = 0;
  return {
    find: () => (count++, facts),
    get count() {
      return count;
    },
  };
}

test("is found once for each start of the machine and build of its system, and kept for us alone", () => {
  using folder = tempFolder();
  const cacheDir = join(folder.path, "new");
  const asked = counter();
  for (const key of ["boot1 25A", "boot1 25A", "boot2 25A", "boot2 25B", "boot2 25B"]) {
    expect(rememberFacts(cacheDir, key, asked.find)).toEqual(facts);
  }
  expect(asked.count).toBe(3);
  expect(readdirSync(cacheDir)).toEqual(["host.json"]);
  expect(statSync(join(cacheDir, "host.json")).mode & 0o777).toBe(0o600);
});

test.each([
  ["no JSON", "{"],
  ["another version", '{"schemaVersion": 2, "key": "k", "facts": {}}'],
  ["no facts", '{"schemaVersion": 1, "key": "k", "facts": 3}'],
  ["more than we ever write", `{"schemaVersion": 1, "key": "k", "facts": {}${" ".repeat(20_000)}}`],
])("a file with %s is replaced", (_name, text) => {
  using folder = tempFolder();
  const path = join(folder.path, "host.json");
  writeFileSync(path, text);
  expect(rememberFacts(folder.path, "k", () => facts)).toEqual(facts);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ schemaVersion: 1, key: "k", facts });
});

test("values that cannot be are left out", () => {
  using folder = tempFolder();
  const kept = { model: 3, cpu: ["x"], cpuCores: -1, gpuCores: "40" };
  writeFileSync(join(folder.path, "host.json"), JSON.stringify({ schemaVersion: 1, key: "k", facts: kept }));
  expect(rememberFacts(folder.path, "k", () => facts)).toEqual({
    model: undefined,
    cpu: undefined,
    cpuCores: undefined,
    gpuCores: 40,
  });
});

test("a link in its place is not followed, and a folder that cannot be written is no failure", () => {
  using folder = tempFolder();
  const other = join(folder.path, "other.json");
  writeFileSync(other, JSON.stringify({ schemaVersion: 1, key: "k", facts: { ...facts, gpuCores: 1 } }));
  symlinkSync(other, join(folder.path, "host.json"));
  expect(rememberFacts(folder.path, "k", () => facts)).toEqual(facts);
  unlinkSync(join(folder.path, "host.json"));
  expect(rememberFacts(join(other, "inside"), "k", () => facts)).toEqual(facts);
});
