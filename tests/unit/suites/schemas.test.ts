import { describe, expect, test } from "bun:test";
import { isResultName, jsonSchema, parseBenchResult, parseSoakResult } from "../../../src/suites/schemas.ts";
import { benchResult } from "../../support/bench-result.ts";
import { errorOf } from "../../support/codec-fixtures.ts";

describe("a bench result", () => {
  test("that is valid is given back", () => {
    expect(parseBenchResult(JSON.parse(JSON.stringify(benchResult)), "a.json")).toEqual(benchResult);
  });

  test.each([
    ["of another version", { ...benchResult, schemaVersion: 2 }, "/schemaVersion"],
    ["of another kind", { ...benchResult, kind: "soak" }, "/kind"],
    [
      "with a number too small",
      { ...benchResult, cold: { ...benchResult.cold, openMs: -1 } },
      "/cold/openMs",
    ],
    ["with something nobody knows", { ...benchResult, extra: 1 }, "/extra"],
    ["with something missing", { ...benchResult, warnings: undefined }, "/warnings"],
  ])("%s is refused with the place", (_, value, place) => {
    const error = errorOf(() => parseBenchResult(JSON.parse(JSON.stringify(value)), "a.json"));
    expect(error).toMatchObject({ code: "BAD_INPUT", details: { source: "a.json", path: place } });
    expect(error.message).toStartWith(`Cannot read a.json as a bench result: ${place}: `);
  });

  test.each([[null], [4], ["text"], [[]]])("%p is none", (value) => {
    const error = errorOf(() => parseBenchResult(value, "a.json"));
    expect(error.message).toStartWith("Cannot read a.json as a bench result: the document: ");
  });
});

describe("the published schema", () => {
  test("stands on its own, names its version, and allows nothing it does not name", () => {
    const schema = JSON.parse(JSON.stringify(jsonSchema("bench")));
    expect(schema).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "urn:coremlx:schema:bench:1",
      type: "object",
      additionalProperties: false,
      properties: { schemaVersion: { const: 1 }, kind: { const: "bench" } },
    });
    expect(schema.required.toSorted()).toEqual(Object.keys(benchResult).toSorted());
    expect(JSON.stringify(schema)).not.toContain("$ref");
    for (const object of objectsIn(schema)) expect(object["additionalProperties"]).toBe(false);
  });

  test("of a soak stands on its own as well", () => {
    const schema = JSON.parse(JSON.stringify(jsonSchema("soak")));
    expect(schema).toMatchObject({
      $id: "urn:coremlx:schema:soak:1",
      additionalProperties: false,
      properties: { schemaVersion: { const: 1 }, kind: { const: "soak" } },
    });
    expect(JSON.stringify(schema)).not.toContain("$ref");
    const error = errorOf(() => parseSoakResult({ ...benchResult, kind: "soak" }, "a.json"));
    expect(error.message).toStartWith("Cannot read a.json as a soak result: /");
    expect(error.hint).toBe("coremlx schema soak prints what it must look like");
  });

  test("is known by the name of its command", () => {
    expect(isResultName("bench")).toBe(true);
    expect(isResultName("soak")).toBe(true);
    expect(isResultName("toString")).toBe(false);
  });
});

/** Every schema of an object, however deep. */
function* objectsIn(schema: unknown): Generator<Readonly<Record<string, unknown>>> {
  if (typeof schema !== "object" || schema === null) return;
  if ("type" in schema && schema.type === "object") yield { ...schema };
  for (const value of Object.values(schema)) yield* objectsIn(value);
}
