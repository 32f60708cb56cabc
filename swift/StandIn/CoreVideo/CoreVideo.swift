// Stands in for the part of CoreVideo that coremlx uses, on Linux only: Apple's signatures over plain memory.
// Surfaces pad their rows and show their memory only while locked, as IOSurfaces do.
import Foundation

public typealias OSType = UInt32
public typealias CVReturn = Int32
public typealias CVOptionFlags = UInt64
public typealias CFString = NSString
public typealias CFDictionary = NSDictionary
public typealias CFAllocator = NSObject

nonisolated(unsafe) public let kCFAllocatorDefault: CFAllocator! = nil
public let kCVReturnSuccess: CVReturn = 0
public let kCVReturnInvalidArgument: CVReturn = -6661
public let kCVReturnAllocationFailed: CVReturn = -6662
public let kCVPixelFormatType_32BGRA: OSType = 0x4247_5241
public let kCVPixelFormatType_OneComponent8: OSType = 0x4C30_3038
public let kCVPixelFormatType_OneComponent16Half: OSType = 0x4C30_3068
nonisolated(unsafe) public let kCVPixelBufferIOSurfacePropertiesKey: CFString = "IOSurfaceProperties"

public struct CVPixelBufferLockFlags: OptionSet, Sendable {
  public let rawValue: CVOptionFlags
  public init(rawValue: CVOptionFlags) { self.rawValue = rawValue }
  public static let readOnly = CVPixelBufferLockFlags(rawValue: 1)
}

public typealias CVPixelBufferReleaseBytesCallback = @convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer?) -> Void

public final class CVBuffer: @unchecked Sendable {
  let width: Int
  let height: Int
  let rowBytes: Int
  let format: OSType
  let base: UnsafeMutableRawPointer
  private let release: () -> Void
  private let lock = NSLock()
  private var lockCount = 0

  init(width: Int, height: Int, format: OSType, rowBytes: Int, base: UnsafeMutableRawPointer, release: @escaping () -> Void) {
    self.width = width
    self.height = height
    self.format = format
    self.rowBytes = rowBytes
    self.base = base
    self.release = release
    _ = StandInVideo.countLive(1)
  }
  deinit {
    release()
    _ = StandInVideo.countLive(-1)
  }
  func changeLocks(_ by: Int) {
    lock.withLock { lockCount += by }
  }
  var isLocked: Bool { lock.withLock { lockCount > 0 } }
}
public typealias CVImageBuffer = CVBuffer
public typealias CVPixelBuffer = CVImageBuffer

/// What only tests of the library set and read.
public enum StandInVideo {
  nonisolated(unsafe) private static var live = 0
  /// Refuse the next creations.
  nonisolated(unsafe) public static var isOutOfSurfaces = false
  private static let lock = NSLock()

  static func countLive(_ by: Int) -> Int {
    lock.withLock {
      live += by
      return live
    }
  }
  public static var liveBuffers: Int { countLive(0) }

  public static func elementBytes(_ format: OSType) -> Int? {
    switch format {
    case kCVPixelFormatType_32BGRA: 4
    case kCVPixelFormatType_OneComponent8: 1
    case kCVPixelFormatType_OneComponent16Half: 2
    default: nil
    }
  }
}

public func CVPixelBufferCreate(_ allocator: CFAllocator?, _ width: Int, _ height: Int, _ pixelFormatType: OSType, _ pixelBufferAttributes: CFDictionary?, _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>) -> CVReturn {
  guard width > 0, height > 0, let element = StandInVideo.elementBytes(pixelFormatType) else { return kCVReturnInvalidArgument }
  if StandInVideo.isOutOfSurfaces { return kCVReturnAllocationFailed }
  let isSurface = pixelBufferAttributes?.object(forKey: kCVPixelBufferIOSurfacePropertiesKey) != nil
  let rowBytes = isSurface ? (width * element + 63) / 64 * 64 : width * element
  let base = UnsafeMutableRawPointer.allocate(byteCount: rowBytes * height, alignment: 16384)
  memset(base, 0, rowBytes * height)
  pixelBufferOut.pointee = CVBuffer(width: width, height: height, format: pixelFormatType, rowBytes: rowBytes, base: base) { base.deallocate() }
  return kCVReturnSuccess
}

public func CVPixelBufferCreateWithBytes(_ allocator: CFAllocator?, _ width: Int, _ height: Int, _ pixelFormatType: OSType, _ baseAddress: UnsafeMutableRawPointer, _ bytesPerRow: Int, _ releaseCallback: CVPixelBufferReleaseBytesCallback?, _ releaseRefCon: UnsafeMutableRawPointer?, _ pixelBufferAttributes: CFDictionary?, _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>) -> CVReturn {
  guard width > 0, height > 0, let element = StandInVideo.elementBytes(pixelFormatType), bytesPerRow >= width * element else { return kCVReturnInvalidArgument }
  if StandInVideo.isOutOfSurfaces { return kCVReturnAllocationFailed }
  pixelBufferOut.pointee = CVBuffer(width: width, height: height, format: pixelFormatType, rowBytes: bytesPerRow, base: baseAddress) {
    releaseCallback?(releaseRefCon, baseAddress)
  }
  return kCVReturnSuccess
}

@discardableResult public func CVPixelBufferLockBaseAddress(_ pixelBuffer: CVPixelBuffer, _ lockFlags: CVPixelBufferLockFlags) -> CVReturn {
  pixelBuffer.changeLocks(1)
  return kCVReturnSuccess
}
@discardableResult public func CVPixelBufferUnlockBaseAddress(_ pixelBuffer: CVPixelBuffer, _ unlockFlags: CVPixelBufferLockFlags) -> CVReturn {
  pixelBuffer.changeLocks(-1)
  return kCVReturnSuccess
}
public func CVPixelBufferGetBaseAddress(_ pixelBuffer: CVPixelBuffer) -> UnsafeMutableRawPointer? {
  pixelBuffer.isLocked ? pixelBuffer.base : nil
}
public func CVPixelBufferGetBytesPerRow(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.rowBytes }
public func CVPixelBufferGetWidth(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.width }
public func CVPixelBufferGetHeight(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.height }
public func CVPixelBufferGetPixelFormatType(_ pixelBuffer: CVPixelBuffer) -> OSType { pixelBuffer.format }
