// Stands in for the part of Core ML that try.m sends messages to: Apple's declarations and availability, for checking
// try.m where there is no SDK.
#import <Foundation/Foundation.h>

typedef struct CVBuffer *CVPixelBufferRef;

extern NSString *const MLModelErrorDomain;
enum { MLModelErrorGeneric = 0 };

@protocol MLFeatureProvider
@end
@protocol MLBatchProvider
@end

@interface MLPredictionOptions : NSObject
@end

@interface MLModelConfiguration : NSObject
@end

@interface MLModelDescription : NSObject
@end

@interface MLMultiArray : NSObject
- (instancetype)initWithPixelBuffer:(CVPixelBufferRef)pixelBuffer shape:(NSArray<NSNumber *> *)shape API_AVAILABLE(macos(12.0));
@end

API_AVAILABLE(macos(15.0))
@interface MLState : NSObject
- (void)getMultiArrayForStateNamed:(NSString *)stateName handler:(void (^)(MLMultiArray *buffer))handler API_AVAILABLE(macos(15.0));
@end

@interface MLModelAsset : NSObject
+ (instancetype)modelAssetWithURL:(NSURL *)compiledModelURL error:(NSError **)error API_AVAILABLE(macos(15.0));
- (void)modelDescriptionWithCompletionHandler:(void (^)(MLModelDescription *modelDescription, NSError *error))handler API_AVAILABLE(macos(15.0));
- (void)modelDescriptionOfFunctionNamed:(NSString *)functionName completionHandler:(void (^)(MLModelDescription *modelDescription, NSError *error))handler API_AVAILABLE(macos(15.0));
- (void)functionNamesWithCompletionHandler:(void (^)(NSArray<NSString *> *functionNames, NSError *error))handler API_AVAILABLE(macos(15.0));
@end

@interface MLModel : NSObject
+ (void)loadContentsOfURL:(NSURL *)url configuration:(MLModelConfiguration *)configuration completionHandler:(void (^)(MLModel *model, NSError *error))handler API_AVAILABLE(macos(11.0));
+ (void)compileModelAtURL:(NSURL *)modelURL completionHandler:(void (^)(NSURL *compiledModelURL, NSError *error))handler API_AVAILABLE(macos(13.0));
- (id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)input options:(MLPredictionOptions *)options error:(NSError **)error;
- (void)predictionFromFeatures:(id<MLFeatureProvider>)input options:(MLPredictionOptions *)options completionHandler:(void (^)(id<MLFeatureProvider> output, NSError *error))completionHandler API_AVAILABLE(macos(14.0));
- (id<MLBatchProvider>)predictionsFromBatch:(id<MLBatchProvider>)inputBatch options:(MLPredictionOptions *)options error:(NSError **)error API_AVAILABLE(macos(10.14));
- (MLState *)newState API_AVAILABLE(macos(15.0));
- (id<MLFeatureProvider>)predictionFromFeatures:(id<MLFeatureProvider>)inputFeatures usingState:(MLState *)state options:(MLPredictionOptions *)options error:(NSError **)error API_AVAILABLE(macos(15.0));
- (void)predictionFromFeatures:(id<MLFeatureProvider>)inputFeatures usingState:(MLState *)state options:(MLPredictionOptions *)options completionHandler:(void (^)(id<MLFeatureProvider> output, NSError *error))completionHandler API_AVAILABLE(macos(15.0));
@end
