// Layouts are part of the ABI: a change here is a new CMLX_ABI_VERSION.
#include "coremlx.h"

_Static_assert(sizeof(cmlx_error) == 40, "cmlx_error");
_Static_assert(sizeof(cmlx_bytes) == 16, "cmlx_bytes");
_Static_assert(sizeof(cmlx_tensor) == 184, "cmlx_tensor");
_Static_assert(offsetof(cmlx_tensor, data) == 24, "cmlx_tensor.data");
_Static_assert(offsetof(cmlx_tensor, shape) == 56, "cmlx_tensor.shape");
_Static_assert(offsetof(cmlx_tensor, strides) == 120, "cmlx_tensor.strides");
_Static_assert(sizeof(cmlx_load_options) == 64, "cmlx_load_options");
_Static_assert(sizeof(cmlx_control) == 40, "cmlx_control");
_Static_assert(sizeof(cmlx_prediction) == 128, "cmlx_prediction");
_Static_assert(offsetof(cmlx_prediction, inputs) == 40, "cmlx_prediction.inputs");
_Static_assert(offsetof(cmlx_prediction, output_values) == 80, "cmlx_prediction.output_values");
_Static_assert(sizeof(cmlx_completion) == 72, "cmlx_completion");
_Static_assert(sizeof(cmlx_buffer_options) == 32, "cmlx_buffer_options");
_Static_assert(sizeof(cmlx_buffer_info) == 48, "cmlx_buffer_info");
_Static_assert(sizeof(cmlx_model_stats) == 56, "cmlx_model_stats");
_Static_assert(sizeof(cmlx_quarantine) == 56, "cmlx_quarantine");
_Static_assert(sizeof(cmlx_usage) == 48, "cmlx_usage");
_Static_assert(sizeof(cmlx_thermal) == 24, "cmlx_thermal");
_Static_assert(sizeof(cmlx_image) == 32, "cmlx_image");
