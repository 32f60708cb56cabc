/* The C ABI of libcoremlx: Core ML as plain functions, structs and numbers. This file is its only definition;
   swift/Bridge implements it, src/native/coreml.ts calls it, and a check compares the three.

   Every call. Returns a status (CMLX_OK or CMLX_E_*). On failure, and only then, *error (where not NULL) is one block
   that the caller frees with cmlx_error_free; on success it is set to NULL. Nothing is kept per thread: a result may be
   read, and anything freed, on any thread. No call ever runs the caller's code.

   Threads. Every function may be called from any thread at any time, also on the same handle. What cannot overlap is
   refused (CMLX_E_BUSY), never undefined.

   Handles. Numbers below 2^48 (exact in a JavaScript number), 0 is "none". A stale, foreign or twice released handle is
   CMLX_E_BAD_HANDLE, never a bad access. A handle holds one reference and work in flight holds its own, so handles may
   be released in any order, also during work. They are process-wide: a handle made on one thread works on every other.

   Structs. Every struct that the caller fills starts with `struct_size`: sizeof the struct as the caller was compiled.
   Another size is refused. Fields called `reserved` are zero. Layouts are pinned; a change raises CMLX_ABI_VERSION.

   Text in is UTF-8 with a NUL, borrowed for the call. Text and bytes out are cmlx_bytes, freed by the caller with
   cmlx_bytes_free. JSON out is UTF-8 with sorted keys.

   Memory of tensors is the caller's (`data`, borrowed) or the library's (`buffer`, a handle). Borrowed memory is touched
   only while the call runs, also when it ends early: with a timeout or a canceller the library works on a copy of its
   own, because a call that was given up may still read and write. Only library buffers travel without a copy then.

   Quarantine. After CMLX_E_TIMEOUT or CMLX_E_CANCELLED Core ML may still be running. What it may still touch (its
   buffers, its state, its place among the `max_in_flight` of the model) is in quarantine until it really completes:
   using one of them is CMLX_E_QUARANTINED. Memory in quarantine is never given out again. See cmlx_quarantine_read. */
#ifndef COREMLX_H
#define COREMLX_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define CMLX_ABI_VERSION 2u
#define CMLX_MAX_RANK 8u
/* Most tensors of one side of a prediction, and most predictions of a batch. */
#define CMLX_MAX_TENSORS 1024u

typedef uint64_t cmlx_handle;

/* Status of a call. Numbers never change their meaning. */
enum {
  CMLX_OK = 0,
  CMLX_E_INVALID_ARGUMENT = 1, /* a pointer, size, rank, dtype, index, path, value is wrong; the message says which */
  CMLX_E_BAD_HANDLE = 2,       /* unknown, released, or of another kind */
  CMLX_E_CORE_ML = 3,          /* the framework returned an error: see domain, code and detail */
  CMLX_E_BUFFER_TOO_SMALL = 4, /* an output has another shape or needs more bytes; the tensor says what it needs */
  CMLX_E_BUSY = 5,             /* another call is using the state or the buffer */
  CMLX_E_CANCELLED = 6,        /* by a canceller, or by cmlx_queue_cancel */
  CMLX_E_CLOSED = 7,           /* the queue is shut down */
  CMLX_E_UNSUPPORTED = 8,      /* not on this version of macOS, or not on this platform */
  CMLX_E_TIMEOUT = 9,          /* no answer in time */
  CMLX_E_INTERNAL = 10,        /* out of memory, or a defect of the library */
  CMLX_E_NOT_FOUND = 11,       /* no such file, function, state or sysctl name */
  CMLX_E_QUARANTINED = 12,     /* an earlier call that was given up may still touch it */
  CMLX_E_QUARANTINE_FULL = 13, /* too much is in quarantine: end this process */
  CMLX_E_POISONED = 14         /* Core ML raised an exception inside this model or state: load it again */
};

/* Element types. The pixel types are for image features only (see cmlx_tensor). */
enum {
  CMLX_F64 = 1,
  CMLX_F32 = 2,
  CMLX_F16 = 3,
  CMLX_I32 = 4,
  CMLX_I8 = 5,           /* multi arrays of macOS 26 and later */
  CMLX_PIXEL_BGRA8 = 16, /* 4 bytes: blue, green, red, alpha */
  CMLX_PIXEL_GRAY8 = 17, /* 1 byte */
  CMLX_PIXEL_GRAY16F = 18, /* 2 bytes: a float16 */
  CMLX_PIXEL_RGB8 = 19   /* 3 bytes; always converted, Core ML has no such format */
};

/* cmlx_load_options.compute_units: what the model may use. Our numbers, not Apple's. */
enum { CMLX_UNITS_ALL = 0, CMLX_UNITS_CPU = 1, CMLX_UNITS_CPU_GPU = 2, CMLX_UNITS_CPU_ANE = 3 };

/* cmlx_load_options.flags */
enum { CMLX_LOAD_LOW_PRECISION_GPU = 1 };

/* cmlx_load_options.reshape_frequency and .specialization. 0 leaves Core ML's own default. Hints: a system too old for
   one ignores it, and cmlx_model_describe lists it under "ignoredHints". */
enum { CMLX_RESHAPE_DEFAULT = 0, CMLX_RESHAPE_FREQUENT = 1, CMLX_RESHAPE_INFREQUENT = 2 };
enum { CMLX_SPECIALIZATION_DEFAULT = 0, CMLX_SPECIALIZATION_FAST_PREDICTION = 1 };

/* cmlx_tensor.flags */
enum {
  CMLX_T_IN_PLACE = 1,  /* out: Core ML wrote into the caller's buffer or memory */
  CMLX_T_COPIED = 2,    /* out: Core ML used memory of its own; the library copied */
  CMLX_T_CONVERTED = 4, /* out: ... and changed the element type or pixel format on the way */
  CMLX_T_ALLOCATE = 8   /* in, outputs only: give the result in a new buffer (see cmlx_tensor) */
};

/* One block, made by the library: the three texts lie behind the struct and go with it. */
typedef struct cmlx_error {
  int32_t status;      /* CMLX_E_* */
  int32_t reserved;
  int64_t code;        /* NSError.code; the status where the error is the library's own */
  const char *domain;  /* NSError.domain; "coremlx" where the error is the library's own; "NSException" */
  const char *message;
  const char *detail;  /* JSON object: "underlying": [{"domain","code","message"}…], outermost first */
} cmlx_error;

/* Bytes the library made. A NUL follows the last one. */
typedef struct cmlx_bytes {
  uint8_t *data;
  uint64_t size;
} cmlx_bytes;

/* A multi array or an image at one feature of a model.

   Memory: either `data` with `byte_size` usable bytes (borrowed), or `buffer` with `offset` (then data is NULL).
   Element i0,i1,… lies at offset + (i0*strides[0] + i1*strides[1] + …) * element size. strides[0] == 0 means dense, last
   axis fastest. Strides of outputs must not make elements overlap. `data` must be aligned to the element size.

   A multi array has rank 1…8, every axis 1 or more. An image has a pixel type, rank 2, shape [height, width]; only
   strides[0] may be given (pixels from row to row) and strides[1] is then 1. A surface buffer (CMLX_BUFFER_SURFACE)
   needs offset 0, no strides, the surface's type, last axis its width, product of the other axes its height.

   Inputs must have the declared element type (CMLX_E_INVALID_ARGUMENT otherwise), except that CMLX_PIXEL_RGB8 serves
   every BGRA image. Outputs may have any type: the library converts; a number that the type cannot hold is an error.

   An output with CMLX_T_ALLOCATE gives neither memory nor shape. After success `buffer` is a new handle that the caller
   owns, `data` and `byte_size` are its memory, rank, shape and dense strides say what is there; `dtype` 0 keeps the
   type Core ML computed (images: RGB8 for BGRA). Without the flag, an output whose shape is not the computed one is
   CMLX_E_BUFFER_TOO_SMALL; rank, shape and byte_size of the tensor then say what it needs (nothing was written). */
typedef struct cmlx_tensor {
  uint32_t struct_size;
  uint32_t feature; /* index into "inputs" or "outputs" of cmlx_model_describe */
  uint32_t dtype;
  uint32_t rank;
  uint32_t flags;
  uint32_t reserved;
  void *data;
  uint64_t byte_size;
  cmlx_handle buffer;
  uint64_t offset; /* bytes */
  int64_t shape[CMLX_MAX_RANK];
  int64_t strides[CMLX_MAX_RANK]; /* elements */
} cmlx_tensor;

typedef struct cmlx_load_options {
  uint32_t struct_size;
  uint32_t compute_units;     /* CMLX_UNITS_* */
  uint32_t max_in_flight;     /* predictions that may run at once; 0: 1. The others wait in order */
  uint32_t flags;             /* CMLX_LOAD_* */
  uint32_t reshape_frequency; /* CMLX_RESHAPE_* */
  uint32_t specialization;    /* CMLX_SPECIALIZATION_* */
  uint64_t gpu_registry_id;   /* preferred GPU: "registryID" of cmlx_device_describe; 0: the system's choice */
  const char *function_name;  /* NULL: the default function. macOS 15 */
  const char *display_name;   /* NULL: none. Shown in Instruments */
  uint64_t reserved[2];
} cmlx_load_options;

/* How long a blocking call may take and who may end it. NULL: as long as it takes. */
typedef struct cmlx_control {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t timeout_ns;    /* 0 or less: none */
  cmlx_handle canceller; /* 0: none */
  uint64_t queued_ns;    /* out: waited inside the library */
  uint64_t run_ns;       /* out: inside Core ML */
} cmlx_control;

/* One prediction. Inputs left out must be optional ones. Outputs may be any subset, in any order; every output that is
   no array and no image arrives in `output_values` whether asked for or not.

   `values` is JSON, NULL for none: {"NAME": VALUE, …}, where VALUE is one of
     {"type": "int64", "value": "-7"}                       int64 always as decimal text
     {"type": "double", "value": 0.5}                       or "nan", "inf", "-inf"
     {"type": "string", "value": "text"}
     {"type": "dictionary", "key": "string"|"int64", "entries": [["cat", 0.9], …]}
     {"type": "sequence", "element": "string"|"int64", "values": ["a", …]}
   `output_values` has the same form. A classifier's label is its "predictedFeatureName" (int64 or string), its
   probabilities a dictionary. */
typedef struct cmlx_prediction {
  uint32_t struct_size;
  uint32_t reserved;
  cmlx_handle model;
  cmlx_handle state;     /* 0: none (a stateful model then starts from zero) */
  cmlx_handle canceller; /* 0: none */
  int64_t timeout_ns;    /* covers waiting and running; 0 or less: none */
  const cmlx_tensor *inputs;
  cmlx_tensor *outputs;
  uint32_t input_count;
  uint32_t output_count;
  const char *values;
  uint64_t values_size;     /* bytes of `values`, without a NUL */
  cmlx_bytes output_values; /* out; data NULL where there are none */
  uint64_t queued_ns;       /* out: waited for its turn */
  uint64_t run_ns;          /* out: inside Core ML */
  uint64_t reserved2[2];
} cmlx_prediction;

enum { CMLX_OP_COMPILE = 1, CMLX_OP_LOAD = 2, CMLX_OP_PREDICT = 3, CMLX_OP_PLAN = 4, CMLX_OP_THERMAL = 5 };

/* The end of queued work. Everything in it is the caller's: release `result`, free `error` and `bytes`. */
typedef struct cmlx_completion {
  uint64_t ticket;
  uint64_t tag;       /* the caller's, verbatim */
  uint32_t op;        /* CMLX_OP_* */
  int32_t status;     /* CMLX_OK or CMLX_E_* */
  cmlx_handle result; /* LOAD: the model. THERMAL: the state, no handle */
  cmlx_error *error;  /* NULL on success */
  cmlx_bytes bytes;   /* COMPILE: path. PLAN: JSON. PREDICT: output values */
  uint64_t queued_ns;
  uint64_t run_ns;
} cmlx_completion;

enum {
  CMLX_BUFFER_PLAIN = 0,   /* page-aligned memory, zero at creation */
  CMLX_BUFFER_SURFACE = 1, /* an IOSurface: what Neural Engine and GPU read and write without a copy. Rows are padded */
  CMLX_BUFFER_WRAPPED = 2  /* info only: made by cmlx_buffer_wrap */
};

typedef struct cmlx_buffer_options {
  uint32_t struct_size;
  uint32_t kind;      /* PLAIN or SURFACE */
  uint64_t byte_size; /* PLAIN */
  uint32_t dtype;     /* SURFACE: F16, I8 (macOS 26), BGRA8, GRAY8 or GRAY16F */
  uint32_t width;     /* SURFACE: elements of a row; for a multi array its last axis */
  uint32_t height;    /* SURFACE: rows; for a multi array the product of its other axes */
  uint32_t reserved;
} cmlx_buffer_options;

/* cmlx_buffer_info.flags */
enum {
  CMLX_BUFFER_IN_USE = 1,      /* a prediction holds it */
  CMLX_BUFFER_QUARANTINED = 2, /* ... one that was given up */
  CMLX_BUFFER_ACCESSED = 4     /* between cmlx_buffer_begin and cmlx_buffer_end */
};

typedef struct cmlx_buffer_info {
  uint32_t struct_size;
  uint32_t kind;
  uint32_t dtype; /* SURFACE */
  uint32_t flags;
  void *base;          /* SURFACE: only between begin and end, else NULL */
  uint64_t byte_size;
  uint64_t row_bytes;  /* SURFACE: from row to row */
  uint32_t width;
  uint32_t height;
} cmlx_buffer_info;

/* cmlx_model_stats.flags */
enum {
  CMLX_MODEL_POISONED = 1, /* every further call is CMLX_E_POISONED */
  CMLX_MODEL_HUNG = 2      /* every place is held by a call that ran out of time: predictions are CMLX_E_QUARANTINED at
                              once, until one of those completes */
};

typedef struct cmlx_model_stats {
  uint32_t struct_size;
  uint32_t flags;
  uint32_t max_in_flight;
  uint32_t in_flight;   /* inside Core ML, the given-up ones included */
  uint32_t waiting;
  uint32_t quarantined; /* given up and not yet completed */
  uint64_t completed;
  uint64_t failed;      /* with an error of Core ML, or an exception */
  uint64_t given_up;    /* TIMEOUT or CANCELLED after the start */
  uint64_t late;        /* of those, completed since */
} cmlx_model_stats;

enum { CMLX_QUARANTINE_IS_FULL = 1 };

typedef struct cmlx_quarantine {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t calls; /* given up and not yet completed */
  uint64_t bytes; /* memory they may still touch */
  uint64_t entered;
  uint64_t returned; /* completed late */
  uint64_t limit_calls;
  uint64_t limit_bytes;
} cmlx_quarantine;

/* RUSAGE_INFO_V6 of this process. 0 where the system does not count it. */
typedef struct cmlx_usage {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t footprint_bytes;
  uint64_t footprint_peak_bytes;
  uint64_t neural_footprint_bytes;
  uint64_t neural_footprint_peak_bytes;
  uint64_t energy_nj;
} cmlx_usage;

typedef struct cmlx_thermal {
  uint32_t struct_size;
  int32_t state;          /* 0 nominal, 1 fair, 2 serious, 3 critical */
  uint64_t changes;       /* seen since the first call of cmlx_thermal_read */
  uint64_t changed_at_ns; /* cmlx_monotonic_ns of the last one, 0: none */
} cmlx_thermal;

typedef struct cmlx_image {
  uint32_t struct_size;
  uint32_t dtype; /* CMLX_PIXEL_RGB8 or CMLX_PIXEL_GRAY8 */
  uint32_t width;
  uint32_t height;
  cmlx_bytes pixels; /* dense rows, the caller's */
} cmlx_image;

/* ---- library ---- */

uint32_t cmlx_abi_version(void);
/* 1: Core ML itself. 0: the stand-in that tests use on Linux, whose answers and times mean nothing. */
uint32_t cmlx_is_apple(void);
void cmlx_error_free(cmlx_error *error);
/* Frees and empties it. NULL and empty are fine. */
void cmlx_bytes_free(cmlx_bytes *bytes);
/* Drops the caller's reference. A wrapped buffer that a call may still touch is CMLX_E_BUSY and stays. */
int32_t cmlx_release(cmlx_handle handle, cmlx_error **error);
/* Handles not yet released. */
uint64_t cmlx_live_handles(void);
uint64_t cmlx_monotonic_ns(void);

/* ---- buffers ---- */

int32_t cmlx_buffer_create(const cmlx_buffer_options *options, cmlx_handle *out, cmlx_error **error);
/* A buffer over memory of the caller's, which must stay until cmlx_release of it succeeded. */
int32_t cmlx_buffer_wrap(void *base, uint64_t byte_size, cmlx_handle *out, cmlx_error **error);
int32_t cmlx_buffer_read(cmlx_handle buffer, cmlx_buffer_info *info, cmlx_error **error);
/* The CPU may touch a surface only between begin and end; info gets base and row_bytes. Meanwhile no prediction may use
   it, and while one does begin is CMLX_E_BUSY or CMLX_E_QUARANTINED. Allowed, and the same, for the other kinds. */
int32_t cmlx_buffer_begin(cmlx_handle buffer, uint32_t write, cmlx_buffer_info *info, cmlx_error **error);
int32_t cmlx_buffer_end(cmlx_handle buffer, cmlx_error **error);
/* One more reference, for an ArrayBuffer made over `base`; PLAIN only. cmlx_buffer_drop has the form of its deallocator
   (called by the collector, on any thread) and drops that reference; the handle may be released before. */
int32_t cmlx_buffer_lend(cmlx_handle buffer, void **context, cmlx_error **error);
void cmlx_buffer_drop(void *base, void *context);

/* ---- cancelling ---- */

/* Ends every call that was given this canceller: those running or waiting now, and those that come, until reset. */
int32_t cmlx_canceller_create(cmlx_handle *out, cmlx_error **error);
int32_t cmlx_canceller_cancel(cmlx_handle canceller, cmlx_error **error);
int32_t cmlx_canceller_reset(cmlx_handle canceller, cmlx_error **error);

/* ---- models; these calls block ---- */

/* Compiles .mlmodel or .mlpackage. destination: where the .mlmodelc shall be; it must not exist, its parent must; it is
   moved there whole or not at all. NULL: a temporary place of Core ML's, the caller's to remove. *path: where it is. */
int32_t cmlx_model_compile(const char *path, const char *destination, cmlx_control *control, cmlx_bytes *out, cmlx_error **error);
/* Loads a compiled model (.mlmodelc). options NULL: all defaults. */
int32_t cmlx_model_load(const char *path, const cmlx_load_options *options, cmlx_control *control, cmlx_handle *out, cmlx_error **error);
/* A second handle to the same loaded model, with a life of its own; limits and statistics are shared. */
int32_t cmlx_model_share(cmlx_handle model, cmlx_handle *out, cmlx_error **error);
/* JSON of a loaded model:
   {"inputs": [F…], "outputs": [F…], "states": [F…], "predictedFeatureName", "predictedProbabilitiesName", "classLabels":
    {"kind": "string"|"int64", "values": ["…"…]}, "metadata": {"description", "version", "author", "license",
    "userDefined": {…}}, "isUpdatable", "function", "computeUnits", "ignoredHints": ["…"…]}
   with F = {"name", "type", "optional"} and by type:
     "multiArray": "dtype", "shape", "constraint"; "image": "pixelFormat" ("BGRA8"|"GRAY8"|"GRAY16F"|"0x…"), "width",
     "height", "constraint"; "dictionary": "key"; "sequence": "element", "lower", "upper"; "state": "dtype", "shape"
   and constraint = {"kind": "fixed"|"unspecified"} | {"kind": "enumerated", "shapes": [[…]…]} | {"kind": "range", "axes":
   [{"lower", "upper"}…]}; upper null: unbounded; of images [height, width]. dtype is float64 float32 float16 int32 int8.
   Absent facts are left out. `feature` of cmlx_tensor is the index in these lists. */
int32_t cmlx_model_describe(cmlx_handle model, cmlx_bytes *json, cmlx_error **error);
/* The same for a compiled model that is not loaded, with "functions": ["…"…]; function NULL: the default one. macOS 15. */
int32_t cmlx_asset_describe(const char *path, const char *function, cmlx_control *control, cmlx_bytes *json, cmlx_error **error);
int32_t cmlx_model_read_stats(cmlx_handle model, cmlx_model_stats *stats, cmlx_error **error);
/* JSON {"kind": "program"|"neuralNetwork"|"pipeline"|"unsupported", "operations": [{"op", "function" or "model", "name",
   "outputs": ["…"…], "isConstant", "weight", "preferred": "cpu"|"gpu"|"ane"|"other", "supported": ["cpu"…]}…]}. "weight"
   (share of the cost) and the devices are left out where Core ML has none. A forecast, not a measurement. macOS 14.4. */
int32_t cmlx_plan_read(const char *path, const cmlx_load_options *options, cmlx_control *control, cmlx_bytes *json, cmlx_error **error);

/* ---- state ---- */

/* Zero at creation. One call at a time uses it: others are CMLX_E_BUSY. macOS 15. */
int32_t cmlx_state_create(cmlx_handle model, cmlx_handle *out, cmlx_error **error);
/* `tensor` has the state's shape (CMLX_E_BUFFER_TOO_SMALL says it) and any type; `feature` is ignored. With
   CMLX_T_ALLOCATE cmlx_state_read gives it in a new buffer. */
int32_t cmlx_state_read(cmlx_handle state, const char *name, cmlx_tensor *tensor, cmlx_error **error);
int32_t cmlx_state_write(cmlx_handle state, const char *name, const cmlx_tensor *tensor, cmlx_error **error);

/* ---- prediction; these calls block ---- */

int32_t cmlx_predict(cmlx_prediction *prediction, cmlx_error **error);
/* Several predictions of one model in one call of Core ML, which uses no caller's memory for outputs then. No states; the
   model must be loaded with max_in_flight 1 (CMLX_E_UNSUPPORTED otherwise), for this call may not overlap others.
   Canceller, timeout and the out times are those of the first one. All succeed or none. */
int32_t cmlx_predict_batch(cmlx_prediction *predictions, uint32_t count, cmlx_error **error);

/* ---- the same work without blocking: submit, then take completions ---- */

int32_t cmlx_queue_create(cmlx_handle *out, cmlx_error **error);
/* Readable exactly while completions wait; at end of file after shutdown. The queue's: poll it, never read or close it.
   -1: no such queue. */
int32_t cmlx_queue_fd(cmlx_handle queue);
/* Takes up to `capacity` completions. timeout_ns < 0 waits for one, 0 only looks. None in time: CMLX_E_TIMEOUT. */
int32_t cmlx_queue_wait(cmlx_handle queue, cmlx_completion *out, uint32_t capacity, int64_t timeout_ns, uint32_t *count, cmlx_error **error);
/* Ends the work, frees what nobody takes any more, wakes everyone who waits. Twice is fine. */
int32_t cmlx_queue_shutdown(cmlx_handle queue, cmlx_error **error);
/* Exactly one completion comes for every ticket, also for a cancelled one. */
int32_t cmlx_queue_compile(cmlx_handle queue, uint64_t tag, const char *path, const char *destination, uint64_t *ticket, cmlx_error **error);
int32_t cmlx_queue_load(cmlx_handle queue, uint64_t tag, const char *path, const cmlx_load_options *options, uint64_t *ticket, cmlx_error **error);
int32_t cmlx_queue_plan(cmlx_handle queue, uint64_t tag, const char *path, const cmlx_load_options *options, uint64_t *ticket, cmlx_error **error);
/* `prediction` and `inputs` are copied at the call. `outputs` (the array) must stay until the completion; flags, and
   what CMLX_T_ALLOCATE gives, are written there before it. Memory by address must stay until the completion too, and is
   always copied in and out; its canceller is ignored, cmlx_queue_cancel has its part. */
int32_t cmlx_queue_predict(cmlx_handle queue, uint64_t tag, const cmlx_prediction *prediction, uint64_t *ticket, cmlx_error **error);
/* A completion for every change of the thermal state, all with this ticket, until cancelled. */
int32_t cmlx_queue_watch_thermal(cmlx_handle queue, uint64_t tag, uint64_t *ticket, cmlx_error **error);
/* CMLX_E_NOT_FOUND: that ticket is not running (any more). */
int32_t cmlx_queue_cancel(cmlx_handle queue, uint64_t ticket, cmlx_error **error);

/* ---- quarantine ---- */

int32_t cmlx_quarantine_read(cmlx_quarantine *out, cmlx_error **error);
/* Beyond either, no prediction is accepted (CMLX_E_QUARANTINE_FULL). At the start: 16 calls, 1 GiB. */
int32_t cmlx_quarantine_limit(uint64_t calls, uint64_t bytes, cmlx_error **error);

/* ---- pictures ---- */

/* Whatever ImageIO reads (HEIC, TIFF, …), as stored pixels of sRGB or gray, turned upright, without alpha. More than
   max_pixels: CMLX_E_INVALID_ARGUMENT, before anything is decoded. */
int32_t cmlx_image_decode(const uint8_t *data, uint64_t size, uint64_t max_pixels, cmlx_image *out, cmlx_error **error);

/* ---- the machine ---- */

/* JSON {"model", "product", "chip", "osVersion", "osBuild", "memoryBytes", "cores", "performanceCores",
   "efficiencyCores", "gpuCores", "isVirtual", "isLowPowerMode", "powerSource": "ac"|"battery"|"ups", "thermalState",
   "aneAvailable", "devices": [{"kind": "cpu"} | {"kind": "gpu", "name", "registryID": "…"} | {"kind": "ane", "cores"}…]};
   what the system does not tell is left out. */
int32_t cmlx_device_describe(cmlx_bytes *json, cmlx_error **error);
/* The value of a sysctl as the system stores it: text with its NUL, or 4 or 8 bytes of a number. */
int32_t cmlx_sysctl_read(const char *name, cmlx_bytes *out, cmlx_error **error);
int32_t cmlx_usage_read(cmlx_usage *out, cmlx_error **error);
int32_t cmlx_thermal_read(cmlx_thermal *out, cmlx_error **error);

#ifdef __cplusplus
}
#endif
#endif
