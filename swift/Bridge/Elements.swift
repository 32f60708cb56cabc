// Element types: the header's numbers, Core ML's, and CoreVideo's.
import CCoremlx
import CoreML
import CoreVideo

enum Element: UInt32 {
  case f64 = 1
  case f32 = 2
  case f16 = 3
  case i32 = 4
  case i8 = 5
  case bgra8 = 16
  case gray8 = 17
  case gray16f = 18
  case rgb8 = 19

  var bytes: Int {
    switch self {
    case .f64: 8
    case .f32, .i32, .bgra8: 4
    case .rgb8: 3
    case .f16, .gray16f: 2
    case .i8, .gray8: 1
    }
  }
  /// What `data` must be a multiple of.
  var alignment: Int { self == .bgra8 || self == .rgb8 ? 1 : bytes }
  var isPixel: Bool { rawValue >= 16 }

  var label: String {
    switch self {
    case .f64: "float64"
    case .f32: "float32"
    case .f16: "float16"
    case .i32: "int32"
    case .i8: "int8"
    case .bgra8: "BGRA8"
    case .gray8: "GRAY8"
    case .gray16f: "GRAY16F"
    case .rgb8: "RGB8"
    }
  }

  /// Nil for a type this library does not know: an NS_ENUM may hold any number.
  init?(_ type: MLMultiArrayDataType) {
    switch type {
    case .double: self = .f64
    case .float32: self = .f32
    case .float16: self = .f16
    case .int32: self = .i32
    default:
      guard #available(macOS 26.0, *), isAllowed(26.0), type == .signedByte else { return nil }
      self = .i8
    }
  }

  /// Throws for pixels, and for types this system does not have.
  func arrayType() throws -> MLMultiArrayDataType {
    switch self {
    case .f64: return .double
    case .f32: return .float32
    case .f16: return .float16
    case .i32: return .int32
    case .i8:
      if #available(macOS 26.0, *), isAllowed(26.0) { return .signedByte }
      throw Failure(.unsupported, "Cannot use int8: such multi arrays need macOS 26")
    default: throw invalid("Cannot use \(label) for a multi array")
    }
  }

  init?(pixelFormat: OSType) {
    switch pixelFormat {
    case kCVPixelFormatType_32BGRA: self = .bgra8
    case kCVPixelFormatType_OneComponent8: self = .gray8
    case kCVPixelFormatType_OneComponent16Half: self = .gray16f
    default: return nil
    }
  }

  /// Of a surface that holds such elements; nil where there is none.
  var pixelFormat: OSType? {
    switch self {
    case .bgra8: kCVPixelFormatType_32BGRA
    case .gray8, .i8: kCVPixelFormatType_OneComponent8
    case .gray16f, .f16: kCVPixelFormatType_OneComponent16Half
    default: nil
    }
  }
}

@available(macOS 26.0, *)
extension MLMultiArrayDataType {
  /// `.int8` of the SDK of macOS 26, written so that older SDKs compile it.
  static var signedByte: MLMultiArrayDataType { MLMultiArrayDataType(rawValue: 0x20008)! }
}
