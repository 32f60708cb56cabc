// What the kernel offers for memory and files and neither Bun nor Node do: mapping, reserving, locking, sealing.

import { dlopen, type FFIFunction, FFIType, type Pointer, read } from "bun:ffi";
import { constants } from "node:os";
import { CoremlxError } from "../core/errors.ts";
import { addressOf, cString } from "./memory.ts";

const everywhere = {
  // void *mmap(void *address, size_t byteLength, int protection, int flags, int fd, off_t offset);
  mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: FFIType.i64_fast },
  // int munmap(void *address, size_t byteLength);
  munmap: { args: ["ptr", "u64"], returns: "i32" },
  // int getpagesize(void);
  getpagesize: { args: [], returns: "i32" },
  // int flock(int fd, int operation);
  flock: { args: ["i32", "i32"], returns: "i32" },
} as const satisfies Record<string, FFIFunction>;

const linux = {
  // int madvise(void *address, size_t byteLength, int advice);
  madvise: { args: ["ptr", "u64", "i32"], returns: "i32" },
  // int posix_fallocate(int fd, off_t offset, off_t byteLength); returns the error itself
  posix_fallocate: { args: ["i32", "i64", "i64"], returns: "i32" },
  // int linkat(int fromFolder, const char *from, int toFolder, const char *to, int flags);
  linkat: { args: ["i32", "ptr", "i32", "ptr", "i32"], returns: "i32" },
  // int memfd_create(const char *name, unsigned int flags);
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  // int fcntl(int fd, int command, ...); an int in the variable part travels like any other on Linux
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  // int *__errno_location(void);
  __errno_location: { args: [], returns: "ptr" },
} as const satisfies Record<string, FFIFunction>;

const darwin = {
  // int fcntl(int fd, int command, ...); on Apple silicon the variable part lies on the stack, which an ordinary call
  // reaches with its ninth argument, once eight have filled the registers
  fcntl: { args: ["i32", "i32", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int *__error(void);
  __error: { args: [], returns: "ptr" },
} as const satisfies Record<string, FFIFunction>;

// Bound once per thread, all at the same time: binding between a call and the look at its errno would change that.
// Never closed, the process itself lives on this library.
let bound: ReturnType<typeof bind> | undefined;

function bind() {
  const isDarwin = process.platform === "darwin";
  const library = isDarwin ? "libSystem.B.dylib" : "libc.so.6";
  return {
    ...dlopen(library, everywhere).symbols,
    linux: isDarwin ? undefined : dlopen(library, linux).symbols,
    darwin: isDarwin ? dlopen(library, darwin).symbols : undefined,
  };
}

function calls() {
  bound ??= bind();
  return bound;
}

function linuxCalls() {
  const found = calls().linux;
  if (found === undefined) throw new CoremlxError("INTERNAL", "Cannot call a function of Linux here");
  return found;
}

const readWrite = 0x3;
const mapShared = 0x1;
const mapPrivate = 0x2;
const mapAnonymous = process.platform === "darwin" ? 0x1000 : 0x20;
const hugePageAdvice = 14;

/** Bytes of one page of memory: 4,096, or 16,384 on Apple silicon. */
export function pageByteLength(): number {
  return calls().getpagesize();
}

/**
 * The address of fresh zero pages ("anonymous"), of a file that others see change ("shared"), or of a file whose
 * changes stay with us ("private"). Throws OVERLOADED when the system has no room left. The caller unmaps.
 */
export function mapMemory(
  byteLength: number,
  source: { readonly kind: "anonymous" } | { readonly kind: "shared" | "private"; readonly fd: number },
): number {
  const flags =
    source.kind === "anonymous"
      ? mapPrivate | mapAnonymous
      : source.kind === "shared"
        ? mapShared
        : mapPrivate;
  const fd = source.kind === "anonymous" ? -1 : source.fd;
  const address = Number(calls().mmap(null, byteLength, readWrite, flags, fd, 0));
  if (address !== -1) return address;
  const reason = lastErrno();
  throw new CoremlxError(
    reason === "ENOMEM" || reason === "EAGAIN" ? "OVERLOADED" : "IO",
    `Cannot map ${byteLength} bytes of memory: ${reason}`,
    { details: { byteLength, errno: reason } },
  );
}

/** Gives mapped memory back at once. Nobody may touch it afterwards: that would end the process. */
export function unmapMemory(address: number, byteLength: number): void {
  calls().munmap(address as Pointer, byteLength);
}

/** Asks for large pages, which fault in 512 times less often (1.3 against 7.5 ms for 10 MB). Only ever a wish. */
export function adviseHugePages(address: number, byteLength: number): void {
  if (process.platform !== "linux") return;
  linuxCalls().madvise(address as Pointer, byteLength, hugePageAdvice);
}

/**
 * Reserves the disk space of an empty file and makes it that long. Throws IO (ENOSPC, EDQUOT, EFBIG), or OVERLOADED for want of memory, and not,
 * like a file without its space, SIGBUS at the first write under a map. `path` is for the message.
 */
export function preallocate(fd: number, byteLength: number, path: string): void {
  const reason = process.platform === "darwin" ? reserveDarwin(fd, byteLength) : reserveLinux(fd, byteLength);
  if (reason === undefined) return;
  const code = reason === "ENOMEM" ? "OVERLOADED" : "IO";
  throw new CoremlxError(code, `Cannot reserve ${byteLength} bytes in ${path}: ${reason}`, {
    details: { byteLength, path, errno: reason },
  });
}

function reserveLinux(fd: number, byteLength: number): string | undefined {
  for (;;) {
    const status = linuxCalls().posix_fallocate(fd, 0, byteLength);
    if (status === 0) return undefined;
    if (errnoName(status) !== "EINTR") return errnoName(status);
  }
}

const preallocateCommand = 42; // F_PREALLOCATE
const allocateAll = 0x4; // F_ALLOCATEALL
const fromEndOfFile = 3; // F_PEOFPOSMODE

/** Only a full disk counts: the file is written, never filled under a map, so that every other trouble shows there. */
function reserveDarwin(fd: number, byteLength: number): string | undefined {
  const { darwin: symbols } = calls();
  if (symbols === undefined) throw new CoremlxError("INTERNAL", "Cannot call a function of macOS here");
  // struct fstore { uint32 flags; int32 position; int64 offset, length, allocated; }
  const request = new BigInt64Array(new ArrayBuffer(32));
  new Uint32Array(request.buffer, 0, 2).set([allocateAll, fromEndOfFile]);
  request[2] = BigInt(byteLength);
  const address = addressOf(new Uint8Array(request.buffer, 0, 32));
  const status = symbols.fcntl(fd, preallocateCommand, null, null, null, null, null, null, address);
  const reason = status === -1 ? lastErrno() : undefined;
  return reason === "ENOSPC" || reason === "EDQUOT" ? reason : undefined;
}

const lockKinds = { shared: 1, exclusive: 2 } as const;
const lockWithoutWaiting = 4;

/**
 * Takes the file's lock, which ends with `fd` or the process, however that dies. Any number may hold a shared one at
 * once. false: somebody else has it in a way that excludes ours.
 */
export function lockFile(fd: number, kind: keyof typeof lockKinds = "exclusive"): boolean {
  for (;;) {
    if (calls().flock(fd, lockKinds[kind] | lockWithoutWaiting) === 0) return true;
    const reason = lastErrno();
    if (reason === "EAGAIN" || reason === "EWOULDBLOCK") return false;
    if (reason !== "EINTR") throw new CoremlxError("IO", `Cannot lock a file: ${reason}`);
  }
}

const currentFolder = -100; // AT_FDCWD
const followLink = 0x400; // AT_SYMLINK_FOLLOW

/** Gives a file that has no name (O_TMPFILE) the name `path`, which must be free. Throws IO. Linux only. */
export function linkDescriptor(fd: number, path: string): void {
  const [from, to] = [cString(`/proc/self/fd/${fd}`), cString(path)];
  if (linuxCalls().linkat(currentFolder, addressOf(from), currentFolder, addressOf(to), followLink) === 0)
    return;
  throw new CoremlxError("IO", `Cannot give ${path} its name: ${lastErrno()}`);
}

const closeOnExec = 0x1;
const allowSealing = 0x2;
const notExecutable = 0x8; // since Linux 6.3, where a system may demand it; older ones refuse the flag

/** An empty file in memory alone, for data, whose size can be sealed. The caller closes it. Throws IO. Linux only. */
export function createMemoryFile(name: string): number {
  const cName = cString(name);
  let fd = linuxCalls().memfd_create(addressOf(cName), closeOnExec | allowSealing | notExecutable);
  if (fd < 0) fd = linuxCalls().memfd_create(addressOf(cName), closeOnExec | allowSealing);
  if (fd < 0) throw new CoremlxError("IO", `Cannot make the memory file "${name}": ${lastErrno()}`);
  return fd;
}

const addSeals = 1033; // F_ADD_SEALS
const sealSizeAndSeals = 0x1 | 0x2 | 0x4; // seal, shrink, grow

/** From now on nobody, not even root, makes the memory file shorter or longer. Throws IO. Linux only. */
export function sealSize(fd: number): void {
  if (linuxCalls().fcntl(fd, addSeals, sealSizeAndSeals) === 0) return;
  throw new CoremlxError("IO", `Cannot seal a memory file: ${lastErrno()}`);
}

const setSignal = 10; // F_SETSIG
const setLease = 1024; // F_SETLEASE
const ignoredByDefault = 23; // SIGURG: the signal of a lease's end, SIGIO, would end the process
const writeLease = 1;
const noLease = 2;

/**
 * Whether anybody else has this file open or mapped, here or in another process: the kernel grants a write lease only
 * on a file that nobody else holds. Where leases do not exist the answer is always true. Linux; elsewhere true.
 */
export function isHeldElsewhere(fd: number): boolean {
  if (process.platform !== "linux") return true;
  if (linuxCalls().fcntl(fd, setSignal, ignoredByDefault) !== 0) return true;
  if (linuxCalls().fcntl(fd, setLease, writeLease) !== 0) return true;
  linuxCalls().fcntl(fd, setLease, noLease);
  return false;
}

const duplicateCloseOnExec = 1030; // F_DUPFD_CLOEXEC

/** The same open file under another number, the lowest free one. Throws IO. Linux only. */
export function duplicateDescriptor(fd: number): number {
  const copy = linuxCalls().fcntl(fd, duplicateCloseOnExec, 0);
  if (copy < 0) throw new CoremlxError("IO", `Cannot duplicate a file descriptor: ${lastErrno()}`);
  return copy;
}

/** Why the call just before failed. Nothing else may be called between the two. */
function lastErrno(): string {
  const { linux: ofLinux, darwin: ofDarwin } = calls();
  const address = ofDarwin === undefined ? ofLinux?.__errno_location() : ofDarwin.__error();
  return address ? errnoName(read.i32(address, 0)) : "unknown error";
}

function errnoName(code: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === code);
  return found?.[0] ?? `error ${code}`;
}
