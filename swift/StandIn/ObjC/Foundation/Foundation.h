// Stands in for the part of Foundation that try.m uses, so that it can be checked where there is no SDK.
#define API_AVAILABLE(...) API_AVAILABLE_OF(__VA_ARGS__)
#define API_AVAILABLE_OF(platform) __attribute__((availability(API_PLATFORM_##platform)))
#define API_PLATFORM_macos(version) macos, introduced = version

typedef signed char BOOL;
typedef long NSInteger;
typedef unsigned long NSUInteger;
typedef const void *CFTypeRef;
#define nil ((id)0)

@protocol NSObject
@end

__attribute__((objc_root_class))
@interface NSObject <NSObject>
+ (instancetype)alloc;
- (instancetype)init;
- (oneway void)release;
@end

@interface NSString : NSObject
+ (instancetype)stringWithFormat:(NSString *)format, ...;
@property(readonly) const char *UTF8String;
@end

@interface NSException : NSObject
@property(readonly, copy) NSString *name;
@property(readonly, copy) NSString *reason;
@end

@interface NSDictionary : NSObject
+ (instancetype)dictionaryWithObjects:(const id[])objects forKeys:(const id[])keys count:(NSUInteger)count;
@end

@interface NSArray<ObjectType> : NSObject
@end

@interface NSNumber : NSObject
@end

@interface NSURL : NSObject
@end

@interface NSError : NSObject
+ (instancetype)errorWithDomain:(NSString *)domain code:(NSInteger)code userInfo:(NSDictionary *)userInfo;
@end

extern NSString *const NSLocalizedDescriptionKey;

static inline CFTypeRef CFBridgingRetain(id object) { return (__bridge_retained CFTypeRef)object; }
