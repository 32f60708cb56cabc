// The functions of libcoremlx, in the order of swift/CCoremlx/include/coremlx.h. Each row bears its prototype from there:
// scripts/check-abi.ts compares both with the header and with what swift/Bridge exports.

import type { FFIFunction } from "bun:ffi";

/** Of the header that this table was written after. */
export const coremlAbiVersion = 2;

export const coremlSymbols = {
  // ---- library
  // uint32_t cmlx_abi_version(void)
  cmlx_abi_version: { args: [], returns: "u32" },
  // uint32_t cmlx_is_apple(void)
  cmlx_is_apple: { args: [], returns: "u32" },
  // void cmlx_error_free(cmlx_error *error)
  cmlx_error_free: { args: ["ptr"], returns: "void" },
  // void cmlx_bytes_free(cmlx_bytes *bytes)
  cmlx_bytes_free: { args: ["ptr"], returns: "void" },
  // int32_t cmlx_release(cmlx_handle handle, cmlx_error **error)
  cmlx_release: { args: ["u64", "ptr"], returns: "i32" },
  // uint64_t cmlx_live_handles(void)
  cmlx_live_handles: { args: [], returns: "u64" },
  // uint64_t cmlx_monotonic_ns(void)
  cmlx_monotonic_ns: { args: [], returns: "u64" },
  // ---- buffers
  // int32_t cmlx_buffer_create(const cmlx_buffer_options *options, cmlx_handle *out, cmlx_error **error)
  cmlx_buffer_create: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_buffer_wrap(void *base, uint64_t byte_size, cmlx_handle *out, cmlx_error **error)
  cmlx_buffer_wrap: { args: ["ptr", "u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_buffer_read(cmlx_handle buffer, cmlx_buffer_info *info, cmlx_error **error)
  cmlx_buffer_read: { args: ["u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_buffer_begin(cmlx_handle buffer, uint32_t write, cmlx_buffer_info *info, cmlx_error **error)
  cmlx_buffer_begin: { args: ["u64", "u32", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_buffer_end(cmlx_handle buffer, cmlx_error **error)
  cmlx_buffer_end: { args: ["u64", "ptr"], returns: "i32" },
  // int32_t cmlx_buffer_lend(cmlx_handle buffer, void **context, cmlx_error **error)
  cmlx_buffer_lend: { args: ["u64", "ptr", "ptr"], returns: "i32" },
  // void cmlx_buffer_drop(void *base, void *context)
  cmlx_buffer_drop: { args: ["ptr", "ptr"], returns: "void" },
  // ---- cancelling
  // int32_t cmlx_canceller_create(cmlx_handle *out, cmlx_error **error)
  cmlx_canceller_create: { args: ["ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_canceller_cancel(cmlx_handle canceller, cmlx_error **error)
  cmlx_canceller_cancel: { args: ["u64", "ptr"], returns: "i32" },
  // int32_t cmlx_canceller_reset(cmlx_handle canceller, cmlx_error **error)
  cmlx_canceller_reset: { args: ["u64", "ptr"], returns: "i32" },
  // ---- models; these calls block
  // int32_t cmlx_model_compile(const char *path, const char *destination, cmlx_control *control, cmlx_bytes *out, cmlx_error **error)
  cmlx_model_compile: { args: ["ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_model_load(const char *path, const cmlx_load_options *options, cmlx_control *control, cmlx_handle *out, cmlx_error **error)
  cmlx_model_load: { args: ["ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_model_share(cmlx_handle model, cmlx_handle *out, cmlx_error **error)
  cmlx_model_share: { args: ["u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_model_describe(cmlx_handle model, cmlx_bytes *json, cmlx_error **error)
  cmlx_model_describe: { args: ["u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_asset_describe(const char *path, const char *function, cmlx_control *control, cmlx_bytes *json, cmlx_error **error)
  cmlx_asset_describe: { args: ["ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_model_read_stats(cmlx_handle model, cmlx_model_stats *stats, cmlx_error **error)
  cmlx_model_read_stats: { args: ["u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_plan_read(const char *path, const cmlx_load_options *options, cmlx_control *control, cmlx_bytes *json, cmlx_error **error)
  cmlx_plan_read: { args: ["ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // ---- state
  // int32_t cmlx_state_create(cmlx_handle model, cmlx_handle *out, cmlx_error **error)
  cmlx_state_create: { args: ["u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_state_read(cmlx_handle state, const char *name, cmlx_tensor *tensor, cmlx_error **error)
  cmlx_state_read: { args: ["u64", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_state_write(cmlx_handle state, const char *name, const cmlx_tensor *tensor, cmlx_error **error)
  cmlx_state_write: { args: ["u64", "ptr", "ptr", "ptr"], returns: "i32" },
  // ---- prediction; these calls block
  // int32_t cmlx_predict(cmlx_prediction *prediction, cmlx_error **error)
  cmlx_predict: { args: ["ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_predict_batch(cmlx_prediction *predictions, uint32_t count, cmlx_error **error)
  cmlx_predict_batch: { args: ["ptr", "u32", "ptr"], returns: "i32" },
  // ---- the same work without blocking: submit, then take completions
  // int32_t cmlx_queue_create(cmlx_handle *out, cmlx_error **error)
  cmlx_queue_create: { args: ["ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_fd(cmlx_handle queue)
  cmlx_queue_fd: { args: ["u64"], returns: "i32" },
  // int32_t cmlx_queue_wait(cmlx_handle queue, cmlx_completion *out, uint32_t capacity, int64_t timeout_ns, uint32_t *count, cmlx_error **error)
  cmlx_queue_wait: { args: ["u64", "ptr", "u32", "i64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_shutdown(cmlx_handle queue, cmlx_error **error)
  cmlx_queue_shutdown: { args: ["u64", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_compile(cmlx_handle queue, uint64_t tag, const char *path, const char *destination, uint64_t *ticket, cmlx_error **error)
  cmlx_queue_compile: { args: ["u64", "u64", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_load(cmlx_handle queue, uint64_t tag, const char *path, const cmlx_load_options *options, uint64_t *ticket, cmlx_error **error)
  cmlx_queue_load: { args: ["u64", "u64", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_plan(cmlx_handle queue, uint64_t tag, const char *path, const cmlx_load_options *options, uint64_t *ticket, cmlx_error **error)
  cmlx_queue_plan: { args: ["u64", "u64", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_predict(cmlx_handle queue, uint64_t tag, const cmlx_prediction *prediction, uint64_t *ticket, cmlx_error **error)
  cmlx_queue_predict: { args: ["u64", "u64", "ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_watch_thermal(cmlx_handle queue, uint64_t tag, uint64_t *ticket, cmlx_error **error)
  cmlx_queue_watch_thermal: { args: ["u64", "u64", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_queue_cancel(cmlx_handle queue, uint64_t ticket, cmlx_error **error)
  cmlx_queue_cancel: { args: ["u64", "u64", "ptr"], returns: "i32" },
  // ---- quarantine
  // int32_t cmlx_quarantine_read(cmlx_quarantine *out, cmlx_error **error)
  cmlx_quarantine_read: { args: ["ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_quarantine_limit(uint64_t calls, uint64_t bytes, cmlx_error **error)
  cmlx_quarantine_limit: { args: ["u64", "u64", "ptr"], returns: "i32" },
  // ---- pictures
  // int32_t cmlx_image_decode(const uint8_t *data, uint64_t size, uint64_t max_pixels, cmlx_image *out, cmlx_error **error)
  cmlx_image_decode: { args: ["ptr", "u64", "u64", "ptr", "ptr"], returns: "i32" },
  // ---- the machine
  // int32_t cmlx_device_describe(cmlx_bytes *json, cmlx_error **error)
  cmlx_device_describe: { args: ["ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_sysctl_read(const char *name, cmlx_bytes *out, cmlx_error **error)
  cmlx_sysctl_read: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_usage_read(cmlx_usage *out, cmlx_error **error)
  cmlx_usage_read: { args: ["ptr", "ptr"], returns: "i32" },
  // int32_t cmlx_thermal_read(cmlx_thermal *out, cmlx_error **error)
  cmlx_thermal_read: { args: ["ptr", "ptr"], returns: "i32" },
} as const satisfies Record<string, FFIFunction>;
