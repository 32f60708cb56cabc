import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { billOfMaterials } from "../../../scripts/sbom.ts";
import packageJson from "../../../package.json" with { type: "json" };

test("every dependency, Bun and ONNX Runtime are in the bill of materials, in the locked versions", () => {
  const bill = JSON.parse(JSON.stringify(billOfMaterials()));
  expect(bill).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6", version: 1 });
  const listed: { name: string; version: string; purl: string; licenses: unknown }[] = bill.components;
  const lock = readFileSync(resolve(import.meta.dir, "../../../bun.lock"), "utf8");
  for (const { name, version, purl, licenses } of listed) {
    expect(lock).toContain(`"${name}@${version}"`);
    expect(purl).toBe(`pkg:npm/${name.replace("@", "%40")}@${version}`);
    expect(licenses).toEqual([{ expression: expect.stringMatching(/^[\w.+-]+( (AND|OR) [\w.+-]+)*$/) }]);
  }
  const names = listed.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining([...Object.keys(packageJson.dependencies), "bun", "onnxruntime-node"]),
  );
  expect(new Set(names).size).toBe(names.length);
  const refs = listed.map(({ purl }) => purl);
  expect(bill.dependencies).toEqual([{ ref: `pkg:npm/coremlx@${packageJson.version}`, dependsOn: refs }]);
});
