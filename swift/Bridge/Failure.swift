// What every call can fail with, and the shape of an exported function.
import CCoremlx
import CoreML
import Foundation

#if os(Linux)
  import DarwinStandIn
#endif

/// The numbers of coremlx.h.
enum Status: Int32 {
  case invalidArgument = 1
  case badHandle = 2
  case coreML = 3
  case bufferTooSmall = 4
  case busy = 5
  case cancelled = 6
  case closed = 7
  case unsupported = 8
  case timeout = 9
  case inside = 10
  case notFound = 11
  case quarantined = 12
  case quarantineFull = 13
  case poisoned = 14
}

struct Failure: Error {
  var status: Status
  var domain = "coremlx"
  var code: Int64
  var message: String
  /// Errors of the framework beneath this one, outermost first.
  var underlying: [Json] = []
  /// An Objective-C exception: the object that raised it must not be used again.
  var isRaised = false

  init(_ status: Status, _ message: String) {
    self.status = status
    code = Int64(status.rawValue)
    self.message = message
  }

  /// An exception that try.m caught.
  init(raised text: String) {
    self.init(.coreML, text)
    domain = "NSException"
    isRaised = true
  }

  /// Anything thrown.
  init(_ error: any Error) {
    if let own = error as? Failure {
      self = own
      return
    }
    let outer = error as NSError
    self.init(.coreML, outer.localizedDescription)
    domain = outer.domain
    code = Int64(outer.code)
    if domain == MLModelErrorDomain, outer.code == MLModelError.Code.predictionCancelled.rawValue { status = .cancelled }
    // try.m says this itself where the system is too old.
    if domain == "coremlx", let own = Status(rawValue: Int32(truncatingIfNeeded: outer.code)) { status = own }
    var inner = outer.userInfo[NSUnderlyingErrorKey] as? NSError
    while let error = inner, underlying.count < 8 {
      underlying.append([
        "domain": .text(error.domain), "code": .integer(Int64(error.code)), "message": .text(error.localizedDescription),
      ])
      inner = error.userInfo[NSUnderlyingErrorKey] as? NSError
    }
  }

  /// One block: the struct, then three texts. Owned by whoever gets it; `free` frees all. Nil: no memory even for that.
  func makeBlock() -> UnsafeMutablePointer<cmlx_error>? {
    let detail = underlying.isEmpty ? "{}" : Json.object(["underlying": .array(underlying)]).text
    let texts = [domain, message, detail].map { Array($0.utf8CString) }
    let head = MemoryLayout<cmlx_error>.size
    guard let block = malloc(head + texts.reduce(0) { $0 + $1.count }) else { return nil }
    var at = block + head
    let pointers = texts.map { text in
      text.withUnsafeBytes { at.copyMemory(from: $0.baseAddress!, byteCount: text.count) }
      defer { at += text.count }
      return UnsafePointer(at.assumingMemoryBound(to: CChar.self))
    }
    let error = block.bindMemory(to: cmlx_error.self, capacity: 1)
    error.initialize(
      to: cmlx_error(
        status: status.rawValue, reserved: 0, code: code, domain: pointers[0], message: pointers[1], detail: pointers[2]))
    return error
  }
}

func invalid(_ message: String) -> Failure { Failure(.invalidArgument, message) }

typealias ErrorOut = UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>

/// The one place where an exported function opens an autorelease pool and makes errors.
@inline(__always)
func guarded(_ out: ErrorOut?, _ body: () throws -> Void) -> Int32 {
  out?.pointee = nil
  do {
    try autoreleasepool { try body() }
    return 0
  } catch {
    let failure = Failure(error)
    out?.pointee = failure.makeBlock()
    return failure.status.rawValue
  }
}

/// Refuses a struct of a caller who was compiled against another header.
func checkSize<Struct>(_ size: UInt32, of type: Struct.Type) throws {
  guard size == UInt32(MemoryLayout<Struct>.size) else {
    throw invalid("Cannot read a \(type): its struct_size is \(size), this library's is \(MemoryLayout<Struct>.size)")
  }
}

/// A required pointer.
func require<Pointer>(_ pointer: Pointer?, _ name: String) throws -> Pointer {
  guard let pointer else { throw invalid("Cannot go on: \(name) is NULL") }
  return pointer
}

/// A required text.
func requireText(_ text: UnsafePointer<CChar>?, _ name: String) throws -> String {
  let given = try require(text, name)
  let read = String(cString: given)
  // What is no UTF-8 was repaired, and is another text then.
  let isSame = given.withMemoryRebound(to: UInt8.self, capacity: strlen(given)) { read.utf8.elementsEqual(UnsafeBufferPointer(start: $0, count: strlen(given))) }
  guard isSame else { throw invalid("Cannot read \(name): it is not UTF-8") }
  guard !read.isEmpty else { throw invalid("Cannot go on: \(name) is empty") }
  return read
}

/// Bytes that pass to the caller, with a NUL behind.
func makeBytes(_ bytes: some Collection<UInt8>) throws -> cmlx_bytes {
  guard let block = malloc(bytes.count + 1) else { throw Failure(.inside, "Cannot allocate \(bytes.count) bytes") }
  let data = block.assumingMemoryBound(to: UInt8.self)
  _ = UnsafeMutableBufferPointer(start: data, count: bytes.count).initialize(from: bytes)
  data[bytes.count] = 0
  return cmlx_bytes(data: data, size: UInt64(bytes.count))
}
func makeBytes(_ text: String) throws -> cmlx_bytes { try makeBytes(Array(text.utf8)) }

@_cdecl("cmlx_abi_version")
public func abiVersion() -> UInt32 { CMLX_ABI_VERSION }

@_cdecl("cmlx_is_apple")
public func isApple() -> UInt32 {
  #if os(Linux)
    0
  #else
    1
  #endif
}

@_cdecl("cmlx_error_free")
public func errorFree(_ error: UnsafeMutablePointer<cmlx_error>?) { free(error) }

@_cdecl("cmlx_bytes_free")
public func bytesFree(_ bytes: UnsafeMutablePointer<cmlx_bytes>?) {
  free(bytes?.pointee.data)
  bytes?.pointee = cmlx_bytes()
}

@_cdecl("cmlx_monotonic_ns")
public func monotonicNs() -> UInt64 { cmlx_clock_ns() }
