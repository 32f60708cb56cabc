// Memory that predictions use without a copy: pages, surfaces, and memory of the caller's.
import CCoremlx
import CoreVideo
import Foundation

/// Owns its memory (a wrapped one borrows it). Who uses it is counted here: predictions hold it, and those that were
/// given up keep it in quarantine until they really end.
final class BufferObject: Handled, @unchecked Sendable {
  static let kind = Kind.buffer
  static let label = "buffer"

  enum Memory {
    case plain(UnsafeMutableRawPointer)
    case wrapped(UnsafeMutableRawPointer)
    case surface(CVPixelBuffer, Element)
  }
  private struct Users {
    var held = 0
    var quarantined = 0
    /// While somebody accesses it: how. CoreVideo wants the same again at the end.
    var access: CVPixelBufferLockFlags?
    var isReleased = false
  }

  let memory: Memory
  let byteSize: Int
  private let users = Lock(Users())

  /// Zero bytes in whole pages.
  init(byteSize: Int) throws {
    guard byteSize > 0, byteSize <= 1 << 40 else { throw invalid("Cannot create a buffer of \(byteSize) bytes") }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let rounded = (byteSize + page - 1) / page * page
    var base: UnsafeMutableRawPointer?
    guard posix_memalign(&base, page, rounded) == 0, let base else { throw Failure(.inside, "Cannot allocate \(byteSize) bytes") }
    memset(base, 0, rounded)
    memory = .plain(base)
    self.byteSize = byteSize
  }

  init(wrapping base: UnsafeMutableRawPointer, byteSize: Int) throws {
    guard byteSize > 0, byteSize <= 1 << 40 else { throw invalid("Cannot wrap \(byteSize) bytes") }
    memory = .wrapped(base)
    self.byteSize = byteSize
  }

  init(surface element: Element, width: Int, height: Int) throws {
    if element == .i8 { _ = try element.arrayType() }
    guard let format = element.pixelFormat else { throw invalid("Cannot create a surface of \(element.label)") }
    let pixels = try makePixels(format, width: width, height: height)
    memory = .surface(pixels, element)
    byteSize = CVPixelBufferGetBytesPerRow(pixels) * height
  }

  deinit { if case .plain(let base) = memory { free(base) } }

  /// Nil for a surface: its memory has an address only while it is locked.
  var base: UnsafeMutableRawPointer? {
    switch memory {
    case .plain(let base), .wrapped(let base): base
    case .surface: nil
    }
  }
  var isPlain: Bool { if case .plain = memory { true } else { false } }

  /// For one prediction.
  func hold() throws {
    try users.withLock { users in
      if users.isReleased { throw Failure(.badHandle, "Cannot use the buffer: it was just released") }
      if users.quarantined > 0 { throw Failure(.quarantined, "Cannot use the buffer: a prediction that was given up may still touch it") }
      if users.access != nil { throw Failure(.busy, "Cannot use the buffer: it is between begin and end") }
      users.held += 1
    }
  }
  func letGo() { users.withLock { $0.held -= 1 } }
  func enterQuarantine() { users.withLock { $0.quarantined += 1 } }
  func leaveQuarantine() { users.withLock { $0.quarantined -= 1 } }

  /// Throws where anybody else uses it.
  func begin(write: Bool) throws {
    try users.withLock { users in
      if users.quarantined > 0 { throw Failure(.quarantined, "Cannot access the buffer: a prediction that was given up may still touch it") }
      if users.held > 0 { throw Failure(.busy, "Cannot access the buffer: a prediction uses it") }
      if users.access != nil { throw Failure(.busy, "Cannot access the buffer: somebody else does") }
      users.access = write ? [] : .readOnly
      if case .surface(let pixels, _) = memory { CVPixelBufferLockBaseAddress(pixels, write ? [] : .readOnly) }
    }
  }
  func end() throws {
    try users.withLock { users in
      guard let access = users.access else { throw invalid("Cannot end the access: it has not begun") }
      users.access = nil
      if case .surface(let pixels, _) = memory { CVPixelBufferUnlockBaseAddress(pixels, access) }
    }
  }

  func willRelease() throws {
    guard case .wrapped = memory else { return }
    try users.withLock { users in
      if users.held > 0 { throw Failure(.busy, "Cannot release the wrapped memory: a prediction may still touch it") }
      users.isReleased = true
    }
  }

  func describe(_ info: UnsafeMutablePointer<cmlx_buffer_info>) {
    let (held, quarantined, isAccessed) = users.withLock { ($0.held, $0.quarantined, $0.access != nil) }
    var flags = 0
    if held > 0 { flags |= Int(CMLX_BUFFER_IN_USE) }
    if quarantined > 0 { flags |= Int(CMLX_BUFFER_QUARANTINED) }
    if isAccessed { flags |= Int(CMLX_BUFFER_ACCESSED) }
    info.pointee.flags = UInt32(flags)
    info.pointee.byte_size = UInt64(byteSize)
    info.pointee.base = base
    info.pointee.dtype = 0
    info.pointee.row_bytes = 0
    info.pointee.width = 0
    info.pointee.height = 0
    switch memory {
    case .plain: info.pointee.kind = UInt32(CMLX_BUFFER_PLAIN)
    case .wrapped: info.pointee.kind = UInt32(CMLX_BUFFER_WRAPPED)
    case .surface(let pixels, let element):
      info.pointee.kind = UInt32(CMLX_BUFFER_SURFACE)
      info.pointee.dtype = element.rawValue
      info.pointee.row_bytes = UInt64(CVPixelBufferGetBytesPerRow(pixels))
      info.pointee.width = UInt32(CVPixelBufferGetWidth(pixels))
      info.pointee.height = UInt32(CVPixelBufferGetHeight(pixels))
      if isAccessed { info.pointee.base = CVPixelBufferGetBaseAddress(pixels) }
    }
  }
}

@_cdecl("cmlx_buffer_create")
public func bufferCreate(
  _ options: UnsafePointer<cmlx_buffer_options>?, _ out: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let options = try require(options, "options").pointee
    let out = try require(out, "out")
    try checkSize(options.struct_size, of: cmlx_buffer_options.self)
    switch Int(options.kind) {
    case Int(CMLX_BUFFER_PLAIN):
      out.pointee = try handles.insert(BufferObject(byteSize: Int(clamping: options.byte_size)))
    case Int(CMLX_BUFFER_SURFACE):
      guard let element = Element(rawValue: options.dtype) else { throw invalid("Cannot create a surface: there is no dtype \(options.dtype)") }
      out.pointee = try handles.insert(BufferObject(surface: element, width: Int(options.width), height: Int(options.height)))
    default: throw invalid("Cannot create a buffer: there is no kind \(options.kind)")
    }
  }
}

@_cdecl("cmlx_buffer_wrap")
public func bufferWrap(
  _ base: UnsafeMutableRawPointer?, _ byteSize: UInt64, _ out: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    out.pointee = try handles.insert(BufferObject(wrapping: require(base, "base"), byteSize: Int(clamping: byteSize)))
  }
}

@_cdecl("cmlx_buffer_read")
public func bufferRead(
  _ buffer: UInt64, _ info: UnsafeMutablePointer<cmlx_buffer_info>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let info = try require(info, "info")
    try checkSize(info.pointee.struct_size, of: cmlx_buffer_info.self)
    try handles.get(buffer, as: BufferObject.self).describe(info)
  }
}

@_cdecl("cmlx_buffer_begin")
public func bufferBegin(
  _ buffer: UInt64, _ write: UInt32, _ info: UnsafeMutablePointer<cmlx_buffer_info>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let info = try require(info, "info")
    try checkSize(info.pointee.struct_size, of: cmlx_buffer_info.self)
    let object = try handles.get(buffer, as: BufferObject.self)
    try object.begin(write: write != 0)
    object.describe(info)
  }
}

@_cdecl("cmlx_buffer_end")
public func bufferEnd(_ buffer: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?) -> Int32 {
  guarded(error) { try handles.get(buffer, as: BufferObject.self).end() }
}

@_cdecl("cmlx_buffer_lend")
public func bufferLend(
  _ buffer: UInt64, _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let context = try require(context, "context")
    let object = try handles.get(buffer, as: BufferObject.self)
    guard object.isPlain else { throw invalid("Cannot lend the buffer: it is not a plain one") }
    context.pointee = Unmanaged.passRetained(object).toOpaque()
  }
}

@_cdecl("cmlx_buffer_drop")
public func bufferDrop(_ base: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?) {
  if let context { Unmanaged<BufferObject>.fromOpaque(context).release() }
}
