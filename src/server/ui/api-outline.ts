// An OpenAPI description as the rows that the reference shows.

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly group: string;
  readonly parameters: readonly string[];
  readonly bodies: readonly Body[];
  readonly answers: readonly Answer[];
}

export interface Body {
  readonly type: string;
  /** Undefined: bytes. */
  readonly schema: Json | undefined;
}

export interface Answer {
  readonly status: string;
  readonly description: string;
  readonly bodies: readonly Body[];
}

export type Json = Readonly<Record<string, unknown>>;

export interface ApiOutline {
  readonly title: string;
  readonly version: string;
  readonly description: string;
  /** By group, in the order of the description. */
  readonly groups: ReadonlyMap<string, readonly Operation[]>;
  readonly schemas: ReadonlyMap<string, Json>;
}

export function outlineApi(api: unknown): ApiOutline {
  const { info, paths, components } = object(api);
  const operations = Object.entries(object(paths)).flatMap(([path, methods]) =>
    Object.entries(object(methods)).map(([method, operation]) =>
      readOperation(path, method, object(operation)),
    ),
  );
  const { title, version, description } = object(info);
  return {
    title: text(title),
    version: text(version),
    description: text(description),
    groups: Map.groupBy(operations, ({ group }) => group),
    schemas: new Map(
      Object.entries(object(object(components)["schemas"])).map(([name, schema]) => [name, object(schema)]),
    ),
  };
}

function readOperation(path: string, method: string, operation: Json): Operation {
  const { operationId, summary, tags, parameters, requestBody, responses } = operation;
  return {
    id: text(operationId),
    method: method.toUpperCase(),
    path,
    summary: text(summary),
    group: text(list(tags)[0]),
    parameters: list(parameters).map((parameter) => text(object(parameter)["name"])),
    bodies: readBodies(requestBody),
    answers: Object.entries(object(responses)).map(([status, answer]) => ({
      status,
      description: text(object(answer)["description"]),
      bodies: readBodies(answer),
    })),
  };
}

function readBodies(holder: unknown): readonly Body[] {
  return Object.entries(object(object(holder)["content"])).map(([type, content]) => {
    const { schema } = object(content);
    return { type, schema: schema === undefined ? undefined : object(schema) };
  });
}

/** A JSON schema in a few words: `list of integer`, `"a" or "b"`, `Error`. */
export function describeSchema(schema: Json): string {
  const { $ref, type, anyOf, items } = schema;
  if (typeof $ref === "string") return $ref.split("/").at(-1) ?? $ref;
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (anyOf !== undefined)
    return list(anyOf)
      .map((one) => describeSchema(object(one)))
      .join(" or ");
  if (type === "array") return `list of ${describeSchema(object(items))}`;
  return typeof type === "string" ? type : "anything";
}

export interface SchemaField {
  readonly name: string;
  readonly isRequired: boolean;
  readonly schema: Json;
}

/** Of an object, or of the objects in a list. */
export function fieldsOf(schema: Json): readonly SchemaField[] {
  if (schema["type"] === "array") return fieldsOf(object(schema["items"]));
  const required = new Set(list(schema["required"]));
  return Object.entries(object(schema["properties"])).map(([name, property]) => ({
    name,
    isRequired: required.has(name),
    schema: object(property),
  }));
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
