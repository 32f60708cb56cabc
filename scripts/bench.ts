// The figures that coremlx promises, measured on this machine.
// Usage: bun run bench [GROUP...] [--predictions N] [--quick] [--check] [--json]

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeEnvironment, systemProbe } from "../src/suites/machine.ts";
import { type Figure, formatFigure, isMet } from "./bench/figure.ts";
import { measureCoreml } from "./bench/coreml.ts";
import { measureEndurance } from "./bench/endurance.ts";
import { measureFaults } from "./bench/faults.ts";
import { measureHostile } from "./bench/hostile.ts";
import { measureInstances } from "./bench/instances.ts";
import { measureOutputs } from "./bench/outputs.ts";
import { measureOverhead } from "./bench/overhead.ts";
import { measureOverload } from "./bench/overload.ts";
import { measurePeerServer } from "./bench/peer-server.ts";
import { measureHealth } from "./bench/health.ts";
import { measureServing } from "./bench/throughput.ts";
import { measureSteadyState } from "./bench/steady.ts";
import { measureVanish } from "./bench/vanish.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    predictions: { type: "string", default: "10000" },
    /** Of load: of each target in "serve", of each run in "health". */
    seconds: { type: "string", default: "60" },
    /** A tenth of the time, for a first look. */
    quick: { type: "boolean", default: false },
    /** Exit code 1 when a figure is missed. */
    check: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const groups: Readonly<Record<string, (folder: string) => Promise<Figure[]>>> = {
  steady: (folder) => measureSteadyState(folder, Number(values.predictions)),
  overhead: (folder) => measureOverhead(folder, values.quick),
  instances: (folder) => measureInstances(folder, values.quick),
  overload: (folder) => measureOverload(folder, values.quick),
  faults: (folder) => measureFaults(folder, values.quick),
  outputs: (folder) => measureOutputs(folder, values.quick),
  coreml: (folder) => measureCoreml(folder, values.quick),
  endurance: (folder) => measureEndurance(folder, values.quick),
  hostile: (folder) => measureHostile(folder, values.quick),
  vanish: (folder) => measureVanish(folder, values.quick),
  serve: (folder) => measureServing(folder, Number(values.seconds)),
  health: (folder) => measureHealth(folder, Number(values.seconds)),
  peer: (folder) => measurePeerServer(folder, values.quick),
};

const unknown = positionals.find((name) => !Object.hasOwn(groups, name));
if (unknown !== undefined) {
  console.error(`Unknown group "${unknown}": choose among ${Object.keys(groups).join(", ")}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "coremlx-bench-"));
const environment = describeEnvironment();
const measured: Record<string, { readonly otherCores: number; readonly figures: Figure[] }> = {};
try {
  const { cpu, os, tool, loadAverage } = environment;
  if (!values.json) {
    console.log(
      `${cpu.model}, ${cpu.cores} cores · ${os.platform} ${os.kernel} · Bun ${tool.bun} · load ${loadAverage.toFixed(1)}`,
    );
  }
  for (const [name, measure] of Object.entries(groups)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const startedMs = performance.now();
    const before = othersMs();
    const figures = await measure(folder);
    const otherCores = Math.max(0, othersMs() - before) / (performance.now() - startedMs);
    measured[name] = { otherCores, figures };
    if (values.json) continue;
    const others = `${name} (other programs kept ${otherCores.toFixed(2)} cores busy)`;
    console.log(["", others, ...figures.map(formatFigure)].join("\n"));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const figures = Object.values(measured).flatMap((group) => group.figures);
if (values.json) {
  const groups = Object.entries(measured).map(([name, group]) => ({
    name,
    otherCores: group.otherCores,
    figures: group.figures.map((figure) => ({ ...figure, isMet: isMet(figure) })),
  }));
  console.log(JSON.stringify({ schemaVersion: 1, environment, groups }));
}
process.exit(values.check && !figures.every(isMet) ? 1 : 0);

/** Processor time that everybody but this process has had. */
function othersMs(): number {
  const { userMs, systemMs } = systemProbe.cpuMs();
  return systemProbe.machineBusyMs() - userMs - systemMs;
}
