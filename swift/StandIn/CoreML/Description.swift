// Stands in for a model's description: features and what they may hold.
import CoreVideo
import Foundation

public struct MLMultiArrayShapeConstraintType: StandInEnum {
  public let rawValue: Int
  public init?(rawValue: Int) { self.rawValue = rawValue }
  public static let unspecified = MLMultiArrayShapeConstraintType(rawValue: 1)!
  public static let enumerated = MLMultiArrayShapeConstraintType(rawValue: 2)!
  public static let range = MLMultiArrayShapeConstraintType(rawValue: 3)!
}

open class MLMultiArrayShapeConstraint: NSObject {
  public let type: MLMultiArrayShapeConstraintType
  public let sizeRangeForDimension: [NSValue]
  public let enumeratedShapes: [[NSNumber]]
  init(type: MLMultiArrayShapeConstraintType, ranges: [NSValue], shapes: [[NSNumber]]) {
    self.type = type
    sizeRangeForDimension = ranges
    enumeratedShapes = shapes
  }
}

open class MLMultiArrayConstraint: NSObject {
  public let shape: [NSNumber]
  public let dataType: MLMultiArrayDataType
  public let shapeConstraint: MLMultiArrayShapeConstraint
  init(shape: [NSNumber], dataType: MLMultiArrayDataType, shapeConstraint: MLMultiArrayShapeConstraint) {
    self.shape = shape
    self.dataType = dataType
    self.shapeConstraint = shapeConstraint
  }
}

public struct MLImageSizeConstraintType: StandInEnum {
  public let rawValue: Int
  public init?(rawValue: Int) { self.rawValue = rawValue }
  public static let unspecified = MLImageSizeConstraintType(rawValue: 0)!
  public static let enumerated = MLImageSizeConstraintType(rawValue: 2)!
  public static let range = MLImageSizeConstraintType(rawValue: 3)!
}

open class MLImageSize: NSObject {
  public let pixelsWide: Int
  public let pixelsHigh: Int
  init(wide: Int, high: Int) {
    pixelsWide = wide
    pixelsHigh = high
  }
}

open class MLImageSizeConstraint: NSObject {
  public let type: MLImageSizeConstraintType
  public let pixelsWideRange: NSRange
  public let pixelsHighRange: NSRange
  public let enumeratedImageSizes: [MLImageSize]
  init(type: MLImageSizeConstraintType, wide: NSRange, high: NSRange, sizes: [MLImageSize]) {
    self.type = type
    pixelsWideRange = wide
    pixelsHighRange = high
    enumeratedImageSizes = sizes
  }
}

open class MLImageConstraint: NSObject {
  public let pixelsHigh: Int
  public let pixelsWide: Int
  public let pixelFormatType: OSType
  public let sizeConstraint: MLImageSizeConstraint
  init(wide: Int, high: Int, format: OSType, sizeConstraint: MLImageSizeConstraint) {
    pixelsWide = wide
    pixelsHigh = high
    pixelFormatType = format
    self.sizeConstraint = sizeConstraint
  }
}

open class MLDictionaryConstraint: NSObject {
  public let keyType: MLFeatureType
  init(keyType: MLFeatureType) { self.keyType = keyType }
}

open class MLSequenceConstraint: NSObject {
  public let valueDescription: MLFeatureDescription
  public let countRange: NSRange
  init(valueDescription: MLFeatureDescription, countRange: NSRange) {
    self.valueDescription = valueDescription
    self.countRange = countRange
  }
}

@available(macOS 15.0, *)
open class MLStateConstraint: NSObject {
  public let bufferShape: [Int]
  public let dataType: MLMultiArrayDataType
  init(bufferShape: [Int], dataType: MLMultiArrayDataType) {
    self.bufferShape = bufferShape
    self.dataType = dataType
  }
}

open class MLFeatureDescription: NSObject {
  public let name: String
  public let type: MLFeatureType
  public let isOptional: Bool
  public internal(set) var multiArrayConstraint: MLMultiArrayConstraint?
  public internal(set) var imageConstraint: MLImageConstraint?
  public internal(set) var dictionaryConstraint: MLDictionaryConstraint?
  public internal(set) var sequenceConstraint: MLSequenceConstraint?
  @available(macOS 15.0, *)
  public internal(set) var stateConstraint: MLStateConstraint?
  init(name: String, type: MLFeatureType, isOptional: Bool) {
    self.name = name
    self.type = type
    self.isOptional = isOptional
  }
}

public struct MLModelMetadataKey: Hashable, RawRepresentable, Sendable {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
  public static let description = MLModelMetadataKey(rawValue: "MLModelDescriptionKey")
  public static let versionString = MLModelMetadataKey(rawValue: "MLModelVersionStringKey")
  public static let author = MLModelMetadataKey(rawValue: "MLModelAuthorKey")
  public static let license = MLModelMetadataKey(rawValue: "MLModelLicenseKey")
  public static let creatorDefinedKey = MLModelMetadataKey(rawValue: "MLModelCreatorDefinedKey")
}

open class MLModelDescription: NSObject {
  public let inputDescriptionsByName: [String: MLFeatureDescription]
  public let outputDescriptionsByName: [String: MLFeatureDescription]
  @available(macOS 15.0, *)
  public let stateDescriptionsByName: [String: MLFeatureDescription]
  public let predictedFeatureName: String?
  public let predictedProbabilitiesName: String?
  public let metadata: [MLModelMetadataKey: Any]
  public let classLabels: [Any]?
  public let isUpdatable: Bool

  init(_ spec: Spec) {
    func byName(_ features: [Spec.Feature]) -> [String: MLFeatureDescription] {
      Dictionary(uniqueKeysWithValues: features.map { ($0.name, $0.description) })
    }
    inputDescriptionsByName = byName(spec.inputs)
    outputDescriptionsByName = byName(spec.outputs)
    stateDescriptionsByName = byName(
      (spec.states ?? []).map { state in
        var state = state
        state.type = "state"
        return state
      })
    predictedFeatureName = spec.predictedFeatureName
    predictedProbabilitiesName = spec.predictedProbabilitiesName
    classLabels = spec.classLabels ?? spec.intLabels?.map { NSNumber(value: $0) }
    isUpdatable = spec.isUpdatable ?? false
    metadata = [
      .description: spec.metadata?["description"] ?? "", .versionString: spec.metadata?["version"] ?? "",
      .author: spec.metadata?["author"] ?? "", .license: spec.metadata?["license"] ?? "",
      .creatorDefinedKey: (spec.metadata ?? [:]).filter { !["description", "version", "author", "license"].contains($0.key) },
    ]
  }
}
