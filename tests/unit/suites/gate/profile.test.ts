// Profiles and waivers of users: what is understood, and what is refused with its place.

import { describe, expect, test } from "bun:test";
import { gateD } from "../../../../src/suites/gate/gate-d.ts";
import { bindModels, digestProfile, parseProfile } from "../../../../src/suites/gate/profile.ts";
import { parseRegressionBaseline } from "../../../../src/suites/gate/regression.ts";
import { hasExpired, parseWaivers } from "../../../../src/suites/gate/waivers.ts";
import { errorOf } from "../../../support/codec-fixtures.ts";

const toml = `
schemaVersion = 1
name = "mine"
title = "Mine"

[models.net]
title = "Net"
digest = "${"a1".repeat(32)}"

[[criteria]]
id = "fast"
title = "It is fast"
source = "bench"
metric = "p99-ms"
model = "net"
comparison = "<"
limit = 20
unit = "ms"
places = ["any"]
`;
const mine = parseProfile(Bun.TOML.parse(toml), "mine.toml");

describe("a profile", () => {
  test("comes from TOML", () => {
    expect(mine).toEqual({
      schemaVersion: 1,
      name: "mine",
      title: "Mine",
      models: { net: { title: "Net", digest: "a1".repeat(32) } },
      criteria: [
        {
          id: "fast",
          title: "It is fast",
          source: "bench",
          metric: "p99-ms",
          model: "net",
          comparison: "<",
          limit: 20,
          unit: "ms",
          places: ["any"],
        },
      ],
    });
  });

  test("that is built in holds to the same form", () => {
    expect(parseProfile(JSON.parse(JSON.stringify(gateD)), "gate-d")).toEqual(gateD);
  });

  test.each([
    ['comparison = "<"', 'comparison = "!="', "/criteria/0/comparison: Expected union value"],
    ['source = "bench"', 'source = "guess"', "/criteria/0/source: Expected union value"],
    ["limit = 20", 'limit = "20"', "/criteria/0/limit: Expected number"],
    [
      'places = ["any"]',
      "places = []",
      "/criteria/0/places: Expected array length to be greater or equal to 1",
    ],
    ['id = "fast"', 'id = "Fast!"', "/criteria/0/id: Expected string to match '^[a-z0-9][a-z0-9-]{0,63}$'"],
    ["schemaVersion = 1", "schemaVersion = 2", "/schemaVersion: Expected 1"],
    ['metric = "p99-ms"', 'metric = "p98-ms"', '"fast" asks bench for "p98-ms"'],
    ['metric = "p99-ms"', 'metric = "constructor"', '"fast" asks bench for "constructor"'],
    ['model = "net"', 'model = "other"', '"fast" is bound to the model "other", which is not in models'],
    [
      'model = "net"',
      'model = "toString"',
      '"fast" is bound to the model "toString", which is not in models',
    ],
  ])("with %s turned into %s is refused", (from, to, message) => {
    const error = errorOf(() => parseProfile(Bun.TOML.parse(toml.replace(from, to)), "mine.toml"));
    expect(error).toMatchObject({
      code: "BAD_INPUT",
      message: `Cannot read mine.toml as a gate profile: ${message}`,
    });
  });

  test("with two criteria of one name is refused", () => {
    const twice = { ...mine, criteria: [...mine.criteria, ...mine.criteria] };
    expect(errorOf(() => parseProfile(twice, "a")).message).toEndWith('two criteria are called "fast"');
  });

  test("is bound to digests, but to no other models than its own", () => {
    const digest = "b2".repeat(32);
    expect(bindModels(mine, new Map([["net", digest]])).models).toEqual({ net: { title: "Net", digest } });
    expect(errorOf(() => bindModels(mine, new Map([["nut", digest]])))).toMatchObject({
      code: "USAGE",
      message: 'Cannot bind "nut": "mine" has no such model',
      hint: 'Did you mean "net"?',
    });
    expect(errorOf(() => bindModels(mine, new Map([["net", "abc"]]))).message).toBe(
      'Cannot bind "net" to "abc": it is no SHA-256 in hexadecimal',
    );
  });

  test("is told from another by its digest", () => {
    expect(digestProfile(mine)).toMatch(/^[0-9a-f]{64}$/);
    expect(digestProfile(bindModels(mine, new Map([["net", "b2".repeat(32)]])))).not.toBe(
      digestProfile(mine),
    );
  });
});

describe("waivers", () => {
  const waiver = { criterion: "fast", name: "Ann", reason: "slow today", expires: "2026-12-01" };
  const parse = (changes: object) => parseWaivers({ waiver: [{ ...waiver, ...changes }] }, "w.toml", mine);

  test("have a criterion, a name, a reason and a last day", () => {
    expect(parse({})).toEqual([waiver]);
    expect(parse({ place: "any" })).toEqual([{ ...waiver, place: "any" }]);
  });

  test.each([
    [{ name: "" }, "Cannot read the waivers of w.toml: /waiver/0/name: "],
    [{ reason: undefined }, "Cannot read the waivers of w.toml: /waiver/0/reason: "],
    [{ expires: "soon" }, "Cannot read the waivers of w.toml: /waiver/0/expires: "],
    [{ expires: "2026-02-30" }, 'Cannot waive "fast" until 2026-02-30: there is no such day'],
    [{ criterion: "fest" }, 'Cannot waive "fest": "mine" has no such line'],
    [{ place: "m1" }, 'Cannot waive "fast at m1": "mine" has no such line'],
    [{ forever: true }, "Cannot read the waivers of w.toml: /waiver/0/forever: "],
  ])("with %p are refused", (changes, message) => {
    const error = errorOf(() => parse(changes));
    expect(error.code).toBe("BAD_INPUT");
    expect(error.message).toStartWith(message);
  });

  test("hold until the end of their last day, everywhere in the world at once", () => {
    expect(hasExpired(waiver, Date.parse("2026-12-01T23:59:59.999Z"))).toBe(false);
    expect(hasExpired(waiver, Date.parse("2026-12-02T00:00:00.000Z"))).toBe(true);
  });
});

test("a baseline that is none is refused with the place", () => {
  expect(errorOf(() => parseRegressionBaseline({}, "b.json")).message).toStartWith(
    "Cannot read b.json as a baseline: /",
  );
});
