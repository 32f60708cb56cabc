// coremlx schema: the JSON Schema of a result file.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { isResultName, jsonSchema, resultSchemas } from "../../suites/schemas.ts";
import { command } from "../command.ts";

export const schema = command({
  meta: { name: "schema", description: "Print the JSON Schema of a result" },
  positionals: [
    {
      name: "NAME",
      description: `what makes the result: ${Object.keys(resultSchemas).join(", ")}`,
      isRequired: true,
    },
  ],
  flags: {},
  examples: ["coremlx schema bench", "coremlx schema soak > soak.schema.json"],
  async run({ flags, positionals: [name = ""], io }) {
    if (!isResultName(name)) {
      throw new CoremlxError("USAGE", `Unknown schema "${name}"`, {
        hint: suggest(name, Object.keys(resultSchemas), "The schemas are"),
      });
    }
    io.stdout(`${JSON.stringify(jsonSchema(name), undefined, flags.json ? 0 : 2)}\n`);
  },
});
