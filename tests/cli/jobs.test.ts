import { describe, expect, test } from "bun:test";
import { digitsPackage } from "../support/digits.ts";
import { expectFailure, run } from "../support/program.ts";

const pictures = Array.from({ length: 10 }, (_, digit) => `examples/digits/digit_${digit}.png`);
const labels = (stdout: string) =>
  JSON.parse(stdout).results.map((result: { outputs: { classLabel: string } }) => result.outputs.classLabel);

describe("several files", () => {
  test("are answered in their order, however many run at once", async () => {
    const [one, three] = await Promise.all(
      ["1", "3"].map((jobs) => run(["infer", digitsPackage, ...pictures, "--jobs", jobs, "--json"])),
    );
    expect(labels(one?.stdout ?? "")).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect(labels(three?.stdout ?? "")).toEqual(labels(one?.stdout ?? ""));
  });

  test("one that cannot be read fails the run, and says which", async () => {
    const result = await run([
      "infer",
      digitsPackage,
      ...pictures,
      "examples/digits/nothing.png",
      "--jobs",
      "2",
    ]);
    expect(result.code).toBe(4);
    expect(result.stderr).toContain("nothing.png");
  });

  test("--jobs must be a number of at least 1", async () => {
    await expectFailure(["infer", digitsPackage, "--jobs", "0"], {
      exit: 2,
      code: "USAGE",
      message: /--jobs/,
      hint: undefined,
    });
  });
});

test("an engine in a process of its own gives the same answer", async () => {
  const args = ["infer", digitsPackage, "examples/digits/digit_4.png", "--json"];
  const [thread, child] = await Promise.all([run(args), run([...args, "--isolation", "process"])]);
  expect(JSON.parse(child.stdout).outputs).toEqual(JSON.parse(thread.stdout).outputs);
});
