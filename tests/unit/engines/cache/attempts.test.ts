import { afterAll, expect, test } from "bun:test";
import { chmodSync, linkSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Attempt, AttemptLog } from "../../../../src/engines/cache/attempts.ts";
import { tempFolder } from "../../../support/temp.ts";

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;

function newFolder(): string {
  const path = join(temp.path, String(folders++));
  mkdirSync(path);
  return path;
}

function begin(log: AttemptLog, state = "as it is"): Attempt {
  const begun = log.begin("model", state);
  if ("objection" in begun) throw new Error(begun.objection);
  return begun;
}

function fail(log: AttemptLog, reason: string, state?: string): void {
  using attempt = begin(log, state);
  attempt.fail(reason);
}

test("nothing speaks against a first attempt, and one at a time may make it", () => {
  const folder = newFolder();
  const [log, other] = [new AttemptLog(folder), new AttemptLog(folder)];
  expect(log.objection("model", "as it is")).toBeUndefined();
  const attempt = begin(log);
  expect(other.objection("model", "as it is")).toBe("it is being compiled");
  expect(other.begin("model", "as it is")).toEqual({ objection: "it is being compiled" });
  expect(other.objection("another model", "as it is")).toBeUndefined();
  attempt[Symbol.dispose]();
  attempt[Symbol.dispose]();
  expect(other.objection("model", "as it is")).toBeUndefined();
});

test("success leaves nothing behind", () => {
  const folder = newFolder();
  const log = new AttemptLog(folder);
  fail(log, "full");
  using attempt = begin(log);
  attempt.succeed();
  expect(readdirSync(folder)).toEqual([]);
});

test("after three failures of the same model there is no fourth attempt", () => {
  const log = new AttemptLog(newFolder());
  for (const reason of ["full", "still full", "too large"]) {
    expect(log.objection("model", "as it is")).toBeUndefined();
    fail(log, reason);
  }
  const objection = "it failed 3 times: too large";
  expect(log.objection("model", "as it is")).toBe(objection);
  expect(log.begin("model", "as it is")).toEqual({ objection });
});

test("an attempt that ended without a word failed", () => {
  const log = new AttemptLog(newFolder());
  for (let i = 0; i < 3; i++) begin(log)[Symbol.dispose]();
  expect(log.objection("model", "as it is")).toBe("it failed 3 times: it did not come to an end");
});

test("a changed model is another, and counts anew", () => {
  const log = new AttemptLog(newFolder());
  for (let i = 0; i < 3; i++) fail(log, "full");
  expect(log.objection("model", "changed")).toBeUndefined();
  fail(log, "full", "changed");
  expect(log.objection("model", "changed")).toBeUndefined();
});

const record = (changes: object) =>
  JSON.stringify({ state: "as it is", attempts: 3, atEpochMs: Date.now(), reason: "full", ...changes });

test.each([
  ["of yesterday", record({ atEpochMs: Date.now() - 25 * 60 * 60_000 })],
  ["of tomorrow", record({ atEpochMs: Date.now() + 60 * 60_000 })],
  ["without a count", record({ attempts: "many" })],
  ["without a reason", record({ reason: undefined })],
  ["that is no JSON", "{"],
  ["that is no object", "3"],
  ["that is empty", ""],
  ["that is huge", record({ reason: "x".repeat(100_000) })],
])("a note %s counts for nothing", (_, text) => {
  const folder = newFolder();
  writeFileSync(join(folder, "model"), text, { mode: 0o600 });
  const log = new AttemptLog(folder);
  expect(log.objection("model", "as it is")).toBeUndefined();
  fail(log, "full");
  fail(log, "full");
  expect(log.objection("model", "as it is")).toBeUndefined();
});

test("the note from which these were made does count", () => {
  const folder = newFolder();
  writeFileSync(join(folder, "model"), record({}), { mode: 0o600 });
  expect(new AttemptLog(folder).objection("model", "as it is")).toBe("it failed 3 times: full");
});

test.each([
  ["can be written by others", (path: string) => (writeFileSync(path, ""), chmodSync(path, 0o666))],
  ["has 2 names", (path: string) => (writeFileSync(path, ""), linkSync(path, `${path}-too`))],
] as const)("a note that %s is not written to", (problem, make) => {
  const folder = newFolder();
  make(join(folder, "model"));
  expect(new AttemptLog(folder).begin("model", "as it is")).toEqual({
    objection: `the note about it ${problem}`,
  });
});

test("a link is not followed", () => {
  const folder = newFolder();
  symlinkSync("/etc/passwd", join(folder, "model"));
  const log = new AttemptLog(folder);
  expect(log.objection("model", "as it is")).toBeUndefined();
  expect(() => log.begin("model", "as it is")).toThrow("ELOOP");
});

test("pruning removes notes of the day before yesterday, and no others", () => {
  const folder = newFolder();
  const log = new AttemptLog(folder);
  fail(log, "full");
  writeFileSync(join(folder, "old"), "");
  utimesSync(join(folder, "old"), 1_000, 1_000);
  log.prune();
  expect(readdirSync(folder)).toEqual(["model"]);
});
