// A machine as a person reads it.

import type { HostCondition, HostProfile } from "../runtime/session.ts";
import { formatBytes } from "../core/quantity.ts";

/** Rows of a name and what there is to say; what nobody knows has no row. */
export function hostRows(host: HostProfile, condition: HostCondition): string[][] {
  const rows: [string, string | undefined][] = [
    ["system", [...known(host.system), `${host.platform} ${host.kernel}`, host.arch].join(", ")],
    ["machine", machineOf(host)],
    ["cores", coresOf(host)],
    ["GPU", host.gpuCores === undefined ? undefined : `${host.gpuCores} cores`],
    ["Neural Engine", neuralEngineOf(host)],
    ["memory", formatBytes(host.memoryBytes)],
    ["power", powerOf(condition)],
    ["heat", heatOf(host, condition)],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== undefined);
}

function known(text: string | undefined): string[] {
  return text === undefined ? [] : [text];
}

function machineOf({ model, isVirtual }: HostProfile): string | undefined {
  const parts = [...known(model), ...(isVirtual === true ? ["virtual machine"] : [])];
  return parts.length === 0 ? undefined : parts.join(", ");
}

/** "4 super + 6 efficiency, 10 of them for this process" */
function coresOf({ coreLevels, cpuCores, cores }: HostProfile): string | undefined {
  if (cpuCores === undefined && coreLevels.length === 0) return undefined;
  const kinds = coreLevels.map((level) => `${level.cores} ${level.name.toLowerCase()}`).join(" + ");
  const all = kinds === "" ? String(cpuCores) : kinds;
  return `${all}; this process may use ${cores} processors`;
}

function neuralEngineOf(host: HostProfile): string | undefined {
  if (host.platform !== "darwin") return undefined;
  if (!host.isNeuralEngineCapable) return host.isVirtual === true ? "none in a virtual machine" : "none";
  const count = host.neuralEngineCores === undefined ? "present" : `${host.neuralEngineCores} cores`;
  return host.isAneAvailable === true ? `${count}, offered by Core ML` : `${count}; Core ML was not asked`;
}

function powerOf({ powerSource, isLowPowerMode }: HostCondition): string | undefined {
  const names = { ac: "mains", battery: "battery", ups: "UPS" };
  const parts = [
    ...(powerSource === undefined ? [] : [names[powerSource]]),
    ...(isLowPowerMode === true ? ["low power mode"] : []),
  ];
  return parts.length === 0 ? undefined : parts.join(", ");
}

function heatOf({ thermalSensors }: HostProfile, { thermalState }: HostCondition): string | undefined {
  if (thermalState === undefined && thermalSensors.length === 0) return undefined;
  return [...known(thermalState), ...known(thermalSensors.join(", ") || undefined)].join("; ");
}
