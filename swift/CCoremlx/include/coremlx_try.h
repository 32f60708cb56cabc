/* Internal, not part of the ABI: every call of Core ML that may raise an Objective-C exception. Swift cannot catch one,
   and it must not unwind Swift frames; so the call is made, and the exception caught, in try.m. On Linux the stand-in
   defines the same functions.

   Objects travel as plain pointers. Those that come in are borrowed; those that go out (`result`, `failure`, and the
   arguments of cmlx_try_done) come with one reference, which the receiver must release. */
#ifndef COREMLX_TRY_H
#define COREMLX_TRY_H
#include <stddef.h>

enum { CMLX_TRY_OK = 0, CMLX_TRY_FAILED = 1, CMLX_TRY_RAISED = 2 };

typedef struct cmlx_try {
  void *result;
  void *failure; /* NSError */
  char *raised;  /* name and reason of the exception, from malloc */
} cmlx_try;

/* Exactly one of result and failure is set. Called once, on any thread, also before the starting call returns. Not
   called where the starting call raised. */
typedef void (*cmlx_try_done)(void *context, void *result, void *failure);
typedef void (*cmlx_try_body)(void *context, void *array);

/* state NULL: stateless. */
int cmlx_try_predict(void *model, void *features, void *state, void *options, cmlx_try *out);
int cmlx_try_predict_start(void *model, void *features, void *state, void *options, void *context,
                           cmlx_try_done done, cmlx_try *out);
int cmlx_try_predict_batch(void *model, void *batch, void *options, cmlx_try *out);
int cmlx_try_load_start(void *url, void *configuration, void *context, cmlx_try_done done, cmlx_try *out);
int cmlx_try_compile_start(void *url, void *context, cmlx_try_done done, cmlx_try *out);
int cmlx_try_asset(void *url, cmlx_try *out);
/* function NULL: the default one. */
int cmlx_try_asset_description_start(void *asset, void *function, void *context, cmlx_try_done done, cmlx_try *out);
int cmlx_try_asset_functions_start(void *asset, void *context, cmlx_try_done done, cmlx_try *out);
int cmlx_try_state_make(void *model, cmlx_try *out);
/* body runs inside the call, with the state's MLMultiArray, borrowed. */
int cmlx_try_state_array(void *state, void *name, void *context, cmlx_try_body body, cmlx_try *out);
int cmlx_try_surface_array(void *pixels, void *shape, cmlx_try *out);
#endif
