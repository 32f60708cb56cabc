// The calls of Core ML that may raise, each made and guarded in one C frame (see coremlx_try.h).
#ifdef __APPLE__
#import <CoreML/CoreML.h>
#import <Foundation/Foundation.h>
#include <string.h>
#include "coremlx_try.h"

static void *own(id object) { return object ? (void *)CFBridgingRetain(object) : NULL; }

static int caught(NSException *exception, cmlx_try *out) {
  out->raised = strdup([[NSString stringWithFormat:@"%@: %@", exception.name, exception.reason] UTF8String]);
  return CMLX_TRY_RAISED;
}

// Some methods return nil without saying why; a missing error must not become a missing answer.
static NSError *known(NSError *error) {
  if (error) return error;
  return [NSError errorWithDomain:MLModelErrorDomain
                             code:MLModelErrorGeneric
                         userInfo:@{NSLocalizedDescriptionKey : @"Core ML gave neither a result nor an error"}];
}

static int settle(id result, NSError *error, cmlx_try *out) {
  if (result) {
    out->result = own(result);
    return CMLX_TRY_OK;
  }
  out->failure = own(known(error));
  return CMLX_TRY_FAILED;
}

static void pass(void *context, cmlx_try_done done, id result, NSError *error) {
  if (result) done(context, own(result), NULL);
  else done(context, NULL, own(known(error)));
}

static int unsupported(const char *what, cmlx_try *out) {
  NSString *text = [NSString stringWithFormat:@"%s needs macOS 15", what];
  return settle(nil, [NSError errorWithDomain:@"coremlx" code:8 userInfo:@{NSLocalizedDescriptionKey : text}], out);
}

int cmlx_try_predict(void *model, void *features, void *state, void *options, cmlx_try *out) {
  @autoreleasepool {
    @try {
      NSError *error = nil;
      id result = nil;
      if (!state) {
        result = [(__bridge MLModel *)model predictionFromFeatures:(__bridge id<MLFeatureProvider>)features
                                                           options:(__bridge MLPredictionOptions *)options
                                                             error:&error];
      } else if (@available(macOS 15.0, *)) {
        result = [(__bridge MLModel *)model predictionFromFeatures:(__bridge id<MLFeatureProvider>)features
                                                        usingState:(__bridge MLState *)state
                                                           options:(__bridge MLPredictionOptions *)options
                                                             error:&error];
      } else {
        return unsupported("A state", out);
      }
      return settle(result, error, out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_predict_start(void *model, void *features, void *state, void *options, void *context,
                           cmlx_try_done done, cmlx_try *out) {
  @autoreleasepool {
    @try {
      void (^handler)(id<MLFeatureProvider>, NSError *) = ^(id<MLFeatureProvider> result, NSError *error) {
        @autoreleasepool {
          pass(context, done, result, error);
        }
      };
      if (!state) {
        [(__bridge MLModel *)model predictionFromFeatures:(__bridge id<MLFeatureProvider>)features
                                                  options:(__bridge MLPredictionOptions *)options
                                        completionHandler:handler];
      } else if (@available(macOS 15.0, *)) {
        [(__bridge MLModel *)model predictionFromFeatures:(__bridge id<MLFeatureProvider>)features
                                               usingState:(__bridge MLState *)state
                                                  options:(__bridge MLPredictionOptions *)options
                                        completionHandler:handler];
      } else {
        return unsupported("A state", out);
      }
      return CMLX_TRY_OK;
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_predict_batch(void *model, void *batch, void *options, cmlx_try *out) {
  @autoreleasepool {
    @try {
      NSError *error = nil;
      id result = [(__bridge MLModel *)model predictionsFromBatch:(__bridge id<MLBatchProvider>)batch
                                                          options:(__bridge MLPredictionOptions *)options
                                                            error:&error];
      return settle(result, error, out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_load_start(void *url, void *configuration, void *context, cmlx_try_done done, cmlx_try *out) {
  @autoreleasepool {
    @try {
      [MLModel loadContentsOfURL:(__bridge NSURL *)url
                   configuration:(__bridge MLModelConfiguration *)configuration
               completionHandler:^(MLModel *model, NSError *error) {
                 @autoreleasepool {
                   pass(context, done, model, error);
                 }
               }];
      return CMLX_TRY_OK;
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_compile_start(void *url, void *context, cmlx_try_done done, cmlx_try *out) {
  @autoreleasepool {
    @try {
      [MLModel compileModelAtURL:(__bridge NSURL *)url
               completionHandler:^(NSURL *compiled, NSError *error) {
                 @autoreleasepool {
                   pass(context, done, compiled, error);
                 }
               }];
      return CMLX_TRY_OK;
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_asset(void *url, cmlx_try *out) {
  @autoreleasepool {
    @try {
      if (@available(macOS 15.0, *)) {
        NSError *error = nil;
        id asset = [MLModelAsset modelAssetWithURL:(__bridge NSURL *)url error:&error];
        return settle(asset, error, out);
      }
      return unsupported("A description without loading", out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_asset_description_start(void *asset, void *function, void *context, cmlx_try_done done, cmlx_try *out) {
  @autoreleasepool {
    @try {
      if (@available(macOS 15.0, *)) {
        void (^handler)(MLModelDescription *, NSError *) = ^(MLModelDescription *description, NSError *error) {
          @autoreleasepool {
            pass(context, done, description, error);
          }
        };
        if (function) {
          [(__bridge MLModelAsset *)asset modelDescriptionOfFunctionNamed:(__bridge NSString *)function
                                                        completionHandler:handler];
        } else {
          [(__bridge MLModelAsset *)asset modelDescriptionWithCompletionHandler:handler];
        }
        return CMLX_TRY_OK;
      }
      return unsupported("A description without loading", out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_asset_functions_start(void *asset, void *context, cmlx_try_done done, cmlx_try *out) {
  @autoreleasepool {
    @try {
      if (@available(macOS 15.0, *)) {
        [(__bridge MLModelAsset *)asset
            functionNamesWithCompletionHandler:^(NSArray<NSString *> *names, NSError *error) {
              @autoreleasepool {
                pass(context, done, names, error);
              }
            }];
        return CMLX_TRY_OK;
      }
      return unsupported("A description without loading", out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_state_make(void *model, cmlx_try *out) {
  @autoreleasepool {
    @try {
      if (@available(macOS 15.0, *)) {
        MLState *state = [(__bridge MLModel *)model newState];
        int status = settle(state, nil, out);
#if !__has_feature(objc_arc)
        [state release]; // "new" gave a reference, settle took its own
#endif
        return status;
      }
      return unsupported("A state", out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_state_array(void *state, void *name, void *context, cmlx_try_body body, cmlx_try *out) {
  @autoreleasepool {
    @try {
      if (@available(macOS 15.0, *)) {
        [(__bridge MLState *)state getMultiArrayForStateNamed:(__bridge NSString *)name
                                                      handler:^(MLMultiArray *array) {
                                                        body(context, (__bridge void *)array);
                                                      }];
        return CMLX_TRY_OK;
      }
      return unsupported("A state", out);
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}

int cmlx_try_surface_array(void *pixels, void *shape, cmlx_try *out) {
  @autoreleasepool {
    @try {
      MLMultiArray *array = [[MLMultiArray alloc] initWithPixelBuffer:(CVPixelBufferRef)pixels
                                                                shape:(__bridge NSArray<NSNumber *> *)shape];
      int status = settle(array, nil, out);
#if !__has_feature(objc_arc)
      [array release]; // "alloc" gave a reference, settle took its own
#endif
      return status;
    } @catch (NSException *exception) {
      return caught(exception, out);
    }
  }
}
#endif
