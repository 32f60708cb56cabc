// The bill of materials of the executable, as CycloneDX 1.6: what it is made of, in which versions, under which licences.
// Usage: bun scripts/sbom.ts > coremlx.cdx.json. The same sources give the same text.

import packageJson from "../package.json" with { type: "json" };
import { type BundledPackage, bundledPackages, embeddedPackage } from "./bundled-packages.ts";

export function billOfMaterials(): object {
  const { name, version, license } = packageJson;
  const root = componentOf({ name, version, license }, "application");
  const components = [
    componentOf(embeddedPackage("bun"), "application"),
    componentOf(embeddedPackage("onnxruntime-node"), "library"),
    ...bundledPackages().map((bundled) => componentOf(bundled, "library")),
  ];
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: root },
    components,
    dependencies: [{ ref: root["bom-ref"], dependsOn: components.map((component) => component["bom-ref"]) }],
  };
}

interface Component {
  readonly type: "application" | "library";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly { readonly expression: string }[];
}

function componentOf({ name, version, license }: BundledPackage, type: Component["type"]): Component {
  // The @ of a scope is escaped in a package URL.
  const purl = `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
  return {
    type,
    "bom-ref": purl,
    name,
    version,
    purl,
    ...(license !== undefined && { licenses: [{ expression: license.replace(/^\((.*)\)$/, "$1") }] }),
  };
}

if (import.meta.main) console.log(JSON.stringify(billOfMaterials(), undefined, 2));
