// The soak on this machine's engine: two models, two instances, faults among the calls. Seconds long, or as long as
// COREMLX_SOAK_SECONDS says: COREMLX_SOAK_SECONDS=3600 bun test tests/soak is the hour of the gate, under its limits.

import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { formatSoak, formatSoakWindow } from "../../src/cli/soak-text.ts";
import { isTensor } from "../../src/core/tensor.ts";
import { Instance } from "../../src/runtime/pool/instance.ts";
import { openSession } from "../../src/runtime/session.ts";
import { parseSoakResult } from "../../src/suites/schemas.ts";
import { runSoak, type SoakSession } from "../../src/suites/soak.ts";
import type { SoakConfiguration, SoakResult } from "../../src/suites/soak/schema.ts";
import { digitsPackage } from "../support/digits.ts";
import { soakConfiguration } from "../support/soak-model.ts";

const seconds = readSeconds(process.env["COREMLX_SOAK_SECONDS"]);
const isAsked = seconds !== undefined;
const durationMs = (seconds ?? 2) * 1_000;
const recurrent = resolve(import.meta.dir, "../fixtures/packages/gru-fixed.mlpackage");
const models = [
  { path: digitsPackage, name: "Digits" },
  { path: recurrent, name: "gru-fixed" },
];

/** Seconds on a machine that runs other tests too say nothing about the limits of an hour, but for those that are zero. */
const limits = isAsked ? soakConfiguration.limits : { ...soakConfiguration.limits, maxP99Ms: 2_000 };
const configuration: SoakConfiguration = {
  ...soakConfiguration,
  load: { mode: "closed", concurrency: 2 },
  durationMs,
  warmup: { count: null, durationMs: Math.min(60_000, durationMs / 10) },
  summaryEveryMs: Math.min(300_000, durationMs / 2),
  instances: 2,
  threads: 1,
  limits,
};
const brief: SoakConfiguration = { ...configuration, durationMs: 700, summaryEveryMs: 700 };

function readSeconds(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new Error(`Cannot read COREMLX_SOAK_SECONDS "${text}": it must be a number of seconds`);
}

function failuresOf({ verdict }: SoakResult): string[] {
  return verdict.criteria.filter(({ status }) => status === "fail").map(({ name }) => name);
}

describe("a soak of real models", () => {
  test(
    `passes for ${durationMs / 1_000} s`,
    async () => {
      await using session = await openSession();
      const result = await runSoak(session, {
        models,
        configuration: { ...configuration, faults: ["cancel", "bad-input"], faultShare: 0.01 },
        onSeries(line) {
          if (isAsked && line.type === "window") {
            process.stderr.write(
              `${formatSoakWindow(
                line,
                models.map(({ name }) => name),
              )}\n`,
            );
          }
        },
      });
      if (isAsked) process.stderr.write(`${formatSoak(result, (_, text) => text)}\n`);
      expect(failuresOf(result)).toEqual([]);
      expect(result.verdict.outcome).toBe("pass");
      for (const model of result.models) {
        expect(model).toMatchObject({ failed: 0, wrong: 0, comparison: { mode: "bits" } });
        expect(model.completed).toBeGreaterThan(0);
        expect(model.pool).toMatchObject({ breakerTrips: 0, crashes: 0 });
      }
      for (const { calls, odd } of result.faults)
        expect({ hasCalls: calls > 0, odd }).toEqual({ hasCalls: true, odd: 0 });
      expect(parseSoakResult(JSON.parse(JSON.stringify(result)), "here")).toEqual(result);
      expect(session.stats.bufferPool?.lentCount).toBe(0);
    },
    durationMs + 120_000,
  );

  test("fails for one bit of one answer, be it in the warm-up, and for nothing else", async () => {
    await using session = await openSession();
    const result = await runSoak(flipOnce(session, 100), {
      models: models.slice(0, 1),
      configuration: brief,
    });
    expect(failuresOf(result)).toEqual(["wrong answers"]);
    expect(result.models[0]?.wrong).toBe(1);
  });

  test("fails for an engine's process that is killed, and goes on with another", async () => {
    const made: Instance[] = [];
    const openInstance = (isolation: "worker" | "process") => {
      const instance = new Instance(isolation);
      made.push(instance);
      return instance;
    };
    await using session = await openSession({}, { openInstance });
    let blocks = 0;
    const result = await runSoak(session, {
      models: models.slice(0, 1),
      configuration: {
        ...brief,
        durationMs: 1_500,
        isolation: "process",
        load: { mode: "closed", concurrency: 1 },
        instances: 1,
      },
      onSeries({ type }) {
        const victim = made.find((instance) => !instance.isEnded);
        if (type === "block" && ++blocks === 3 && victim !== undefined) process.kill(victim.pid, "SIGKILL");
      },
    });
    expect(failuresOf(result)).toEqual(["failures", "crashes"]);
    expect(result.models[0]).toMatchObject({ failed: 1, wrong: 0, pool: { crashes: 1, replaced: 1 } });
    expect(result.models[0]?.failures[0]?.message).toMatch(/SIGKILL/);
    expect(result.blocks.at(-1)?.models[0]?.completed ?? 0).toBeGreaterThan(0);
  });
});

/** The session, but for one bit of one answer. */
function flipOnce(session: SoakSession, atCall: number): SoakSession {
  return {
    async load(path, options) {
      const model = await session.load(path, options);
      const predict = model.predictLeased.bind(model);
      let call = 0;
      model.predictLeased = async (inputs, limitsOfCall) => {
        const answer = await predict(inputs, limitsOfCall);
        if (++call === atCall) {
          const array = [...answer.outputs.values()].find(isTensor);
          if (array === undefined) {
            const [name = "", value] = [...answer.outputs][0] ?? [];
            const outputs = new Map(answer.outputs).set(name, typeof value === "string" ? `${value}x` : 0);
            return { ...answer, outputs, [Symbol.dispose]: () => answer[Symbol.dispose]() };
          }
          array.bytes[0] = (array.bytes[0] ?? 0) ^ 1;
        }
        return answer;
      };
      return model;
    },
  };
}
