// Runs in the server's own thread, and the looks at its sockets between them. Time passes only in runs here.

import { expect, test } from "bun:test";
import { ThreadTurns } from "../../../src/server/thread-turns.ts";

function makeTurns(budgetMs: number) {
  let nowMs = 0;
  const due: (() => void)[] = [];
  const turns = new ThreadTurns(budgetMs, {
    now: () => nowMs,
    afterSockets: (callback) => void due.push(callback),
  });
  const log: string[] = [];
  const run = (name: string, ms: number) =>
    turns.run(async (waitedMs) => {
      log.push(`${name} after ${waitedMs}`);
      nowMs += ms;
      return name;
    });
  const lookAtSockets = () => {
    log.push("sockets");
    for (const callback of due.splice(0)) callback();
  };
  return { run, lookAtSockets, log, due, passTime: (ms: number) => void (nowMs += ms) };
}

test("a lone run begins at once", async () => {
  const { run, log } = makeTurns(1);
  const answer = run("a", 5);
  expect(log).toEqual(["a after 0"]);
  expect(await answer).toBe("a");
});

test("runs beyond the budget wait until the sockets were looked at, in order, and know how long", async () => {
  const { run, lookAtSockets, log, due } = makeTurns(1);
  const answers = ["a", "b", "c", "d", "e"].map((name) => run(name, 0.5));
  lookAtSockets();
  answers.push(run("f", 0.5)); // comes behind those who wait
  lookAtSockets();
  expect(log).toEqual([
    "a after 0",
    "b after 0",
    "sockets",
    "c after 0", // it came when a and b had run
    "d after 0.5",
    "sockets",
    "e after 1",
    "f after 0.5",
  ]);
  lookAtSockets();
  expect(due).toEqual([]);
  expect(await Promise.all(answers)).toEqual(["a", "b", "c", "d", "e", "f"]);
});

test("a run longer than the budget is the only one of its turn", () => {
  const { run, lookAtSockets, log } = makeTurns(1);
  for (const name of ["a", "b", "c"]) void run(name, 3);
  lookAtSockets();
  lookAtSockets();
  expect(log).toEqual(["a after 0", "sockets", "b after 0", "sockets", "c after 3"]);
});

test("a turn in which nothing ran costs no further look, and the next run begins at once", () => {
  const { run, lookAtSockets, log, due } = makeTurns(1);
  void run("a", 2);
  lookAtSockets();
  expect(due).toEqual([]);
  void run("b", 2);
  expect(log).toEqual(["a after 0", "sockets", "b after 0"]);
});

test("a run that fails fails alone", async () => {
  const { run, lookAtSockets } = makeTurns(1);
  const turns = new ThreadTurns(1);
  const failing = turns.run(async () => {
    throw new Error("no");
  });
  expect(
    await failing.then(
      () => "",
      (error: Error) => error.message,
    ),
  ).toBe("no");
  expect(await turns.run(async () => "yes")).toBe("yes");
  void run("a", 2);
  const waiting = run("b", 2);
  lookAtSockets();
  expect(await waiting).toBe("b");
});
