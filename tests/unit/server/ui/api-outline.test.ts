// An OpenAPI description as rows for the reference.

import { describe, expect, test } from "bun:test";
import { routes } from "../../../../src/server/app.ts";
import { describeApi } from "../../../../src/server/openapi.ts";
import { describeSchema, fieldsOf, outlineApi } from "../../../../src/server/ui/api-outline.ts";

test("every route of the server is in it, under its group", () => {
  const { groups } = outlineApi(JSON.parse(JSON.stringify(describeApi(routes))));
  const rows = [...groups].flatMap(([group, operations]) =>
    operations.map(({ method, path, summary }) => [group, method, path, summary].join(" ")),
  );
  expect(rows.toSorted()).toEqual(
    routes.map(({ group, method, path, summary }) => [group, method, path, summary].join(" ")).toSorted(),
  );
});

test("an operation has its parameters, bodies and answers", () => {
  const schema = { $ref: "#/components/schemas/Error" };
  const api = {
    info: { title: "t", version: "1", description: "d" },
    paths: {
      "/a/{b}": {
        post: {
          operationId: "o",
          summary: "s",
          tags: ["g"],
          parameters: [{ name: "b", in: "path" }],
          requestBody: { content: { "image/*": {} } },
          responses: { "404": { description: "gone", content: { "application/json": { schema } } } },
        },
      },
    },
    components: { schemas: { Error: { type: "object" } } },
  };
  expect(outlineApi(api)).toEqual({
    title: "t",
    version: "1",
    description: "d",
    groups: new Map([
      [
        "g",
        [
          {
            id: "o",
            method: "POST",
            path: "/a/{b}",
            summary: "s",
            group: "g",
            parameters: ["b"],
            bodies: [{ type: "image/*", schema: undefined }],
            answers: [{ status: "404", description: "gone", bodies: [{ type: "application/json", schema }] }],
          },
        ],
      ],
    ]),
    schemas: new Map([["Error", { type: "object" }]]),
  });
});

test("what is no description gives an empty one", () => {
  for (const api of [null, 5, [], { paths: [] }, { paths: { "/": 3 } }]) {
    expect(outlineApi(api)).toMatchObject({ groups: new Map(), schemas: new Map() });
  }
});

describe("a schema", () => {
  test.each([
    [{ type: "string" }, "string"],
    [{ $ref: "#/components/schemas/Error" }, "Error"],
    [{ type: "array", items: { type: "integer" } }, "list of integer"],
    [{ anyOf: [{ const: "a" }, { type: "number" }] }, '"a" or number'],
    [{}, "anything"],
  ])("%o in words", (schema, words) => {
    expect(describeSchema(schema)).toBe(words);
  });

  test("has its fields, also behind a list", () => {
    const schema = { properties: { a: { type: "string" }, b: {} }, required: ["a"] };
    const fields = [
      { name: "a", isRequired: true, schema: { type: "string" } },
      { name: "b", isRequired: false, schema: {} },
    ];
    expect([fieldsOf(schema), fieldsOf({ type: "array", items: schema }), fieldsOf({})]).toEqual([
      fields,
      fields,
      [],
    ]);
  });
});
