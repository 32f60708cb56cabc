// The machine of a result, in the lines that stand under a report's title.

import { formatBytes } from "../core/quantity.ts";
import type { Environment } from "../suites/machine.ts";
import type { Fact } from "./document.ts";

export function describeMachine({ device, cpu, os, tool }: Environment): readonly string[] {
  const chip = device.chip ?? cpu.model;
  const system = [device.system ?? `${os.platform} ${os.kernel}`, device.osBuild].filter(
    (part) => part !== null,
  );
  const build = tool.commit === null ? "" : ` (${tool.commit.slice(0, 12)})`;
  return [
    `${chip}, ${cpu.cores} cores · ${system.join(" ")} · ${os.arch}`,
    `coremlx ${tool.version}${build} · Bun ${tool.bun}`,
  ];
}

/** "24 November 2026, 18:20 UTC" */
export function formatMoment(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const day = date.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
  return `${day}, ${date.toISOString().slice(11, 16)} UTC`;
}

/** null is "not measured", which is not the same as no. */
export function machineFacts({ device, cpu, memoryBytes, loadAverage }: Environment): readonly Fact[] {
  const yesOrNo = (value: boolean | null) => (value === null ? "not known" : value ? "yes" : "no");
  return [
    { name: "Processor", value: device.chip ?? cpu.model },
    { name: "Cores", value: `${cpu.cores}` },
    { name: "Memory", value: formatBytes(memoryBytes) },
    { name: "Neural Engine", value: device.isNeuralEngineCapable ? "present" : "none here" },
    { name: "Virtual machine", value: yesOrNo(device.isVirtual) },
    { name: "Power source", value: device.powerSource ?? "not known" },
    { name: "Heat at the start", value: device.thermalState ?? "not measured" },
    { name: "Load before", value: loadAverage.toFixed(2), note: "programs that ran, on average" },
  ];
}
