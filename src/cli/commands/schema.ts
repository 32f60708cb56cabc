// coremlx schema: the JSON Schema of a result file.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { isSchemaName, jsonSchema, schemas } from "../../suites/schemas.ts";
import { command } from "../command.ts";

export const schema = command({
  meta: { name: "schema", description: "Print the JSON Schema of a result" },
  positionals: [
    {
      name: "NAME",
      description: `what it describes: ${Object.keys(schemas).join(", ")}`,
      isRequired: true,
    },
  ],
  flags: {},
  examples: ["coremlx schema bench", "coremlx schema soak > soak.schema.json"],
  async run({ flags, positionals: [name = ""], io }) {
    if (!isSchemaName(name)) {
      throw new CoremlxError("USAGE", `Unknown schema "${name}"`, {
        hint: suggest(name, Object.keys(schemas), "The schemas are"),
      });
    }
    io.stdout(`${JSON.stringify(jsonSchema(name), undefined, flags.json ? 0 : 2)}\n`);
  },
});
