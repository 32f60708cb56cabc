import { describe, expect, test } from "bun:test";
import { cpus } from "node:os";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  compileKey,
  type CompileKeyParts,
  describeCpu,
  identifyCode,
  identifyCpu,
  identifyLibrary,
} from "../../../../src/engines/cache/key.ts";
import { tempFolder } from "../../../support/temp.ts";

const parts: CompileKeyParts = {
  digest: "d".repeat(64),
  functionName: "main",
  precision: "float32",
  engine: "ONNX Runtime 1.27.0",
  library: "1-a",
};

describe("a key", () => {
  test("is a SHA-256, and the same for the same", () => {
    expect(compileKey(parts)).toMatch(/^[0-9a-f]{64}$/);
    expect(compileKey({ ...parts })).toBe(compileKey(parts));
  });

  test("is another when anything that decides the result is another", () => {
    const others: readonly Partial<CompileKeyParts>[] = [
      { digest: "e".repeat(64) },
      { functionName: "other" },
      { precision: "model" },
      { engine: "ONNX Runtime 1.28.0" },
      { library: "1-b" },
      // What one part loses, the next must not make up for.
      { functionName: 'main","float32' },
    ];
    const keys = [{}, ...others].map((other) => compileKey({ ...parts, ...other }));
    expect(new Set(keys).size).toBe(others.length + 1);
  });

  test("knows this machine and these sources", () => {
    expect(identifyCpu()).toStartWith(`${process.platform} ${process.arch} `);
    expect(identifyCpu().length).toBeGreaterThan(20);
    expect(identifyCode()).toMatch(/[0-9a-f]{64}$/);
    expect(cpus().length).toBeGreaterThan(0);
  });
});

describe("a CPU", () => {
  const core = (number: number, changes: Readonly<Record<string, string>> = {}) =>
    Object.entries({
      processor: String(number),
      vendor_id: "AuthenticAMD",
      "cpu family": "25",
      model: "1",
      "cpu MHz": String(2_000 + number),
      flags: "fpu sse sse2 avx avx2 fma f16c svm hypervisor",
      bugs: "sysret_ss_attrs",
      ...changes,
    })
      .map(([name, value]) => `${name}\t: ${value}\n`)
      .join("");

  test("is its make and its instruction sets, once for all cores", () => {
    expect(describeCpu([core(0), core(1)].join("\n"))).toBe(
      "vendor_id=AuthenticAMD; cpu family=25; model=1; flags=avx avx2 f16c fma sse sse2",
    );
  });

  test("is the same whatever a hypervisor or kernel adds", () => {
    const plain = describeCpu(core(0));
    expect(describeCpu(core(0, { flags: "avx2 sse fma avx f16c sse2 ibrs" }))).toBe(plain);
    expect(describeCpu(core(0, { bugs: "", "cpu MHz": "1" }))).toBe(plain);
  });

  test.each([
    ["with AVX-512", { flags: "fpu sse sse2 avx avx2 fma f16c avx512f" }],
    ["with AMX", { flags: "fpu sse sse2 avx avx2 fma f16c amx_int8" }],
    ["without FMA", { flags: "fpu sse sse2 avx avx2 f16c" }],
    ["of another model", { model: "17" }],
    ["of another maker", { vendor_id: "GenuineIntel" }],
  ])("%s is another", (_, changes) => {
    expect(describeCpu(core(0, changes))).not.toBe(describeCpu(core(0)));
  });

  test("of two kinds of cores is both", () => {
    const arm = (part: string) =>
      `processor\t: 0\nFeatures\t: fp asimd atomics asimddp i8mm\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: ${part}\n`;
    const fields = "CPU implementer=0x41; CPU architecture=8";
    expect(describeCpu([arm("0xd46"), arm("0xd4d"), arm("0xd46")].join("\n"))).toBe(
      `Features=asimd asimddp fp i8mm; ${fields}; CPU part=0xd46 | Features=asimd asimddp fp i8mm; ${fields}; CPU part=0xd4d`,
    );
  });
});

test("builds of a library of equal size differ by their beginning or their end", () => {
  using folder = tempFolder();
  const write = (name: string, at: number) => {
    const bytes = new Uint8Array(300_000);
    bytes[at] = 1;
    writeFileSync(join(folder.path, name), bytes);
    return identifyLibrary(join(folder.path, name));
  };
  expect(write("a", 600)).toBe(write("b", 600));
  expect(new Set([write("c", 0), write("d", 600), write("e", 299_999)]).size).toBe(3);
  writeFileSync(join(folder.path, "small"), "x");
  expect(identifyLibrary(join(folder.path, "small"))).toStartWith("1-");
  expect(() => identifyLibrary(join(folder.path, "missing"))).toThrow("ENOENT");
});
