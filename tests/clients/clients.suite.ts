// Judged by the clients that others use: tritonclient, the KServe SDK, perf_analyzer, schemathesis. Run by `bun run test:clients`.

import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SessionMetrics } from "../../src/runtime/metrics/metrics.ts";
import { silent } from "../../src/core/telemetry.ts";
import { digitsPackage } from "../support/digits.ts";
import {
  writeHalfModel,
  writeIntegerModel,
  writePictureModel,
  writeSumModel,
} from "../support/program-models.ts";
import { openInThisThread } from "../support/runtime/fake-instances.ts";
import { StringEngine, writeStringModel } from "../support/runtime/string-model.ts";
import { serveModels } from "../support/server/serve.ts";
import { tempFolder } from "../support/temp.ts";
import { findVenv, must, suiteCache } from "../support/venv.ts";
import { narrowSchema } from "./api-schema.ts";
import { findPerfAnalyzer } from "./perf-analyzer.ts";

const here = import.meta.dir;
const python = await findVenv(join(suiteCache, "clients"), join(here, "requirements.txt"));
const perfAnalyzer = python === undefined ? undefined : await findPerfAnalyzer(python);
const timeout = 240_000;

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const at = (name: string) => join(folder.path, `${name}.mlpackage`);
const metrics = new SessionMetrics({ telemetry: silent });
const errors: string[] = [];
const served = await serveModels(
  [
    { name: "digits", path: digitsPackage },
    { name: "sum", path: writeSumModel(at("sum")) },
    { name: "twice", path: writeIntegerModel(at("twice")) },
    { name: "row", path: writeIntegerModel(at("row"), [1, 4]) },
    { name: "half", path: writeHalfModel(at("half")) },
    { name: "picture", path: writePictureModel(at("picture")) },
    { name: "spare", path: writeSumModel(at("spare")) },
  ],
  {
    control: "explicit",
    loadAtStart: ["*"],
    metrics,
    telemetry: {
      log(level, message, fields) {
        if (level === "error") errors.push(`${message} ${JSON.stringify(fields)}`);
      },
    },
    sessionOptions: { telemetry: { ...silent, meters: metrics } },
  },
);
afterAll(() => served[Symbol.asyncDispose]());
const { host } = new URL(served.url);
const texts = await serveModels([{ name: "simple_string", path: writeStringModel(at("simple_string")) }], {
  warmUp: false, // made-up texts are no numbers
  seams: { openInstance: () => openInThisThread(() => new StringEngine()) },
});
afterAll(() => texts[Symbol.asyncDispose]());

/** The checks of a Python program, as its functions name them. */
function checksOf(program: string): readonly string[] {
  const text = readFileSync(join(here, program), "utf8");
  return [...text.matchAll(/^@check\n.*\n {4}"""(.*)"""$/gm)].map(([, name = ""]) => name);
}

describe.skipIf(python === undefined).each([
  ["tritonclient", "triton.py", served.url],
  ["tritonclient, with texts", "triton_texts.py", texts.url],
  ["the KServe SDK", "kserve_sdk.py", served.url],
])("%s", (_, program, url) => {
  const results =
    python && must([python, join(here, program), new URL(url).host], resolve(here, "../..")).then(JSON.parse);

  test.each(checksOf(program))(
    "%s",
    async (name) => {
      expect((await results)[name]).toBeNull();
    },
    timeout,
  );
});

describe.skipIf(perfAnalyzer === undefined)("perf_analyzer", () => {
  test.each([
    ["sync", ["--sync"], "twice"],
    ["async", ["--async"], "twice"],
    // In JSON it takes the first axis for a batch, and sends one element of it.
    ["JSON", ["--input-tensor-format", "json", "--output-tensor-format", "json"], "row"],
    ["a picture model", ["--sync"], "digits"],
  ] as const)(
    "comes to a stable measurement, and reads our statistics: %s",
    async (_, options, model) => {
      const measure = ["--measurement-mode", "count_windows", "--measurement-request-count", "400"];
      // A machine that others use is not steady: what is looked for is that it ends, and in numbers.
      const steady = ["--stability-percentage", "80", "--max-trials", "20", "--concurrency-range", "2"];
      const target = ["-m", model, "-u", host, "-i", "http"];
      const text = await must([...(perfAnalyzer ?? []), ...target, ...measure, ...steady, ...options]);
      const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1]);
      expect(number(/Throughput: ([\d.]+) infer\/sec/)).toBeGreaterThan(0);
      const asked = number(/Request count: (\d+)/);
      expect(asked).toBeGreaterThan(100);
      // Those on the way when it looked are counted by one side only.
      expect(Math.abs(number(/Successful request count: (\d+)/) - asked)).toBeLessThan(asked / 10);
      expect(number(/compute infer ([\d.]+) usec/)).toBeGreaterThan(0);
    },
    timeout,
  );
});

/** More with COREMLX_EXAMPLES: examples for each operation and phase. */
const examples = process.env["COREMLX_EXAMPLES"] ?? "10";

describe.skipIf(python === undefined)("schemathesis", () => {
  const checks = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
  ];

  test.each(["as it is", "with the names of models and tensors"])(
    "finds nothing undocumented in /openapi.json, %s",
    async (form) => {
      let source = [`${served.url}/openapi.json`];
      if (form !== "as it is") {
        const file = join(folder.path, "openapi.json");
        writeFileSync(file, JSON.stringify(narrowSchema((await served.get("/openapi.json")).json)));
        source = [file, "--url", served.url];
      }
      const judged = ["--checks", checks.join(","), "--phases", "coverage,fuzzing"];
      const extent = ["--max-examples", examples, "--seed", "1", "--continue-on-failure"];
      const program = join(dirname(python ?? ""), "schemathesis");
      const text = await must([program, "run", ...source, ...judged, ...extent], folder.path);
      const [, generated, passed] = /(\d+) generated, (\d+) passed/.exec(text) ?? [];
      console.log(`schemathesis, ${form}: ${generated} requests, ${passed} passed`);
      expect(Number(generated)).toBeGreaterThan(200);
      expect(passed).toBe(generated);
      expect(errors).toEqual([]);
    },
    Number(examples) * 60_000,
  );
});
