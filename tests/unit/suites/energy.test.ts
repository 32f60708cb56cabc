// Energy from files as the kernel's powercap interface has them (Documentation/power/powercap/powercap.rst).

import { describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openEnergyMeter } from "../../../src/suites/energy.ts";
import { tempFolder } from "../../support/temp.ts";

function zone(root: string, name: string, label: string, energy: number | string): void {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "name"), `${label}\n`);
  writeFileSync(join(folder, "max_energy_range_uj"), "10000000\n");
  writeFileSync(join(folder, "energy_uj"), `${energy}\n`);
}

describe("the energy meter", () => {
  test("adds up the packages, and nothing that is a part of one", () => {
    using folder = tempFolder();
    zone(folder.path, "intel-rapl:0", "package-0", 1_000_000);
    zone(folder.path, "intel-rapl:1", "package-1", 5_000_000);
    zone(folder.path, "intel-rapl:0:0", "core", 7);
    zone(folder.path, "intel-rapl:2", "psys", 7);
    const meter = openEnergyMeter(folder.path);
    expect([meter?.source, meter?.readJoules()]).toEqual(["RAPL, 2 packages", 0]);
    zone(folder.path, "intel-rapl:0", "package-0", 2_500_000);
    zone(folder.path, "intel-rapl:1", "package-1", 5_250_000);
    zone(folder.path, "intel-rapl:0:0", "core", 9_000_000);
    expect(meter?.readJoules()).toBe(1.75);
    expect(meter?.readJoules()).toBe(1.75);
  });

  test("goes on where a counter begins again", () => {
    using folder = tempFolder();
    zone(folder.path, "intel-rapl:0", "package-0", 9_000_000);
    const meter = openEnergyMeter(folder.path);
    zone(folder.path, "intel-rapl:0", "package-0", 1_000_000);
    expect(meter?.readJoules()).toBe(2);
  });

  test("is none where there is no such folder, or a counter is not for us", () => {
    using folder = tempFolder();
    expect(openEnergyMeter(join(folder.path, "none"))).toBeUndefined();
    expect(openEnergyMeter(folder.path)).toBeUndefined();
    zone(folder.path, "intel-rapl:0", "package-0", "secret");
    expect(openEnergyMeter(folder.path)).toBeUndefined();
  });

  test("says so once a counter is gone", () => {
    using folder = tempFolder();
    zone(folder.path, "intel-rapl:0", "package-0", 1);
    const meter = openEnergyMeter(folder.path);
    rmSync(join(folder.path, "intel-rapl:0", "energy_uj"));
    expect(meter?.readJoules()).toBeUndefined();
  });
});
