// A few thousand requests that nobody should send. `bun run bench hostile` sends 100,000, to a process whose memory is watched.

import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { writeIntegerModel } from "../support/program-models.ts";
import { digitsPackage } from "../support/digits.ts";
import { attack } from "../support/server/hostile-run.ts";
import { serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const failures: string[] = [];
const served = await serveModels(
  [
    { name: "digits", path: digitsPackage },
    { name: "twice", path: writeIntegerModel(join(folder.path, "twice.mlpackage")) },
  ],
  {
    control: "explicit",
    loadAtStart: ["*"],
    limits: { maxBodyBytes: 2_000_000 },
    telemetry: {
      log: (level, message, fields) =>
        level === "error" && failures.push(`${message} ${JSON.stringify(fields)}`),
    },
  },
);
afterAll(() => served[Symbol.asyncDispose]());

test("2,000 hostile requests get documented answers, and nothing fails or stays", async () => {
  const tally = await attack({
    url: served.url,
    seed: "1",
    count: 2_000,
    callers: 16,
    secrets: [folder.path, "/src/", "node_modules"],
  });
  expect({ ...tally, failures }).toEqual({
    requests: 2_000,
    answers: expect.any(Object),
    odd: [],
    failures: [],
  });
  // It was not turned away at the door: there is every sort of answer.
  for (const status of [200, 400, 403, 404, 405, 413, 415, 421])
    expect(tally.answers[status] ?? 0).toBeGreaterThan(2);
  expect(served.server.repository.find("twice", undefined).model.stats.queue.pending).toBe(0);
});
