// The machine of a result file. null: nobody could tell.

import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { HostCondition, HostProfile } from "../engines/device.ts";

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const text = (description: string) => nullable(Type.String({ description }));
const cores = (description: string) => nullable(Type.Integer({ minimum: 1, description }));
const record = { additionalProperties: false };

export const deviceSchema = Type.Object(
  {
    system: text("with version and build"),
    osVersion: text("of macOS: 26.5"),
    osBuild: text("of macOS: 25F71"),
    model: text("Mac16,5; elsewhere what the maker calls it"),
    chip: text("of Apple: M4 Max"),
    cpuCores: cores("that the machine has"),
    coreLevels: Type.Array(
      Type.Object({ name: Type.String(), cores: Type.Integer({ minimum: 1 }) }, record),
      {
        description: "where cores differ; the fastest first",
      },
    ),
    gpuCores: cores("of the built-in GPU"),
    isNeuralEngineCapable: Type.Boolean({
      description: "there is a Neural Engine, and no hypervisor hides it",
    }),
    neuralEngineCores: cores("of the Neural Engine"),
    isAneAvailable: nullable(Type.Boolean({ description: "Core ML offers the Neural Engine" })),
    thermalSensors: Type.Array(Type.String(), { description: "what tells how hot the machine is" }),
    cpuFeatures: Type.Array(Type.String()),
    isVirtual: nullable(Type.Boolean({ description: "times say little about the hardware" })),
    powerSource: nullable(Type.Union([Type.Literal("ac"), Type.Literal("battery"), Type.Literal("ups")])),
    isLowPowerMode: nullable(Type.Boolean()),
    thermalState: nullable(
      Type.Union([
        Type.Literal("nominal"),
        Type.Literal("fair"),
        Type.Literal("serious"),
        Type.Literal("critical"),
      ]),
    ),
  },
  { ...record, description: "the machine, and the state it was in when the measurement began" },
);

export type DeviceResult = Static<typeof deviceSchema>;

export function deviceOf(host: HostProfile, condition: HostCondition): DeviceResult {
  return {
    system: host.system ?? null,
    osVersion: host.osVersion ?? null,
    osBuild: host.osBuild ?? null,
    model: host.model ?? null,
    chip: host.chip ?? null,
    cpuCores: host.cpuCores ?? null,
    coreLevels: host.coreLevels.map(({ name, cores: count }) => ({ name, cores: count })),
    gpuCores: host.gpuCores ?? null,
    isNeuralEngineCapable: host.isNeuralEngineCapable,
    neuralEngineCores: host.neuralEngineCores ?? null,
    isAneAvailable: host.isAneAvailable ?? null,
    thermalSensors: [...host.thermalSensors],
    cpuFeatures: [...host.cpuFeatures],
    isVirtual: host.isVirtual ?? null,
    powerSource: condition.powerSource ?? null,
    isLowPowerMode: condition.isLowPowerMode ?? null,
    thermalState: condition.thermalState ?? null,
  };
}
