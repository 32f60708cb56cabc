// ONNX Runtime's C functions: their signatures, bound from the library's table, and its errors as ours.

import { dlopen, type FFIFunction, linkSymbols, type Pointer, read } from "bun:ffi";
import { CoremlxError, type ErrorCode, messageOf } from "../core/errors.ts";
import { setNativeEnvironment, returnLargeBlocks } from "./libc.ts";
import { PointerTable, readCString } from "./memory.ts";
import { ortApiVersion, ortSlots } from "./ort-slots.ts";

// Every function returns an OrtStatus* that is NULL when all went well, unless it says otherwise.
const status = "ptr";

/** The functions we use, in the order of the table. scripts/gen-ort.ts finds their places in it. */
export const ortFunctions = {
  // OrtErrorCode GetErrorCode(const OrtStatus*)
  GetErrorCode: { args: ["ptr"], returns: "i32" },
  // const char* GetErrorMessage(const OrtStatus*); it lives as long as the status
  GetErrorMessage: { args: ["ptr"], returns: "ptr" },
  // (OrtLoggingLevel, const char* logId, OrtEnv** out); one environment per process, counted
  CreateEnv: { args: ["i32", "ptr", "ptr"], returns: status },
  // (const OrtEnv*, const void* model, size_t byteLength, const OrtSessionOptions*, OrtSession** out)
  CreateSessionFromArray: { args: ["ptr", "ptr", "u64", "ptr", "ptr"], returns: status },
  // (OrtSession*, const OrtRunOptions*, const char* const* inputNames, const OrtValue* const* inputs, size_t inputCount,
  //  const char* const* outputNames, size_t outputCount, OrtValue** outputs); a NULL output is allocated and then ours
  Run: { args: ["ptr", "ptr", "ptr", "ptr", "u64", "ptr", "u64", "ptr"], returns: status },
  // (OrtSessionOptions** out)
  CreateSessionOptions: { args: ["ptr"], returns: status },
  // (OrtSessionOptions*, const char* path)
  SetOptimizedModelFilePath: { args: ["ptr", "ptr"], returns: status },
  // (OrtSessionOptions*, const char* prefix)
  EnableProfiling: { args: ["ptr", "ptr"], returns: status },
  // (OrtSessionOptions*)
  DisableCpuMemArena: { args: ["ptr"], returns: status },
  // (OrtSessionOptions*, int level)
  SetSessionLogSeverityLevel: { args: ["ptr", "i32"], returns: status },
  // (OrtSessionOptions*, GraphOptimizationLevel)
  SetSessionGraphOptimizationLevel: { args: ["ptr", "i32"], returns: status },
  // (OrtSessionOptions*, int threads)
  SetIntraOpNumThreads: { args: ["ptr", "i32"], returns: status },
  SetInterOpNumThreads: { args: ["ptr", "i32"], returns: status },
  // (const OrtSession*, size_t* out)
  SessionGetInputCount: { args: ["ptr", "ptr"], returns: status },
  SessionGetOutputCount: { args: ["ptr", "ptr"], returns: status },
  // (const OrtSession*, size_t index, OrtTypeInfo** out); ours to release
  SessionGetInputTypeInfo: { args: ["ptr", "u64", "ptr"], returns: status },
  SessionGetOutputTypeInfo: { args: ["ptr", "u64", "ptr"], returns: status },
  // (const OrtSession*, size_t index, OrtAllocator*, char** out); ours to free
  SessionGetInputName: { args: ["ptr", "u64", "ptr", "ptr"], returns: status },
  SessionGetOutputName: { args: ["ptr", "u64", "ptr", "ptr"], returns: status },
  // (OrtRunOptions** out)
  CreateRunOptions: { args: ["ptr"], returns: status },
  // (OrtRunOptions*)
  RunOptionsSetTerminate: { args: ["ptr"], returns: status },
  RunOptionsUnsetTerminate: { args: ["ptr"], returns: status },
  // (const OrtMemoryInfo*, void* data, size_t byteLength, const int64_t* shape, size_t rank, ONNXTensorElementDataType,
  //  OrtValue** out); borrows the data
  CreateTensorWithDataAsOrtValue: {
    args: ["ptr", "ptr", "u64", "ptr", "u64", "i32", "ptr"],
    returns: status,
  },
  // (const OrtValue*, int* out)
  IsTensor: { args: ["ptr", "ptr"], returns: status },
  // (OrtValue*, void** out); borrowed from the value
  GetTensorMutableData: { args: ["ptr", "ptr"], returns: status },
  // (const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo** out); borrowed, NULL where it is no tensor
  CastTypeInfoToTensorInfo: { args: ["ptr", "ptr"], returns: status },
  // (const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType* out)
  GetTensorElementType: { args: ["ptr", "ptr"], returns: status },
  // (const OrtTensorTypeAndShapeInfo*, size_t* out)
  GetDimensionsCount: { args: ["ptr", "ptr"], returns: status },
  // (const OrtTensorTypeAndShapeInfo*, int64_t* out, size_t rank); -1 where it is open
  GetDimensions: { args: ["ptr", "ptr", "u64"], returns: status },
  // (const OrtTensorTypeAndShapeInfo*, const char** out, size_t rank); borrowed, "" where it has no name
  GetSymbolicDimensions: { args: ["ptr", "ptr", "u64"], returns: status },
  // (const OrtValue*, OrtTensorTypeAndShapeInfo** out); ours to release
  GetTensorTypeAndShape: { args: ["ptr", "ptr"], returns: status },
  // (OrtAllocatorType, OrtMemType, OrtMemoryInfo** out)
  CreateCpuMemoryInfo: { args: ["i32", "i32", "ptr"], returns: status },
  // (OrtAllocator*, void*)
  AllocatorFree: { args: ["ptr", "ptr"], returns: status },
  // (OrtAllocator** out); never released
  GetAllocatorWithDefaultOptions: { args: ["ptr"], returns: status },
  ReleaseEnv: { args: ["ptr"], returns: "void" },
  ReleaseStatus: { args: ["ptr"], returns: "void" },
  ReleaseMemoryInfo: { args: ["ptr"], returns: "void" },
  ReleaseSession: { args: ["ptr"], returns: "void" },
  ReleaseValue: { args: ["ptr"], returns: "void" },
  ReleaseRunOptions: { args: ["ptr"], returns: "void" },
  ReleaseTypeInfo: { args: ["ptr"], returns: "void" },
  ReleaseTensorTypeAndShapeInfo: { args: ["ptr"], returns: "void" },
  ReleaseSessionOptions: { args: ["ptr"], returns: "void" },
  // (OrtSession*, OrtAllocator*, char** out); ours to free
  SessionEndProfiling: { args: ["ptr", "ptr", "ptr"], returns: status },
  // (OrtSessionOptions*, const char* key, const char* value)
  AddSessionConfigEntry: { args: ["ptr", "ptr", "ptr"], returns: status },
  // bool TensorTypeAndShape_HasShape(const OrtTensorTypeAndShapeInfo*)
  TensorTypeAndShape_HasShape: { args: ["ptr"], returns: "bool" },
} as const satisfies Record<keyof typeof ortSlots, FFIFunction>;

type Functions = ReturnType<typeof linkSymbols<typeof ortFunctions>>["symbols"];
export type OrtFunctionName = keyof typeof ortFunctions;

/** What our bindings return for an OrtStatus*. */
type Status = Pointer | bigint | null;

// OrtErrorCode by number.
const statusNames = [
  "OK",
  "FAIL",
  "INVALID_ARGUMENT",
  "NO_SUCHFILE",
  "NO_MODEL",
  "ENGINE_ERROR",
  "RUNTIME_EXCEPTION",
  "INVALID_PROTOBUF",
  "MODEL_LOADED",
  "NOT_IMPLEMENTED",
  "INVALID_GRAPH",
  "EP_FAIL",
  "MODEL_LOAD_CANCELED",
  "MODEL_REQUIRES_COMPILATION",
  "NOT_FOUND",
  "DEVICE_RESET",
];

/** The bound table. It has one out-slot, so a thread has its own instance. The library itself stays loaded for good. */
export class OrtApi {
  readonly libraryPath: string;
  readonly version: string;
  readonly functions: Functions;
  /** Where the table lies: another thread can call its functions by address. */
  readonly #table: Pointer;
  readonly #slot = new PointerTable(1);
  /** The library and the code compiled for its functions: alive as long as this is. */
  readonly bindings: readonly unknown[];

  /** Loads the library (telemetry switched off before its first line runs). Throws NATIVE when it is none of ours. */
  constructor(libraryPath: string) {
    this.libraryPath = libraryPath;
    const library = loadOnnxRuntime(libraryPath);
    const base = library.symbols.OrtGetApiBase() as Pointer;
    const entry = linkSymbols({
      // const OrtApi* GetApi(uint32_t version); NULL when the library is older than that
      GetApi: { ptr: read.ptr(base, 0) as Pointer, args: ["u32"], returns: "ptr" },
      // const char* GetVersionString(void)
      GetVersionString: { ptr: read.ptr(base, 8) as Pointer, args: [], returns: "ptr" },
    });
    this.version = readCString(entry.symbols.GetVersionString() as Pointer);
    const table = entry.symbols.GetApi(ortApiVersion);
    if (table === null) {
      throw new CoremlxError(
        "NATIVE",
        `Cannot use ${libraryPath}: it is ONNX Runtime ${this.version}, 1.${ortApiVersion} or newer is needed`,
        { details: { version: this.version } },
      );
    }
    this.#table = table as Pointer;
    const definitions = Object.entries(ortFunctions).map(([name, signature]) => [
      name,
      { ...signature, ptr: this.addressOf(name as OrtFunctionName) },
    ]);
    const bound = linkSymbols(Object.fromEntries(definitions) as typeof ortFunctions);
    this.functions = bound.symbols;
    this.bindings = [library, entry, bound];
  }

  /** Where a function of the table begins. */
  addressOf(name: OrtFunctionName): Pointer {
    return read.ptr(this.#table, 8 * ortSlots[name]) as Pointer;
  }

  /** The slot to give as out-parameter; `taken` reads it. */
  get out(): Pointer {
    return this.#slot.address;
  }

  /** Checks a call's status and returns the pointer or size it left in `out`. */
  taken(result: Status, action: string): number {
    this.check(result, action);
    return this.#slot.get(0);
  }

  /** As `taken`, for functions that leave an int or an enum. */
  takenInt(result: Status, action: string): number {
    this.check(result, action);
    return this.#slot.getInt(0);
  }

  /** Throws what a status says, and releases it. `action` completes "Cannot …". */
  check(result: Status, action: string): void {
    if (result === null || result === 0n) return;
    const failed = result as Pointer;
    const code = this.functions.GetErrorCode(failed);
    const text = cleanMessage(readCString(this.functions.GetErrorMessage(failed) as Pointer));
    this.functions.ReleaseStatus(failed);
    const statusName = statusNames[code] ?? `status ${code}`;
    throw new CoremlxError(codeOf(statusName, text), `Cannot ${action}: ${text}`, {
      details: { status: statusName },
    });
  }
}

/**
 * Opens the library without using it yet; every opening after the first is free. Throws NATIVE with the loader's
 * reason. Official builds from 1.29 on send usage data unless the variable is in C's environment before they load.
 */
export function loadOnnxRuntime(libraryPath: string) {
  setNativeEnvironment("ORT_DISABLE_TELEMETRY", "1");
  returnLargeBlocks();
  try {
    // const OrtApiBase* OrtGetApiBase(void)
    return dlopen(libraryPath, { OrtGetApiBase: { args: [], returns: "ptr" } });
  } catch (error) {
    throw new CoremlxError("NATIVE", `Cannot load ${libraryPath}: ${messageOf(error)}`, { cause: error });
  }
}

function codeOf(statusName: string, text: string): ErrorCode {
  if (text.includes("terminate flag")) return "INTERRUPTED";
  return statusName === "NOT_IMPLEMENTED" ? "UNSUPPORTED" : "NATIVE"; // a kernel that this build does not have
}

const longestMessage = 2000;

/** Without the folders of the machine that built it or runs it, without control characters, of bounded length. */
function cleanMessage(text: string): string {
  return text
    .slice(0, longestMessage)
    .replaceAll(/[\p{Cc}\s]+/gu, " ")
    .replaceAll(/(?:\/[\w.+@-]+)+\/([\w.+@-]+)/g, "$1")
    .trim();
}
