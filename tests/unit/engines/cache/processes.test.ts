// One compile cache, several processes, and what happens when one of them dies or the disk is full.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openCompileCache } from "../../../../src/engines/cache.ts";
import { CacheProcess, digestOf } from "../../../support/engines/cache-process.ts";
import { askWithout, loadAndAsk } from "../../../support/engines/load-through-cache.ts";
import { sharedPath } from "../../../support/shared.ts";
import { tempFolder } from "../../../support/temp.ts";
import { mounts, testWith, withMount } from "../../../support/tools.ts";

setDefaultTimeout(120_000);

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => join(temp.path, `cache-${folders++}`);

const path = sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage");
let right: string;
beforeAll(async () => {
  right = digestOf(await askWithout(path));
});

describe("processes that start together", () => {
  test.concurrent("make an entry once; all answer right", async () => {
    const folder = newFolder();
    const processes = Array.from({ length: 4 }, () => new CacheProcess({ folder, paths: [path] }));
    try {
      const answers = await Promise.all(processes.map((child) => child.next()));
      const kinds = answers.map((answer) => ("kind" in answer ? answer.kind : answer.event));
      expect(kinds.toSorted()).toEqual(["cold", "warm", "warm", "warm"]);
      for (const answer of answers)
        expect(answer).toMatchObject({ answers: right, entries: 1, warnings: [] });
      expect(readdirSync(join(folder, "drafts"))).toEqual([]);
    } finally {
      for (const child of processes) await child.kill();
    }
  });

  test.concurrent("and do not wait both make it; all answer right, and one entry is left", async () => {
    const folder = newFolder();
    await using slow = new CacheProcess({ folder, paths: [path], at: "written", event: "stop" });
    expect(await slow.next()).toEqual({ event: "stopped" });
    await using quick = new CacheProcess({ folder, paths: [path], waitMs: 0 });
    expect(await quick.next()).toMatchObject({ kind: "cold", answers: right, entries: 1, drafts: 1 });
  });
});

describe.each(["before", "written"] as const)("a process killed while it compiles (%s the files)", (at) => {
  test.concurrent("leaves a draft only, which the next one sweeps; nobody waits for it", async () => {
    const folder = newFolder();
    await using killed = new CacheProcess({ folder, paths: [path], at, event: "stop" });
    expect(await killed.next()).toEqual({ event: "stopped" });
    // As long as it lives, nobody takes its draft away.
    openCompileCache({ folder });
    openCompileCache({ folder }).prune({ maxBytes: 0 });
    expect(readdirSync(join(folder, "drafts")).length).toBe(1);
    await killed.kill();
    expect(readdirSync(join(folder, "entries"))).toEqual([]);
    const cache = openCompileCache({ folder });
    expect(readdirSync(join(folder, "drafts"))).toEqual([]);
    const next = await loadAndAsk(path, cache);
    expect([next.kind, digestOf(next.answers)]).toEqual(["cold", right]);
    expect(cache.verify()).toMatchObject({ intact: 1, damaged: [] });
  });
});

describe("an entry that a living process uses", () => {
  test.concurrent("is not pruned, nor evicted; when the process is killed, it may go", async () => {
    const folder = newFolder();
    await using user = new CacheProcess({ folder, paths: [path] });
    expect(await user.next()).toMatchObject({ kind: "cold" });
    const cache = openCompileCache({ folder, maxBytes: 20_000_000 });
    expect(cache.list().entries).toMatchObject([{ isInUse: true }]);
    expect(cache.prune({ maxBytes: 0 })).toMatchObject({ removed: [], inUse: [{ isInUse: true }] });
    const other = sharedPath("models/reference/mobilenet_v2_pal6/model.mlpackage");
    const crowded = await loadAndAsk(other, cache);
    expect(crowded).toMatchObject({ kind: "none", reason: expect.stringContaining("entries in use take") });
    await user.kill();
    expect((await loadAndAsk(other, cache)).kind).toBe("cold");
    expect(cache.list().entries).toMatchObject([{ origin: { path: other } }]);
  });
});

describe("a full disk", () => {
  for (const at of ["before", "written"] as const) {
    testWith([mounts], `is no reason not to answer (full ${at} the files), and leaves no draft`, async () => {
      const folder = newFolder();
      mkdirSync(folder, { mode: 0o700 });
      await using child = new CacheProcess(
        { folder, paths: [path, path, path], at, event: "fill" },
        (words) => withMount(folder, "size=48m,mode=0700", words),
      );
      const failed = await child.next();
      expect(failed).toMatchObject({ kind: "none", answers: right, drafts: 0, entries: 0 });
      expect(failed).toMatchObject({ warnings: [["compile cache failed", { reason: expect.any(String) }]] });
      expect(await child.next()).toMatchObject({ kind: "cold", answers: right, drafts: 0, entries: 1 });
      expect(await child.next()).toMatchObject({ kind: "warm", answers: right, drafts: 0, entries: 1 });
    });
  }

  testWith([mounts], "that is too small from the start is not even tried", async () => {
    const folder = newFolder();
    mkdirSync(folder, { mode: 0o700 });
    await using child = new CacheProcess({ folder, paths: [path] }, (words) =>
      withMount(folder, "size=8m,mode=0700", words),
    );
    expect(await child.next()).toMatchObject({
      kind: "none",
      reason: expect.stringMatching(
        /^Cannot keep the compiled model: it takes \d+ bytes, and the disk has \d+ free$/,
      ),
      answers: right,
      drafts: 0,
    });
  });
});
