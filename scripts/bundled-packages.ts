// What goes into the executable besides our own code: our dependencies and theirs, by what their manifests say.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** As SPDX writes it. */
  readonly license: string | undefined;
}

export function bundledPackages(): readonly BundledPackage[] {
  const found = new Map<string, BundledPackage>();
  const visit = (manifest: Manifest) => {
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      if (found.has(name)) continue;
      const own = readManifest(join(root, "node_modules", name, "package.json"));
      found.set(name, { name, version: own.version, license: own.license });
      visit(own);
    }
  };
  visit(readManifest(join(root, "package.json")));
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Embedded by hand, not by an import. */
export function embeddedPackage(name: "bun" | "onnxruntime-node"): BundledPackage {
  const { version, license } = readManifest(join(root, "node_modules", name, "package.json"));
  return { name, version, license };
}

interface Manifest {
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, "utf8")) as Manifest; // bun install has checked it
}
