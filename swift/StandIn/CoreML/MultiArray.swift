// Stands in for MLMultiArray: any strides, any numeric type, own memory, the caller's, or a pixel buffer's.
import CoreVideo
import Foundation

public struct MLMultiArrayDataType: StandInEnum {
  public let rawValue: Int
  public init?(rawValue: Int) { self.rawValue = rawValue }
  public static let double = MLMultiArrayDataType(rawValue: 0x10040)!
  public static let float32 = MLMultiArrayDataType(rawValue: 0x10020)!
  @available(macOS 12.0, *)
  public static let float16 = MLMultiArrayDataType(rawValue: 0x10010)!
  public static let int32 = MLMultiArrayDataType(rawValue: 0x20020)!

  static let int8 = MLMultiArrayDataType(rawValue: 0x20008)!
  var bytes: Int { (rawValue & 0xFFFF) / 8 }
}

open class MLMultiArray: NSObject {
  public let dataType: MLMultiArrayDataType
  let sizes: [Int]
  let steps: [Int]
  let base: UnsafeMutableRawPointer
  private let deallocator: ((UnsafeMutableRawPointer) -> Void)?
  private let pixels: CVPixelBuffer?

  public var shape: [NSNumber] { sizes.map { NSNumber(value: $0) } }
  public var strides: [NSNumber] { steps.map { NSNumber(value: $0) } }
  public var count: Int { sizes.reduce(1, *) }

  init(sizes: [Int], type: MLMultiArrayDataType, steps: [Int], base: UnsafeMutableRawPointer, pixels: CVPixelBuffer? = nil, deallocator: ((UnsafeMutableRawPointer) -> Void)?) {
    self.sizes = sizes
    dataType = type
    self.steps = steps
    self.base = base
    self.pixels = pixels
    self.deallocator = deallocator
    super.init()
    StandInML.countArrays(1)
  }
  deinit {
    deallocator?(base)
    StandInML.countArrays(-1)
  }

  convenience init(own sizes: [Int], _ type: MLMultiArrayDataType, steps: [Int]) {
    let span = zip(sizes, steps).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
    let base = UnsafeMutableRawPointer.allocate(byteCount: max(1, span * type.bytes), alignment: 64)
    memset(base, 0, max(1, span * type.bytes))
    self.init(sizes: sizes, type: type, steps: steps, base: base) { $0.deallocate() }
  }

  public convenience init(dataPointer: UnsafeMutableRawPointer, shape: [NSNumber], dataType: MLMultiArrayDataType, strides: [NSNumber], deallocator: ((UnsafeMutableRawPointer) -> Void)? = nil) throws {
    guard shape.count == strides.count, !shape.isEmpty else { throw failure(.generic, "Shape and strides differ in rank.") }
    self.init(sizes: shape.map { $0.intValue }, type: dataType, steps: strides.map { $0.intValue }, base: dataPointer, deallocator: deallocator)
  }

  /// initWithPixelBuffer:shape:, which raises where format or shape do not fit.
  static func over(_ pixels: CVPixelBuffer, _ sizes: [Int]) throws -> MLMultiArray {
    let format = CVPixelBufferGetPixelFormatType(pixels)
    let type: MLMultiArrayDataType
    switch format {
    case kCVPixelFormatType_OneComponent16Half: type = .float16
    case kCVPixelFormatType_OneComponent8: type = .int8
    default: throw StandInException(name: "NSInvalidArgumentException", reason: "The pixel format \(format) is no multi array's.")
    }
    guard sizes.last == CVPixelBufferGetWidth(pixels), sizes.dropLast().reduce(1, *) == CVPixelBufferGetHeight(pixels) else {
      throw StandInException(name: "NSInvalidArgumentException", reason: "The shape \(sizes) does not fit the pixel buffer.")
    }
    var steps = dense(sizes)
    let row = CVPixelBufferGetBytesPerRow(pixels) / type.bytes
    for i in 0..<(sizes.count - 1) { steps[i] = steps[i] / sizes[sizes.count - 1] * row }
    CVPixelBufferLockBaseAddress(pixels, [])
    let base = CVPixelBufferGetBaseAddress(pixels)!
    CVPixelBufferUnlockBaseAddress(pixels, [])
    return MLMultiArray(sizes: sizes, type: type, steps: steps, base: base, pixels: pixels, deallocator: nil)
  }

  private var spanBytes: Int { zip(sizes, steps).reduce(1) { $0 + ($1.0 - 1) * $1.1 } * dataType.bytes }

  @available(macOS 12.3, *)
  public func withUnsafeBytes<R>(_ body: (_ ptr: UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(start: base, count: spanBytes))
  }
  @available(macOS 12.3, *)
  public func withUnsafeMutableBytes<R>(_ body: (_ ptr: UnsafeMutableRawBufferPointer, _ strides: [Int]) throws -> R) rethrows -> R {
    try body(UnsafeMutableRawBufferPointer(start: base, count: spanBytes), steps)
  }

  // What the stand-in's models compute with.

  static func dense(_ sizes: [Int]) -> [Int] {
    var steps = [Int](repeating: 1, count: sizes.count)
    for i in stride(from: sizes.count - 2, through: 0, by: -1) { steps[i] = steps[i + 1] * sizes[i + 1] }
    return steps
  }
  private func offset(_ linear: Int) -> Int {
    var rest = linear
    var offset = 0
    for i in stride(from: sizes.count - 1, through: 0, by: -1) {
      offset += rest % sizes[i] * steps[i]
      rest /= sizes[i]
    }
    return offset
  }
  func get(_ linear: Int) -> Double {
    let at = offset(linear) * dataType.bytes
    switch dataType {
    case .double: return base.load(fromByteOffset: at, as: Double.self)
    case .float32: return Double(base.load(fromByteOffset: at, as: Float.self))
    case .float16: return Double(base.load(fromByteOffset: at, as: Float16.self))
    case .int32: return Double(base.load(fromByteOffset: at, as: Int32.self))
    default: return Double(base.load(fromByteOffset: at, as: Int8.self))
    }
  }
  func set(_ linear: Int, _ value: Double) {
    let at = offset(linear) * dataType.bytes
    switch dataType {
    case .double: base.storeBytes(of: value, toByteOffset: at, as: Double.self)
    case .float32: base.storeBytes(of: Float(value), toByteOffset: at, as: Float.self)
    case .float16: base.storeBytes(of: Float16(value), toByteOffset: at, as: Float16.self)
    case .int32: base.storeBytes(of: Int32(value), toByteOffset: at, as: Int32.self)
    default: base.storeBytes(of: Int8(clamping: Int(value)), toByteOffset: at, as: Int8.self)
    }
  }
  var numbers: [Double] { (0..<count).map(get) }
  /// What a hung prediction leaves behind.
  func scribble(_ byte: UInt8) { memset(base, Int32(byte), spanBytes) }
}
