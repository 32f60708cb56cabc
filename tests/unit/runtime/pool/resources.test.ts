import { describe, expect, test } from "bun:test";
import { ResourceLedger } from "../../../../src/runtime/pool/resources.ts";

const parallel = { isSerial: false };
const claim = { model: "digits", instances: 4 };

describe("a session's resources", () => {
  test.each([
    [{ "": 1 }, /^Cannot open a session: "" is no name of a resource$/],
    [{ "a b": 1 }, /"a b" is no name of a resource/],
    [{ ["x".repeat(65)]: 1 }, /is no name of a resource/],
    [{ serial: 1 }, /the resource "serial" is the session's own/],
    [{ ane: 0 }, /resource "ane" must be a whole number of 1 to 1000000 units, got 0/],
    [{ ane: 1.5 }, /got 1.5/],
    [{ ane: Number.NaN }, /got NaN/],
    [{ ane: 1e9 }, /got 1000000000/],
    [Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`r${i}`, 1])), /33 resources are more than 32/],
  ])("cannot be %p", (resources, message) => {
    expect(() => new ResourceLedger(resources, parallel)).toThrow(
      expect.objectContaining({ code: "USAGE", message: expect.stringMatching(message) }),
    );
  });
});

describe("what a model takes", () => {
  const ledger = new ResourceLedger({ ane: 1, cpu: 4 }, parallel);

  test("says how many can run at once", () => {
    expect(ledger.claim({ ...claim, resources: { cpu: 2 } })).toEqual({
      model: "digits",
      demand: [0, 2],
      share: 0.5,
      weight: 1,
      mostAtOnce: 2,
    });
    expect(ledger.claim({ ...claim, resources: { cpu: 1, ane: 1 }, weight: 3 })).toMatchObject({
      demand: [1, 1],
      share: 1,
      weight: 3,
      mostAtOnce: 1,
    });
    expect(ledger.claim({ ...claim, instances: 2, resources: { cpu: 1 } })).toMatchObject({ mostAtOnce: 2 });
  });

  test("may be nothing", () => {
    expect(ledger.claim(claim)).toBeUndefined();
    expect(ledger.claim({ ...claim, resources: { cpu: 0 } })).toBeUndefined();
  });

  test("is one unit of a serial session, beside the rest", () => {
    const serial = new ResourceLedger({ cpu: 2 }, { isSerial: true });
    expect(serial.claim(claim)).toMatchObject({ demand: [0, 1], mostAtOnce: 1 });
    expect(serial.claim({ ...claim, resources: { cpu: 1 } })).toMatchObject({ demand: [1, 1] });
    expect(() => serial.claim({ ...claim, resources: { serial: 1 } })).toThrow('no resource "serial"');
  });

  test.each([
    [{ gpu: 1 }, 'Cannot load "digits": the session has no resource "gpu"'],
    [{ ane: 2 }, 'Cannot load "digits": it takes 2 of "ane", of which the session has 1'],
    [{ ane: -1 }, 'it takes -1 of "ane", which must be a whole number of at least 0'],
    [{ cpu: 0.5 }, 'it takes 0.5 of "cpu", which must be a whole number'],
    [{ cpu: Number.NaN }, 'it takes NaN of "cpu", which must be'],
    [{ toString: 1 }, 'no resource "toString"'],
  ])("cannot be %p", (resources, message) => {
    expect(() => ledger.claim({ ...claim, resources })).toThrow(
      expect.objectContaining({ code: "USAGE", message: expect.stringContaining(message) }),
    );
  });

  test("an unknown name is answered with the nearest", () => {
    expect(() => ledger.claim({ ...claim, resources: { ame: 1 } })).toThrow(
      expect.objectContaining({
        hint: 'Did you mean "ane"?',
        details: { model: "digits", name: "ame", resources: ["ane", "cpu"] },
      }),
    );
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-9])("no weight can be %p", (weight) => {
    expect(() => ledger.claim({ ...claim, resources: { ane: 1 }, weight })).toThrow(
      `its weight must be a number of 0.001 to 1000, got ${weight}`,
    );
  });
});
