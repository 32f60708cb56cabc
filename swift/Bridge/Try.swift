// Calls of Core ML that may raise an Objective-C exception: made in try.m, their outcome as Swift has it.
import CCoremlx
import Foundation

/// The result of one function of coremlx_try.h, nil where it has none. Throws what the framework said or raised.
@discardableResult
func attempt(_ body: (UnsafeMutablePointer<cmlx_try>) -> Int32) throws -> AnyObject? {
  var out = cmlx_try()
  let status = Int(body(&out))
  if status == Int(CMLX_TRY_OK) { return takeObject(out.result) }
  if status == Int(CMLX_TRY_FAILED), let error = takeObject(out.failure) as? NSError { throw Failure(error) }
  let text = out.raised.map { String(cString: $0) } ?? "unknown exception"
  free(out.raised)
  throw Failure(raised: text)
}

/// Takes over the reference that came with a pointer.
func takeObject(_ pointer: UnsafeMutableRawPointer?) -> AnyObject? {
  pointer.map { Unmanaged<AnyObject>.fromOpaque($0).takeRetainedValue() }
}

/// Lends an object to C: good as long as the object is held.
func lend(_ object: AnyObject) -> UnsafeMutableRawPointer { Unmanaged.passUnretained(object).toOpaque() }
