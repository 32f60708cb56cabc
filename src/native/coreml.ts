// libcoremlx, opened for one thread: its functions, its errors as ours, and the calls that concern no single model.

import { dlopen, type Pointer, read } from "bun:ffi";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { CoremlxError, type ErrorCode, messageOf } from "../core/errors.ts";
import { coremlStatus, type CoremlStatusName } from "./coreml-numbers.ts";
import { StructArray } from "./coreml-structs.ts";
import { coremlAbiVersion, coremlSymbols } from "./coreml-symbols.ts";
import { addressOf, cString, PointerTable, readCString, viewMemory } from "./memory.ts";

const bind = (path: string) => dlopen(path, coremlSymbols).symbols;
type Functions = ReturnType<typeof bind>;

/** What may end a blocking call early. */
export interface CallLimits {
  /** Default: none. */
  readonly timeoutMs?: number | undefined;
  readonly canceller?: number | undefined;
}

/** For the details of an error: what went wrong in Core ML and beneath it, outermost first. */
export interface CoremlErrorDetails {
  readonly status: CoremlStatusName | number;
  readonly domain: string;
  readonly code: number;
  readonly underlying: readonly {
    readonly domain: string;
    readonly code: number;
    readonly message: string;
  }[];
}

// Opened once per thread and never closed: threads of the library may still be at work in it.
const opened = new Map<string, CoremlLibrary>();

/** Belongs to the thread that opened it; handles are good in all threads of the process. */
export class CoremlLibrary {
  readonly path: string;
  readonly functions: Functions;
  /** Core ML itself; else the stand-in that tests use on Linux, whose answers and times mean nothing. */
  readonly isApple: boolean;
  /** Gets the error of each call. */
  readonly errorSlot = new PointerTable(1);
  readonly #out = new PointerTable(1);
  readonly #bytes = new StructArray("cmlx_bytes");

  /** Throws BAD_INPUT where there is no such file, NATIVE when it is no libcoremlx, or one of another version. */
  static open(path: string): CoremlLibrary {
    const whole = resolve(path); // a bare name would be searched for in the system's folders
    let library = opened.get(whole);
    if (library === undefined) opened.set(whole, (library = new CoremlLibrary(whole)));
    return library;
  }

  private constructor(path: string) {
    this.path = path;
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
      throw new CoremlxError("BAD_INPUT", `Cannot use ${JSON.stringify(path)} as libcoremlx: no such file`);
    try {
      this.functions = bind(path);
    } catch (error) {
      throw new CoremlxError("NATIVE", `Cannot load ${path}: ${messageOf(error)}`, { cause: error });
    }
    const version = this.functions.cmlx_abi_version();
    if (version !== coremlAbiVersion)
      throw new CoremlxError(
        "NATIVE",
        `Cannot use ${path}: its ABI is ${version}, ${coremlAbiVersion} is needed`,
        {
          details: { version },
        },
      );
    this.isApple = this.functions.cmlx_is_apple() === 1;
  }

  /** Handles of the process that are not yet released. */
  get liveHandles(): number {
    return Number(this.functions.cmlx_live_handles());
  }

  /** What the library says of the machine, as JSON (see coremlx.h). */
  describeDevice(): string {
    const { functions, errorSlot } = this;
    return this.takeText(
      (out) => functions.cmlx_device_describe(out, errorSlot.address),
      "describe the machine",
    );
  }

  /**
   * Compiles a .mlmodel or .mlpackage to `destination`, which must not exist, whole or not at all. Blocks.
   */
  compile(path: string, destination: string, limits: CallLimits = {}): void {
    const { functions, errorSlot } = this;
    const control = controlOf(limits);
    const [from, to] = [cString(path), cString(destination)];
    this.takeText(
      (out) =>
        functions.cmlx_model_compile(addressOf(from), addressOf(to), control.address, out, errorSlot.address),
      "compile the model",
    );
  }

  createCanceller(): number {
    const { functions, errorSlot } = this;
    return this.takeHandle(
      (out) => functions.cmlx_canceller_create(out, errorSlot.address),
      "make a canceller",
    );
  }

  /** Ends every call that was given the canceller, and those that come, until it is reset. From any thread. */
  cancel(canceller: number): void {
    this.check(this.functions.cmlx_canceller_cancel(canceller, this.errorSlot.address), "cancel");
  }

  resetCanceller(canceller: number): void {
    this.check(this.functions.cmlx_canceller_reset(canceller, this.errorSlot.address), "reset a canceller");
  }

  release(handle: number): void {
    this.check(this.functions.cmlx_release(handle, this.errorSlot.address), "release a handle");
  }

  /** Calls a function that makes a handle. */
  takeHandle(call: (out: Pointer) => number, action: string): number {
    this.check(call(this.#out.address), action);
    return this.#out.get(0);
  }

  /** Calls a function that gives UTF-8. */
  takeText(call: (out: Pointer) => number, action: string): string {
    this.check(call(this.#bytes.address), action);
    return this.takeBytes(this.#bytes.address, this.#bytes.get("data"), this.#bytes.get("size"));
  }

  /** The text of a cmlx_bytes, which is freed. Empty where there is none. */
  takeBytes(bytes: Pointer, data: number, byteLength: number): string {
    const text = data === 0 ? "" : new TextDecoder().decode(viewMemory(data as Pointer, byteLength));
    this.functions.cmlx_bytes_free(bytes);
    return text;
  }

  /** Throws what a call left in `errorSlot`, and frees it. `action` completes "Cannot …". */
  check(status: number, action: string): void {
    if (status === coremlStatus.CMLX_OK) return;
    const error = this.errorSlot.get(0) as Pointer;
    this.errorSlot.set(0, 0);
    const name = statusNames.get(status);
    if (error === 0)
      throw new CoremlxError("NATIVE", `Cannot ${action}: status ${name ?? status}`, {
        details: { status: name ?? status },
      });
    const message = cleanText(readCString(read.ptr(error, 24) as Pointer));
    const details: CoremlErrorDetails = {
      status: name ?? status,
      domain: readCString(read.ptr(error, 16) as Pointer),
      code: Number(read.i64(error, 8)),
      underlying: readUnderlying(readCString(read.ptr(error, 32) as Pointer)),
    };
    this.functions.cmlx_error_free(error);
    // The library's own messages are whole sentences; Core ML's say what, not what for.
    const isOurs = details.domain === "coremlx";
    const reasons = [message, ...details.underlying.map((each) => cleanText(each.message))];
    throw new CoremlxError(
      (name && errorCodes[name]) ?? "NATIVE",
      isOurs ? message : `Cannot ${action}: ${reasons.join(": ")}`,
      { details: { ...details } },
    );
  }
}

const statusNames = new Map(
  Object.entries(coremlStatus).map(([name, number]) => [number, name as CoremlStatusName]),
) as ReadonlyMap<number, CoremlStatusName>;

const errorCodes: Readonly<Record<CoremlStatusName, ErrorCode>> = {
  CMLX_OK: "INTERNAL",
  CMLX_E_INVALID_ARGUMENT: "BAD_INPUT",
  CMLX_E_BAD_HANDLE: "INTERNAL",
  CMLX_E_CORE_ML: "NATIVE",
  CMLX_E_BUFFER_TOO_SMALL: "NATIVE",
  CMLX_E_BUSY: "BAD_INPUT",
  CMLX_E_CANCELLED: "INTERRUPTED",
  CMLX_E_CLOSED: "UNAVAILABLE",
  CMLX_E_UNSUPPORTED: "UNSUPPORTED",
  CMLX_E_TIMEOUT: "DEADLINE",
  CMLX_E_INTERNAL: "NATIVE",
  CMLX_E_NOT_FOUND: "NOT_FOUND",
  CMLX_E_QUARANTINED: "UNAVAILABLE",
  CMLX_E_QUARANTINE_FULL: "UNAVAILABLE",
  CMLX_E_POISONED: "NATIVE",
};

/** Milliseconds as the library takes them: 0 is no limit, so the shortest one is a nanosecond. */
export function nanosecondsOf(timeoutMs: number | undefined): number {
  if (timeoutMs === undefined || !Number.isFinite(timeoutMs)) return 0;
  return Math.min(Math.max(Math.ceil(timeoutMs * 1e6), 1), Number.MAX_SAFE_INTEGER);
}

/** A cmlx_control. */
export function controlOf({ timeoutMs, canceller = 0 }: CallLimits): StructArray<"cmlx_control"> {
  const control = new StructArray("cmlx_control");
  control.set("timeout_ns", nanosecondsOf(timeoutMs));
  control.set("canceller", canceller);
  return control;
}

function readUnderlying(detail: string): CoremlErrorDetails["underlying"] {
  const parsed: { underlying?: CoremlErrorDetails["underlying"] } = JSON.parse(detail);
  return parsed.underlying ?? [];
}

const longestText = 2000;

/** Without control characters, of bounded length: Core ML passes on what models say of themselves. */
function cleanText(text: string): string {
  return text
    .slice(0, longestText)
    .replaceAll(/[\p{Cc}\s]+/gu, " ")
    .trim()
    .replace(/\.$/, "");
}
