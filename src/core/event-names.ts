// Every event coremlx logs: its name, which stays the same, and the fields that say what differs. docs/telemetry.md
// lists them; whoever searches logs hangs on these names.

export interface EventDefinition {
  readonly help: string;
  /** Any of them may be missing where it is not known. Units are in the names. */
  readonly fields: Readonly<Record<string, string>>;
}

const model = "the model's name";

export const eventTable = {
  "model opened": {
    help: "A model file was read",
    fields: { path: "as given", kind: "of model", bytes: "of all its files", ms: "it took" },
  },
  "model loaded": {
    help: "A model is ready to predict",
    fields: {
      model,
      engine: "and its version",
      device: "it runs on",
      isolation: "worker or process",
      cache: "warm: compiled before; cold",
      openMs: "reading the file",
      compileMs: "translating it for the engine",
      loadMs: "making it ready",
    },
  },
  "device chosen": {
    help: "Core ML may use these devices for a model, as a measurement says",
    fields: {
      device: "that it may use",
      reason: "what each choice took",
      cache: "warm: measured before; cold",
    },
  },
  "model not loaded": {
    help: "A model could not be loaded",
    fields: { model, code: "of the error", reason: "why" },
  },
  "model closed": { help: "A model and its instances are gone", fields: { model } },
  "a describing file of the model cannot be used": {
    help: "A compiled model's interface is known from its other files only",
    fields: { reason: "why" },
  },
  "coremldata.bin and metadata.json disagree": {
    help: "Two files of a compiled model describe it differently",
    fields: { reason: "in what" },
  },
  "instance made": {
    help: "One more instance is ready",
    fields: { model, instances: "alive", pid: "of its process" },
  },
  "instance not made": {
    help: "An instance that was wanted could not be made",
    fields: {
      model,
      reason: "why",
      failures: "in a row",
      retryAfterMs: "until it may be tried again",
      exitCode: "of its process",
      signal: "that ended its process",
      output: "the last lines its process printed",
    },
  },
  "instance replaced": {
    help: "An instance broke and is given up",
    fields: {
      model,
      reason: "poisoned (a call hangs) or crashed",
      pid: "of its process",
      error: "what it ended with",
      exitCode: "of its process",
      signal: "that ended its process",
      output: "the last lines its process printed",
      abandonedThreads: "that hang now",
    },
  },
  "instance recycled": {
    help: "An instance that worked was put out of service for a fresh one",
    fields: { model, reason: "memory, surface, count or breaker", pid: "of its process" },
  },
  "instance retired": {
    help: "An idle instance was closed",
    fields: { model, pid: "of its process", idleMs: "without work" },
  },
  "resources lent again": {
    help: "A call that was given up has not ended, and what it takes of the session's resources is lent to others",
    fields: { model, afterMs: "since it was given up" },
  },
  "machine hot": {
    help: "Fewer predictions of each model may run at once",
    fields: { state: "serious or critical", share: "of each model's instances, at least one" },
  },
  "machine cooler": {
    help: "More predictions of each model may run at once again",
    fields: { state: "nominal, or missing", share: "of each model's instances, at least one" },
  },
  "memory grows": {
    help: "Predictions cost memory that does not come back: instances are recycled",
    fields: {
      model,
      pid: "of the process that grows",
      growthBytes: "since the first sample",
      predictions: "meanwhile",
      bytesPerPrediction: "the slope",
    },
  },
  "recycling did not help": {
    help: "Memory stayed where it was after recycling: this model is not recycled for its memory any more",
    fields: { model, residentBytes: "of the process", growthBytes: "that was to come back" },
  },
  "circuit breaker closed": {
    help: "Calls reach the engine again",
    fields: { model },
  },
  "circuit breaker open": {
    help: "Calls are refused",
    fields: { model, reason: "why it opened", retryAfterMs: "until the next probe" },
  },
  "circuit breaker half-open": {
    help: "A few calls find out whether the engine is well again",
    fields: { model, reason: "why it had opened" },
  },
  "quarantine entered": {
    help: "Memory a call that was given up may still write to is kept out of use",
    fields: {
      pool: "buffers or mapped outputs",
      bytes: "of it",
      heldCount: "in quarantine",
      heldBytes: "likewise",
    },
  },
  "quarantine released": {
    help: "Such a call ended after all, and its memory is in use again",
    fields: {
      pool: "buffers or mapped outputs",
      bytes: "of it",
      heldCount: "in quarantine",
      heldBytes: "likewise",
    },
  },
  "quarantine full": {
    help: "Too much memory is in quarantine: nothing is lent until calls end",
    fields: { pool: "buffers or mapped outputs", heldCount: "in quarantine", heldBytes: "likewise" },
  },
  "buffer leaked": {
    help: "A buffer was never returned to its pool (looked for in debug only)",
    fields: { key: "type and shape", acquiredAt: "the line that acquired it" },
  },
  "mapped output leaked": {
    help: "A mapped output was never returned",
    fields: { bytes: "of it" },
  },
  "outputs swept": { help: "Outputs of dead processes were removed", fields: { folders: "removed" } },
  "compile cache failed": { help: "A model was loaded without the compile cache", fields: { reason: "why" } },
  "compile cache cannot be used": {
    help: "The compile cache's folder is of no use",
    fields: { reason: "why" },
  },
  "compile cache entry damaged": {
    help: "An entry of the compile cache was removed, and is made again",
    fields: { key: "of the entry", reason: "what is wrong" },
  },
  "compile cache filled": {
    help: "A model that was loaded cold has been compiled in the background",
    fields: { path: "of the model" },
  },
  "compile cache not filled": {
    help: "A model that was loaded cold is not compiled in the background",
    fields: { path: "of the model", reason: "why" },
  },
  "model not warmed up": {
    help: "A model is ready without a first prediction: it does not take made-up inputs",
    fields: { model, reason: "why" },
  },
  "repository not read": {
    help: "A folder of models could not be looked through; that is tried again",
    fields: { reason: "why" },
  },
  "connections closed": {
    help: "There were more connections than the server may have: those that waited for a next request are closed",
    fields: { closedCount: "how many" },
  },
  "memory not read": {
    help: "The memory of the process could not be read; that is tried again",
    fields: { reason: "why" },
  },
  "request answered": {
    help: "A request and what it was answered (with the access log only)",
    fields: {
      method: "of HTTP",
      path: "of the request",
      status: "of the answer",
      ms: "from the request's head to the answer",
      requestId: "as the client calls it",
      traceparent: "of the trace it belongs to",
    },
  },
  "request failed": {
    help: "The server could not answer for a reason of its own; the client is told no more than that",
    fields: { code: "of the error", reason: "why", requestId: "as the client calls it" },
  },
  "library not usable": {
    help: "The built-in ONNX Runtime cannot be loaded from one place; the next is tried",
    fields: { library: "file name", reason: "why" },
  },
  "too many models for metrics of their own": {
    help: "Further models share the label other",
    fields: { maxModels: "with labels of their own" },
  },
} as const satisfies Readonly<Record<string, EventDefinition>>;

type EventTable = typeof eventTable;
export type EventName = keyof EventTable;
export type EventFields<E extends EventName> = Readonly<
  Partial<Record<keyof EventTable[E]["fields"], string | number | boolean | undefined>>
>;
