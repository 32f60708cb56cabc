// Which instances memory recycles, and when it stops doing so.

import { expect, test } from "bun:test";
import type { LogFields } from "../../../../src/core/telemetry.ts";
import { readAnonymousBytes } from "../../../../src/runtime/pool/anonymous-bytes.ts";
import { MemoryRecycler } from "../../../../src/runtime/pool/memory-recycler.ts";
import type { PoolMember } from "../../../../src/runtime/pool/pool-member.ts";

const mebi = 1024 ** 2;
const limitBytes = 100 * mebi;

interface Member extends PoolMember {
  readonly pid: number;
}

function member(pid: number): Member {
  return { pid, served: 0, isEnded: false, isKillable: true, abandon() {}, async [Symbol.asyncDispose]() {} };
}

/** A machine of which the test says everything: processes, their memory, and when time passes. */
function openMachine(options: { readonly areProcesses: boolean }) {
  const bytes = new Map<number, number>();
  const instances = new Set<Member>();
  const recycled: (number | "all")[] = [];
  const events: { readonly event: string; readonly fields: LogFields | undefined }[] = [];
  const machine = {
    bytes,
    instances,
    recycled,
    events,
    predictions: 0,
    isAlone: true,
    isReplacing: false,
    pooledBytes: 0,
    isTicking: true,
    tick: () => {},
  };
  const recycler = new MemoryRecycler<Member>({
    ...options,
    model: "m",
    limitBytes,
    pool: {
      instances,
      get isReplacing() {
        return machine.isReplacing;
      },
      recycle: ({ pid }, reason) => void (reason === "memory" && recycled.push(pid ?? 0)),
      recycleAll: (reason) => void (reason === "memory" && recycled.push("all")),
    },
    predictions: () => machine.predictions,
    isAlone: () => machine.isAlone,
    pooledBytes: () => machine.pooledBytes,
    telemetry: { log: (_, event: string, fields?: LogFields) => void events.push({ event, fields }) },
    readBytes: (pid) => bytes.get(pid),
    every: (_, tick) => {
      machine.tick = tick;
      return { [Symbol.dispose]: () => void (machine.isTicking = false) };
    },
  });
  /** Time goes by: `change` first, then a look at the memory. */
  const pass = (times: number, change: () => void) => {
    for (let i = 0; i < times; i++) {
      change();
      machine.tick();
    }
  };
  return { machine, recycler, pass };
}

test("of several processes the one that leaks is recycled, once, with an event that says how much", () => {
  const { machine, pass } = openMachine({ areProcesses: true });
  const [leaky, sound] = [member(11), member(12)];
  machine.instances.add(leaky).add(sound);
  machine.bytes.set(11, 50 * mebi).set(12, 50 * mebi);
  pass(20, () => {
    for (const one of machine.instances) one.served += 10;
    machine.bytes.set(11, (machine.bytes.get(11) ?? 0) + 10 * mebi);
  });
  expect(machine.recycled).toEqual([11]);
  expect(machine.events).toEqual([
    {
      event: "memory grows",
      fields: { model: "m", pid: 11, growthBytes: 140 * mebi, predictions: 140, bytesPerPrediction: mebi },
    },
  ]);
});

test("a process that is gone or of which nothing is known is left alone", () => {
  const { machine, pass } = openMachine({ areProcesses: true });
  const unknown = member(11);
  machine.instances.add(unknown);
  pass(50, () => unknown.served++);
  expect(machine.recycled).toEqual([]);
});

/** The threads' process grows by `mebis` with each prediction. */
function grow(machine: ReturnType<typeof openMachine>["machine"], mebis: number): void {
  machine.predictions++;
  machine.bytes.set(process.pid, (machine.bytes.get(process.pid) ?? 0) + mebis * mebi);
}

test("threads are recycled together, again and again as long as it helps", () => {
  const { machine, pass } = openMachine({ areProcesses: false });
  for (let round = 1; round <= 3; round++) {
    pass(15, () => grow(machine, 10));
    expect(machine.recycled).toHaveLength(round);
    machine.isReplacing = true;
    pass(5, () => grow(machine, 10)); // what the old load still costs is not judged
    machine.isReplacing = false;
    machine.bytes.set(process.pid, 50 * mebi);
  }
  expect(machine.recycled).toEqual(["all", "all", "all"]);
});

test("when it did not help, the growth was not the model's: that is said once, and memory recycles it no more", () => {
  const { machine, pass } = openMachine({ areProcesses: false });
  pass(200, () => grow(machine, 10));
  expect(machine.recycled).toEqual(["all"]);
  expect(machine.events.map(({ event }) => event)).toEqual(["memory grows", "recycling did not help"]);
});

test("threads beside another model's are not blamed, nor for what the session keeps for reuse", () => {
  const { machine, pass } = openMachine({ areProcesses: false });
  machine.isAlone = false;
  pass(50, () => grow(machine, 10));
  machine.isAlone = true;
  pass(50, () => {
    grow(machine, 10);
    machine.pooledBytes += 10 * mebi;
  });
  expect(machine.recycled).toEqual([]);
});

test("closing ends the looking", () => {
  const { machine, recycler } = openMachine({ areProcesses: false });
  recycler[Symbol.dispose]();
  expect(machine.isTicking).toBe(false);
});

/** A process that holds so much memory of its own, and says when it does. */
async function withBallast<T>(bytes: number, use: (pid: number) => T): Promise<T> {
  const body = `const ballast = new Uint8Array(new ArrayBuffer(${bytes})).fill(1);
    process.stdout.write("ready"); setInterval(() => ballast[0], 1_000);`;
  const child = Bun.spawn([process.execPath, "-e", body], { stdout: "pipe" });
  try {
    await child.stdout.getReader().read();
    return use(child.pid);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

test("the memory of a process is known while it lives, and not afterwards", async () => {
  let pid = 0;
  const read = (of: number) => readAnonymousBytes((pid = of)) ?? 0;
  const [light, heavy] = [await withBallast(mebi, read), await withBallast(256 * mebi, read)];
  // What a bare runtime takes differs from start to start by a few MB.
  expect(heavy - light).toBeGreaterThan(200 * mebi);
  expect(heavy - light).toBeLessThan(310 * mebi);
  expect(readAnonymousBytes(pid)).toBeUndefined();
  expect(readAnonymousBytes(process.pid)).toBeGreaterThan(mebi);
});
