// One request as command lines to copy: curl for a POSIX shell, and Python without packages.

import type { RequestPlan } from "./request-plan.ts";

/** Beyond, the JSON goes into a file: a shell takes 128 KiB in one argument, and nobody reads so much. */
export const maxInlineLength = 32_768;

export const requestFileName = "request.json";

/** Whether the snippets read the JSON from `request.json`. */
export function needsRequestFile(plan: RequestPlan): boolean {
  return plan.kind === "json" && plan.text.length > maxInlineLength;
}

export interface SnippetTarget {
  /** Ends with a slash. */
  readonly baseUrl: string;
  /** The server wants a key: it is read from the environment, so that it is not in what is copied. */
  readonly hasKey: boolean;
}

export function curlSnippet(plan: RequestPlan, { baseUrl, hasKey }: SnippetTarget): string {
  const { file, text, mediaType } = bodyOf(plan);
  const data = file === undefined ? `-d ${quote(text)}` : `--data-binary ${quote(`@${file}`)}`;
  const key = hasKey ? ' -H "Authorization: Bearer $COREMLX_API_KEY"' : "";
  return `curl -s ${quote(baseUrl + plan.path)} -H ${quote(`Content-Type: ${mediaType}`)}${key} ${data}`;
}

export function pythonSnippet(plan: RequestPlan, { baseUrl, hasKey }: SnippetTarget): string {
  const { file, text, mediaType } = bodyOf(plan);
  const body =
    file === undefined ? `${pythonLiteral(text)}.encode()` : `open(${JSON.stringify(file)}, "rb").read()`;
  const key = hasKey ? ', "Authorization": "Bearer " + os.environ["COREMLX_API_KEY"]' : "";
  return `import json
${hasKey ? "import os\n" : ""}import urllib.request

url = ${JSON.stringify(baseUrl + plan.path)}
body = ${body}
request = urllib.request.Request(url, body, {"Content-Type": ${JSON.stringify(mediaType)}${key}})
with urllib.request.urlopen(request) as response:
    answer = json.load(response)
for output in answer["outputs"]:
    print(output["name"], output["shape"], output["data"])
`;
}

function bodyOf(plan: RequestPlan): {
  readonly file: string | undefined;
  readonly text: string;
  readonly mediaType: string;
} {
  if (plan.kind === "picture") {
    const { fileName, mediaType } = plan.picture;
    // "-" is standard input to curl.
    return { file: fileName === "-" ? "./-" : fileName, text: "", mediaType };
  }
  const file = needsRequestFile(plan) ? requestFileName : undefined;
  return { file, text: plan.text, mediaType: "application/json" };
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Raw where it can be, for reading; a JSON string means the same in Python. */
function pythonLiteral(text: string): string {
  return text.includes("\\") || text.includes("'''") ? JSON.stringify(text) : `r'''${text}'''`;
}
