// What decides how a compiled model comes out, as one digest: the key of its cache entry. Nothing that matters may be
// missing here; anything superfluous only costs a compilation.

import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { arch, cpus, platform } from "node:os";
import { join, resolve } from "node:path";
import { sourceDigest, version } from "../../core/version.ts";
import type { Precision } from "../../lowering/scope.ts";
import { namesIn } from "./files.ts";
import { entryFormat } from "./manifest.ts";

export interface CompileKeyParts {
  /** SHA-256 of the model. */
  readonly digest: string;
  readonly functionName: string;
  readonly precision: Precision;
  /** "ONNX Runtime 1.27.0" */
  readonly engine: string;
  /** `identifyLibrary` of the engine's library: two builds of one version need not agree. */
  readonly library: string;
}

/** SHA-256 in hexadecimal. */
export function compileKey(parts: CompileKeyParts): string {
  const { digest, functionName, precision, engine, library } = parts;
  const all = [entryFormat, digest, functionName, precision, engine, library, identifyCpu(), identifyCode()];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex");
}

let cpu: string | undefined;

/**
 * The kind of CPU, as far as it decides which kernels ONNX Runtime takes and so how it lays out weights: another
 * machine with the same text may use the same files.
 */
export function identifyCpu(): string {
  cpu ??= `${platform()} ${arch()} ${platform() === "linux" ? describeCpu(readStart("/proc/cpuinfo")) : cpuModels()}`;
  return cpu;
}

const cpuFields = new Set([
  "vendor_id",
  "cpu family",
  "model",
  "flags",
  "Features",
  "CPU implementer",
  "CPU architecture",
  "CPU part",
]);
/** Instruction sets that kernels are chosen by; the others (power, virtualisation, mitigations) come and go with the kernel. */
const cpuFlags =
  /^(?:sse|ssse|pni$|avx|fma|f16c|bmi|amx|xop|vnni|asimd|fphp|fp$|sve|sme|i8mm|bf16|dotprod|jscvt|fcma|neon|vfp)/;

/** The distinct descriptions among all cores, from the text of /proc/cpuinfo. */
export function describeCpu(text: string): string {
  const cores = text.split("\n\n").map((core) =>
    core
      .split("\n")
      .map((line) => line.split(":").map((part) => part.trim()))
      .filter(([name = ""]) => cpuFields.has(name))
      .map(([name, value = ""]) => `${name}=${/flags|features/i.test(name ?? "") ? relevant(value) : value}`)
      .join("; "),
  );
  return [...new Set(cores.filter((core) => core !== ""))].toSorted().join(" | ");
}

function relevant(flags: string): string {
  return flags
    .split(/\s+/)
    .filter((flag) => cpuFlags.test(flag))
    .toSorted()
    .join(" ");
}

function cpuModels(): string {
  return [...new Set(cpus().map(({ model }) => model))].toSorted().join(" | ");
}

/** More cores than fit here are like those that do; the kernel takes its time for each. */
const cpuinfoBytes = 64 * 1024;

function readStart(path: string): string {
  try {
    const fd = openSync(path, "r");
    try {
      const bytes = new Uint8Array(new ArrayBuffer(cpuinfoBytes));
      const text = new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes)));
      // The last core may be cut off.
      return text.includes("\n\n") ? text.slice(0, text.lastIndexOf("\n\n")) : text;
    } finally {
      closeSync(fd);
    }
  } catch {
    return cpuModels(); // no /proc here
  }
}

let code: string | undefined;

/** The sources a compiled model depends on: by digest in the executable, by size and time of change in the source tree. */
export function identifyCode(): string {
  code ??= sourceDigest ?? `${version} ${stateOfSources(resolve(import.meta.dir, "../.."))}`;
  return code;
}

const sourceFolders = ["core", "native", "codecs", "formats", "onnx", "lowering", "engines"];

function stateOfSources(root: string): string {
  const hash = createHash("sha256");
  const visit = (path: string): void => {
    for (const name of namesIn(path).toSorted()) {
      const inner = join(path, name);
      const stats = statSync(inner);
      if (stats.isDirectory()) visit(inner);
      else hash.update(`${inner.slice(root.length)} ${stats.size} ${stats.mtimeMs}\n`);
    }
  };
  for (const folder of sourceFolders) visit(join(root, folder));
  return hash.digest("hex");
}

const edgeBytes = 64 * 1024;

/**
 * Tells builds of a library apart without reading them whole: size, and a digest of the beginning (where an ELF file has
 * its build ID) and of the end (where its section table lies). Throws the system's error.
 */
export function identifyLibrary(path: string): string {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const edge = new Uint8Array(new ArrayBuffer(edgeBytes));
    const hash = createHash("sha256");
    for (const at of [0, Math.max(0, size - edgeBytes)])
      hash.update(edge.subarray(0, readSync(fd, edge, 0, edgeBytes, at)));
    return `${size}-${hash.digest("hex")}`;
  } finally {
    closeSync(fd);
  }
}
