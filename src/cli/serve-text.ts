// What serve says once it listens: where, which models, and a command line to try one of them.

import { describeCurl, describePictureCurl } from "../server/example.ts";
import type { TensorSpec } from "../server/protocol/interface.ts";
import type { ServedModel } from "../server/repository/served-model.ts";
import { plainLine, table } from "./output.ts";

interface Served {
  readonly url: string;
  readonly models: readonly Pick<ServedModel, "name" | "version" | "ports">[];
  readonly needsKey: boolean;
}

export function formatBanner({ url, models, needsKey }: Served): string {
  const [first] = models;
  const count = models.length === 1 ? "1 model" : `${models.length} models`;
  const lead = `Serving ${count} on ${url}\n`;
  if (first === undefined) return `${lead}\nThere is none here yet: coremlx serve MODEL\n`;
  const rows = models.map(({ name, ports }) => [
    `  ${plainLine(name)}`,
    `${ports.inputs.map(describeTensor).join(", ")} → ${ports.outputs.map(describeTensor).join(", ")}`,
  ]);
  const pictureCurl = describePictureCurl(first, url);
  const tries = [describeCurl(first, url), ...(pictureCurl === undefined ? [] : [pictureCurl])];
  const key = needsKey ? `, with a key: -H "Authorization: Bearer $COREMLX_API_KEY"` : "";
  return `${lead}\n${table(rows)}\n\nTry it${key}:\n${tries.map((line) => `  ${plainLine(line)}\n`).join("")}`;
}

function describeTensor({ name, datatype, shape }: TensorSpec): string {
  return `${plainLine(name)} ${datatype} [${shape.join(", ")}]`;
}
