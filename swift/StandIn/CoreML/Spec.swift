// The stand-in's model: `standin.json` in the model's folder, or `NAME.json` in the folder that the environment variable
// COREMLX_STANDIN_MODELS names, for a model folder called NAME. It says which features the model has, what it computes,
// and how it misbehaves.
import CoreVideo
import Foundation

struct Spec: Codable {
  struct Feature: Codable {
    var name: String
    /// multiArray (left out), image, int64, double, string, dictionary, sequence.
    var type: String?
    var optional: Bool?
    var shape: [Int]?
    /// f64 f32 f16 i32 i8
    var dtype: String?
    /// Multi arrays: [lower, upper] by axis, upper -1: unbounded; or every shape; or "unspecified".
    var ranges: [[Int]]?
    var shapes: [[Int]]?
    var constraint: String?
    /// Images: BGRA gray8 gray16f, or a number.
    var format: String?
    var width: Int?
    var height: Int?
    var widths: [Int]?
    var heights: [Int]?
    /// [height, width]
    var sizes: [[Int]]?
    /// Dictionaries, sequences: string or int64.
    var key: String?
    var element: String?
    var counts: [Int]?
  }
  struct Function: Codable {
    var inputs: [Feature]?
    var outputs: [Feature]?
    var scale: Double?
    var program: [Step]?
  }
  /// One step of what the model computes; values have names, inputs and states are there at the start.
  struct Step: Codable {
    /// scale (by, offset) · add, multiply (a second input, or values, cycled) · store (input into state) · echo ·
    /// answer (looked up by the first input's bytes) · classify (probabilities into label and dictionary)
    var op: String
    var inputs: [String]?
    var output: String?
    var state: String?
    var by: Double?
    var offset: Double?
    var values: [Double]?
    /// FNV-1a 64 of the input's dense bytes, as 16 hexadecimal digits.
    var answers: [String: [Double]]?
    /// Of the answer, where not the output's own.
    var shape: [Int]?
  }
  struct Faults: Codable {
    /// process: count predictions over all instances of this folder.
    var scope: String?
    /// Error of the framework after so many good predictions; as the Neural Engine without surfaces gives it.
    var errorAfter: Int?
    var error: String?
    /// NSException after so many.
    var raiseAfter: Int?
    /// The process ends after so many.
    var crashAfter: Int?
    /// Other numbers after so many: each plus this.
    var driftAfter: Int?
    var drift: Double?
    /// After so many, `hangCount` (1) predictions take `hangUs` (2 s) and leave `pattern` in every backing and state.
    var hangAfter: Int?
    var hangCount: Int?
    var hangUs: Int?
    var pattern: UInt8?
    var loadError: String?
    var loadRaises: Bool?
    var loadUs: Int?
    /// Only the first load of this folder in this process: the specialization that the system keeps.
    var firstLoadUs: Int?
    var compileUs: Int?
    var raiseOnStart: Bool?
    /// The handler is called twice with nothing: neither result nor error.
    var emptyAnswer: Bool?
    /// This output is missing from the result.
    var missingOutput: String?
    /// No state can be made.
    var stateRaises: Bool?
  }
  struct Operation: Codable {
    var op: String
    var name: String?
    var outputs: [String]?
    var device: String?
    var supported: [String]?
    var weight: Double?
    var isConstant: Bool?
    var blocks: [[Operation]]?
  }

  var inputs: [Feature]
  var outputs: [Feature]
  var states: [Feature]?
  /// Without a program every array and image output is the first array, image or state times this.
  var scale: Double?
  var program: [Step]?
  var functions: [String: Function]?
  var delayUs: Int?
  /// How arrays come back. honour: in the caller's backing · ignore: in own memory · padded: in own memory, rows padded
  /// to 32 elements · f16, f32, f64, i32: in own memory of that type
  var backing: String?
  var faults: Faults?
  var classLabels: [String]?
  var intLabels: [Int64]?
  var predictedFeatureName: String?
  var predictedProbabilitiesName: String?
  var metadata: [String: String]?
  var isUpdatable: Bool?
  /// Compute plan: program, neuralNetwork, pipeline, unsupported.
  var structure: String?
  var operations: [Operation]?

  static func read(_ url: URL) throws -> Spec {
    let inside = url.appendingPathComponent("standin.json")
    var data = try? Data(contentsOf: inside)
    if data == nil, let folder = ProcessInfo.processInfo.environment["COREMLX_STANDIN_MODELS"] {
      let name = url.deletingPathExtension().lastPathComponent
      data = try? Data(contentsOf: URL(fileURLWithPath: folder).appendingPathComponent("\(name).json"))
    }
    guard let data else {
      let inner = NSError(domain: NSCocoaErrorDomain, code: 260, userInfo: [NSLocalizedDescriptionKey: "There is no \(inside.path)."])
      throw failure(.io, "Unable to load model: \(url.path).", underlying: inner)
    }
    do { return try JSONDecoder().decode(Spec.self, from: data) } catch { throw failure(.io, "Damaged \(inside.path): \(error)") }
  }

  func choosing(_ function: String?) throws -> Spec {
    guard let function else { return self }
    guard let chosen = functions?[function] else { throw failure(.generic, "The model has no function \"\(function)\".") }
    var spec = self
    spec.inputs = chosen.inputs ?? inputs
    spec.outputs = chosen.outputs ?? outputs
    spec.scale = chosen.scale ?? scale
    spec.program = chosen.program ?? program
    return spec
  }
}

func dataType(_ name: String?) -> MLMultiArrayDataType {
  switch name {
  case "f64": .double
  case "f16": .float16
  case "i32": .int32
  case "i8": .int8
  case nil, "f32": .float32
  default: MLMultiArrayDataType(rawValue: 0x30007)!
  }
}

private func range(_ bounds: [Int]?) -> NSRange {
  guard let bounds else { return NSRange(location: 0, length: Int.max) }
  return NSRange(location: bounds[0], length: bounds[1] < 0 ? Int.max : bounds[1] - bounds[0])
}

extension Spec.Feature {
  var isArray: Bool { type == nil || type == "multiArray" }
  var pixelFormat: OSType {
    switch format {
    case "gray8": kCVPixelFormatType_OneComponent8
    case "gray16f": kCVPixelFormatType_OneComponent16Half
    case nil, "BGRA": kCVPixelFormatType_32BGRA
    default: OSType(format ?? "") ?? 0
    }
  }
  private static let types: [String: MLFeatureType] = [
    "multiArray": .multiArray, "image": .image, "int64": .int64, "double": .double, "string": .string,
    "dictionary": .dictionary, "sequence": .sequence, "state": .state,
  ]

  var description: MLFeatureDescription {
    let described = MLFeatureDescription(
      name: name, type: Self.types[type ?? "multiArray"] ?? MLFeatureType(rawValue: 99)!, isOptional: optional ?? false)
    switch type {
    case nil, "multiArray": described.multiArrayConstraint = arrayConstraint
    case "image": described.imageConstraint = imageConstraint
    case "dictionary": described.dictionaryConstraint = MLDictionaryConstraint(keyType: Self.types[key ?? "string"] ?? .string)
    case "sequence":
      let value = MLFeatureDescription(name: "", type: Self.types[element ?? "string"] ?? .string, isOptional: false)
      described.sequenceConstraint = MLSequenceConstraint(valueDescription: value, countRange: range(counts))
    case "state": described.stateConstraint = MLStateConstraint(bufferShape: shape ?? [], dataType: dataType(dtype))
    default: break
    }
    return described
  }

  private var arrayConstraint: MLMultiArrayConstraint {
    let numbers: ([Int]) -> [NSNumber] = { $0.map { NSNumber(value: $0) } }
    let own = shape ?? []
    let constraint: MLMultiArrayShapeConstraint
    if isUnspecified {
      constraint = MLMultiArrayShapeConstraint(type: .unspecified, ranges: [], shapes: [])
    } else if let ranges {
      constraint = MLMultiArrayShapeConstraint(type: .range, ranges: ranges.map { NSValue(range: range($0)) }, shapes: [])
    } else {
      constraint = MLMultiArrayShapeConstraint(type: .enumerated, ranges: [], shapes: (shapes ?? [own]).map(numbers))
    }
    return MLMultiArrayConstraint(shape: numbers(own), dataType: dataType(dtype), shapeConstraint: constraint)
  }
  private var isUnspecified: Bool { constraint == "unspecified" }

  private var imageConstraint: MLImageConstraint {
    let wide = width ?? 0
    let high = height ?? 0
    let constraint: MLImageSizeConstraint
    if widths != nil || heights != nil {
      constraint = MLImageSizeConstraint(type: .range, wide: range(widths ?? [wide, wide]), high: range(heights ?? [high, high]), sizes: [])
    } else if let sizes {
      let all = sizes.map { MLImageSize(wide: $0[1], high: $0[0]) }
      constraint = MLImageSizeConstraint(type: .enumerated, wide: range(nil), high: range(nil), sizes: all)
    } else {
      constraint = MLImageSizeConstraint(type: .unspecified, wide: range(nil), high: range(nil), sizes: [])
    }
    return MLImageConstraint(wide: wide, high: high, format: pixelFormat, sizeConstraint: constraint)
  }
}
