// The few C library calls that neither Bun nor Node offers.

import { dlopen, type FFIFunction, type Pointer } from "bun:ffi";
import { closeSync, writeSync } from "node:fs";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { addressOf, cString, readCString } from "./memory.ts";

const everywhere = {
  // char *getenv(const char *name);
  getenv: { args: ["ptr"], returns: "ptr" },
  // int setenv(const char *name, const char *value, int overwrite);
  setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" },
  // void *memcpy(void *destination, const void *source, size_t byteLength);
  memcpy: { args: ["ptr", "ptr", "u64"], returns: "ptr" },
  // unsigned int alarm(unsigned int seconds);
  alarm: { args: ["u32"], returns: "u32" },
} as const satisfies Record<string, FFIFunction>;

const linux = {
  // int malloc_trim(size_t pad);
  malloc_trim: { args: ["u64"], returns: "i32" },
  // int mallopt(int parameter, int value);
  mallopt: { args: ["i32", "i32"], returns: "i32" },
  // int memfd_create(const char *name, unsigned int flags);
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  // int fcntl(int fd, int command, ...); an int in the variable part travels like any other on Linux
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
} as const satisfies Record<string, FFIFunction>;

// Bound once per thread; never closed, the process itself lives on this library.
let libc: ReturnType<typeof bindEverywhere> | undefined;
let glibc: ReturnType<typeof bindLinux> | undefined;

const bindEverywhere = () =>
  dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", everywhere).symbols;
const bindLinux = () => dlopen("libc.so.6", linux).symbols;

/**
 * Sets a variable in C's own environment; `process.env` does not reach it, and child processes do not get it.
 * Leaves it alone where it already has that value, because other threads may be reading the environment.
 */
export function setNativeEnvironment(name: string, value: string): void {
  libc ??= bindEverywhere();
  const [cName, cValue] = [cString(name), cString(value)];
  const present = libc.getenv(addressOf(cName));
  if (present !== null && readCString(present as Pointer) === value) return;
  libc.setenv(addressOf(cName), addressOf(cValue), 1);
}

/** Copies `byteLength` bytes between two places that do not overlap. Both must be that long. */
export function copyMemory(destination: Pointer, source: Pointer, byteLength: number): void {
  libc ??= bindEverywhere();
  libc.memcpy(destination, source, byteLength);
}

/** Ends this process after so many seconds by a signal, also when it hangs in native code. */
export function endProcessAfter(seconds: number): void {
  libc ??= bindEverywhere();
  libc.alarm(seconds);
}

/** Gives freed memory back to the system: glibc keeps it otherwise (175 against 370 MB after six model loads). */
export function trimHeap(): void {
  if (process.platform !== "linux") return;
  glibc ??= bindLinux();
  glibc.malloc_trim(0);
}

const mmapThreshold = -3; // M_MMAP_THRESHOLD

/**
 * Blocks from this size on go back to the system when they are freed. glibc would raise the limit with each large block, and
 * then keep what loading a model has used: 352 against 250 MB with ResNet-50.
 */
const largeBlockBytes = 1024 * 1024;

/** For the whole process, before a library allocates much. May be called again. */
export function returnLargeBlocks(): void {
  if (process.platform !== "linux") return;
  glibc ??= bindLinux();
  glibc.mallopt(mmapThreshold, largeBlockBytes);
}

const closeOnExec = 0x1;
const allowSealing = 0x2;
const executable = 0x10; // since Linux 6.3, where a system may demand it; older ones refuse the flag
const addSeals = 1033;
const everySeal = 0xf; // seal, shrink, grow, write

/** A file in memory alone, complete and sealed against change, as `/proc/self/fd/<fd>`. The caller closes `fd`. Linux only. */
export function createSealedMemory(name: string, bytes: Uint8Array<ArrayBuffer>): number {
  glibc ??= bindLinux();
  const cName = cString(name);
  let fd = glibc.memfd_create(addressOf(cName), closeOnExec | allowSealing | executable);
  if (fd < 0) fd = glibc.memfd_create(addressOf(cName), closeOnExec | allowSealing);
  if (fd < 0) throw new CoremlxError("IO", `Cannot make the memory file "${name}": the system refuses`);
  try {
    for (let written = 0; written < bytes.byteLength; ) written += writeSync(fd, bytes, written);
  } catch (error) {
    closeSync(fd);
    throw new CoremlxError("IO", `Cannot fill the memory file "${name}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  glibc.fcntl(fd, addSeals, everySeal);
  return fd;
}
