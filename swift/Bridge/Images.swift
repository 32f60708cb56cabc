// Pixels between the caller's memory and CoreVideo's pixel buffers.
import CCoremlx
import CoreVideo
import Foundation

func makePixels(_ format: OSType, width: Int, height: Int) throws -> CVPixelBuffer {
  guard width >= 1, height >= 1, width <= 1 << 20, height <= 1 << 20 else { throw invalid("Cannot make a surface of \(width) x \(height)") }
  let surface = NSDictionary(object: NSDictionary(), forKey: kCVPixelBufferIOSurfacePropertiesKey as NSString)
  var pixels: CVPixelBuffer?
  let status = CVPixelBufferCreate(kCFAllocatorDefault, width, height, format, surface as CFDictionary, &pixels)
  guard status == kCVReturnSuccess, let pixels else { throw Failure(.coreML, "Cannot make a surface of \(width) x \(height): CoreVideo says \(status)") }
  return pixels
}

/// Runs `body` with the pixels' memory and the bytes from row to row.
func withPixels<R>(_ pixels: CVPixelBuffer, _ flags: CVPixelBufferLockFlags, _ body: (UnsafeMutableRawPointer, Int) throws -> R) throws -> R {
  CVPixelBufferLockBaseAddress(pixels, flags)
  defer { CVPixelBufferUnlockBaseAddress(pixels, flags) }
  guard let base = CVPixelBufferGetBaseAddress(pixels) else { throw Failure(.coreML, "Cannot reach the memory of a pixel buffer") }
  return try body(base, CVPixelBufferGetBytesPerRow(pixels))
}

extension CVPixelBuffer {
  var heightAndWidth: [Int] { [CVPixelBufferGetHeight(self), CVPixelBufferGetWidth(self)] }

  /// Throws for a pixel format that this library does not know.
  func element() throws -> Element {
    let format = CVPixelBufferGetPixelFormatType(self)
    guard let element = Element(pixelFormat: format) else { throw Failure(.unsupported, "Cannot read an image: its pixel format \(format) is unknown") }
    return element
  }
}

extension TensorRef {
  /// A pixel buffer with this image: over the same memory where the format allows it, else a converted copy.
  func makePixelBuffer() throws -> CVPixelBuffer {
    if let owner, case .surface(let pixels, _) = owner.memory { return pixels }
    let rowBytes = strides[0] * element.bytes
    if element == .rgb8 {
      let pixels = try makePixels(kCVPixelFormatType_32BGRA, width: shape[1], height: shape[0])
      try withPixels(pixels, []) { base, row in
        for y in 0..<shape[0] { expandRow(data! + y * rowBytes, base + y * row, shape[1]) }
      }
      return pixels
    }
    guard let format = element.pixelFormat, element.isPixel else { throw invalid("Cannot use \(element.label) for an image") }
    let held = owner.map { Unmanaged.passRetained($0) }
    var pixels: CVPixelBuffer?
    let status = CVPixelBufferCreateWithBytes(
      kCFAllocatorDefault, shape[1], shape[0], format, data!, rowBytes,
      { context, _ in if let context { Unmanaged<BufferObject>.fromOpaque(context).release() } },
      held?.toOpaque(), nil, &pixels)
    guard status == kCVReturnSuccess, let pixels else {
      held?.release()
      throw Failure(.coreML, "Cannot make an image of \(shape[1]) x \(shape[0]): CoreVideo says \(status)")
    }
    return pixels
  }

  /// Takes over an image of the same size. Gives whether the format was changed.
  func copyIn(_ pixels: CVPixelBuffer) throws -> Bool {
    let from = try pixels.element()
    guard from == element || from == .bgra8 && element == .rgb8 else {
      throw invalid("Cannot give an image of \(from.label) as \(element.label)")
    }
    try withPixels(pixels, .readOnly) { base, row in
      try withMemory([]) { target, targetStrides in
        let targetRow = targetStrides[0] * element.bytes
        for y in 0..<shape[0] {
          if from == element {
            memcpy(target + y * targetRow, base + y * row, shape[1] * element.bytes)
          } else {
            reduceRow(base + y * row, target + y * targetRow, shape[1])
          }
        }
      }
    }
    return from != element
  }
}

/// RGB to BGRA.
private func expandRow(_ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer, _ count: Int) {
  let source = from.assumingMemoryBound(to: UInt8.self)
  let target = to.assumingMemoryBound(to: UInt8.self)
  for x in 0..<count {
    target[x * 4] = source[x * 3 + 2]
    target[x * 4 + 1] = source[x * 3 + 1]
    target[x * 4 + 2] = source[x * 3]
    target[x * 4 + 3] = 255
  }
}

/// BGRA to RGB.
private func reduceRow(_ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer, _ count: Int) {
  let source = from.assumingMemoryBound(to: UInt8.self)
  let target = to.assumingMemoryBound(to: UInt8.self)
  for x in 0..<count {
    target[x * 3] = source[x * 4 + 2]
    target[x * 3 + 1] = source[x * 4 + 1]
    target[x * 3 + 2] = source[x * 4]
  }
}
