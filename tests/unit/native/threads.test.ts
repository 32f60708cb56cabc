import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { f32, type Tensor, tensorOf, zeros } from "../../../src/core/tensor.ts";
import { clearTerminate, OnnxRuntime, setTerminate } from "../../../src/native/onnxruntime.ts";
import type { WorkerReply, WorkerRequest } from "../../support/native/run-worker.ts";
import { libraryPath, onnxModel, testFile } from "../../support/onnxruntime.ts";
import { firstHandleOf } from "../../support/native/terminate-handle.ts";

const library = await libraryPath();
const runtime = OnnxRuntime.open(library);
afterAll(() => runtime[Symbol.dispose]());

/** Inputs of the graph that multiplies matrices `count` times. */
function loopInputs(count: number): Map<string, Tensor> {
  return new Map([
    ["count", tensorOf("int64", [count], [])],
    [
      "x",
      tensorOf(
        "float32",
        Array.from({ length: 64 * 64 }, (_, i) => i),
        [64, 64],
      ),
    ],
  ]);
}

const longRun = 50_000_000; // products: some minutes, were it not stopped
const stopped = {
  kind: "failed",
  code: "INTERRUPTED",
  message: expect.stringMatching(/^Cannot run the model: .*terminate/),
};

describe("a run that is told to stop", () => {
  test("stops from another thread, and the session runs on afterwards", async () => {
    using thread = new Thread();
    const loaded = await thread.ask({ kind: "load", library, model: onnxModel("loop") });
    if (loaded.kind !== "loaded") throw new Error("not loaded");
    for (let round = 0; round < 3; round++) {
      clearTerminate(loaded.terminate);
      expect(await thread.ask({ kind: "run", inputs: loopInputs(longRun), times: 1 })).toEqual({
        kind: "running",
      });
      setTerminate(loaded.terminate);
      expect<unknown>(await thread.next()).toEqual(stopped);
      await thread.ask({ kind: "run", inputs: loopInputs(3), times: 1 });
      const x = loopInputs(3).get("x");
      expect<unknown>(await thread.next()).toEqual({ kind: "done", outputs: new Map([["y", x]]) });
    }
  });

  test("ends at once when the signal was there first, unless it is taken back", () => {
    using session = runtime.createSession(onnxModel("loop"), { threads: 1 });
    setTerminate(firstHandleOf(session));
    expect(() => session.run(loopInputs(longRun))).toThrow(expect.objectContaining({ code: "INTERRUPTED" }));
    expect(session.run(loopInputs(2)).size).toBe(1);
    setTerminate(firstHandleOf(session));
    clearTerminate(firstHandleOf(session));
    expect(session.run(loopInputs(2)).size).toBe(1);
  });
});

test("one session serves several threads at the same time", async () => {
  using session = runtime.createSession(onnxModel("add"), { threads: 1 });
  const answers = [1, 2, 3].map(async (factor) => {
    using thread = new Thread();
    await thread.ask({ kind: "borrow", library, session: session.handle });
    const x = f32([factor, factor, factor, factor], [1, 4]);
    await thread.ask({
      kind: "run",
      inputs: new Map([
        ["a", x],
        ["b", x],
      ]),
      times: 2000,
    });
    return await thread.next();
  });
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    const sum = f32(
      Array.from({ length: 4 }, () => 2 * (i + 1)),
      [1, 4],
    );
    expect(answer).toMatchObject({ kind: "done" });
    if (answer.kind === "done") expect(answer.outputs.get("sum")).toEqual(sum);
  }
});

describe("memory", () => {
  const megabytes = () => {
    Bun.gc(true);
    return process.memoryUsage.rss() / 1e6;
  };

  test("stays flat over 10,000 runs, whether they succeed, fail or change shape", async () => {
    const script = join(import.meta.dir, "../../support/run-growth.ts");
    const child = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
    const growth = Number(await child.stdout.text());
    expect(await child.exited).toBe(0);
    expect(growth).toBeLessThan(3);
  });

  test("comes back after sessions of a large model", () => {
    const cycle = () => {
      using session = runtime.createSession(onnxModel("add"), { threads: 1 });
      const x = zeros("float32", [500_000, 4]);
      session.run(
        new Map([
          ["a", x],
          ["b", x],
        ]),
      );
    };
    for (let i = 0; i < 10; i++) cycle();
    const before = megabytes();
    for (let i = 0; i < 30; i++) cycle();
    expect(megabytes() - before).toBeLessThan(40); // each cycle touches 40 MB
  });
});

/** A worker that answers in order. */
class Thread implements Disposable {
  readonly #worker = new Worker(testFile("support/native/run-worker.ts"));
  readonly #replies: WorkerReply[] = [];
  #waiting: ((reply: WorkerReply) => void) | undefined;

  constructor() {
    this.#worker.onmessage = (event: MessageEvent<WorkerReply>) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) this.#replies.push(event.data);
      else waiting(event.data);
    };
  }

  async ask(request: WorkerRequest): Promise<WorkerReply> {
    this.#worker.postMessage(request);
    return await this.next();
  }

  next(): Promise<WorkerReply> {
    const ready = this.#replies.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
