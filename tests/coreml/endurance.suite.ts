// A hundred thousand predictions from four threads, with forced collections of garbage and threads that are terminated in
// the middle of their work: no crash, no wrong answer, nothing left behind.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { f32 } from "../../src/core/tensor.ts";
import { CoremlLibrary } from "../../src/native/coreml.ts";
import { openSession } from "../../src/runtime/session.ts";
import type { Report, Share } from "../support/coreml-worker.ts";
import { port } from "../support/program-models.ts";
import { coremlPath, standInModel } from "../support/standin.ts";
import { writeStandInPackage } from "../support/standin-package.ts";
import { tempFolder } from "../support/temp.ts";

const library = CoremlLibrary.open(coremlPath());

/** Runs a thread to its end, or terminates it at its first progress after `stopAfter` runs. */
function runThread(
  share: Share,
  stopAfter = Number.POSITIVE_INFINITY,
): Promise<{ done: number; wrong: number }> {
  const worker = new Worker(new URL("../support/coreml-worker.ts", import.meta.url).href);
  let handle = 0;
  let done = 0;
  let isStopped = false;
  return new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.addEventListener("close", () => {
      if (!isStopped) return;
      library.release(handle);
      resolve({ done, wrong: 0 });
    });
    worker.onmessage = ({ data }: MessageEvent<Report>) => {
      if (isStopped) return;
      if (data.kind === "loaded") handle = data.handle;
      else if (data.kind === "done") {
        resolve(data);
        worker.terminate();
      } else {
        done = data.done;
        if (done < stopAfter) return;
        isStopped = true;
        worker.terminate();
      }
    };
    worker.postMessage(share);
  });
}

test("100,000 predictions in four threads, eight more of which are terminated midway", async () => {
  using model = standInModel({
    inputs: [{ name: "x", shape: [4] }],
    outputs: [{ name: "x", shape: [4] }],
    scale: 2,
    backing: "padded",
  });
  const before = library.liveHandles;
  const share = { libraryPath: coremlPath(), modelPath: model.path, runs: 25_000, collectEvery: 500 };
  const lasting = Promise.all(Array.from({ length: 4 }, () => runThread(share)));
  for (let i = 0; i < 8; i++) expect((await runThread(share, 1_000)).done).toBeGreaterThanOrEqual(1_000);
  const ended = await lasting;
  expect(ended.map(({ done, wrong }) => ({ done, wrong }))).toEqual(
    Array(4).fill({ done: 25_000, wrong: 0 }),
  );
  expect(library.liveHandles).toBe(before);
});

test("a session that closes while its model answers leaves no handle, thirty times", async () => {
  using folder = tempFolder();
  const path = writeStandInPackage(join(folder.path, "Model.mlpackage"), {
    inputs: [port("x", "float32", [4])],
    outputs: [port("y", "float32", [4])],
    behaviour: { scale: 2 },
  });
  const before = library.liveHandles;
  const inputs = new Map([["x", f32([1, 2, 3, 4], [4])]]);
  let answers = 0;
  for (let round = 0; round < 30; round++) {
    await using session = await openSession({
      engine: "coreml",
      coremlPath: coremlPath(),
      cacheDir: join(folder.path, "cache"),
    });
    const model = await session.load(path, { device: "cpu", instances: 2 });
    const calls = Array.from({ length: 20 }, () =>
      model.predict(inputs).then(
        () => answers++,
        () => undefined, // the model closed before its turn came
      ),
    );
    await calls[round % 20];
    await model[Symbol.asyncDispose]();
    await Promise.all(calls);
    Bun.gc(true);
  }
  expect(answers).toBeGreaterThanOrEqual(30);
  while (library.liveHandles !== before) await new Promise((resolve) => setImmediate(resolve));
});
