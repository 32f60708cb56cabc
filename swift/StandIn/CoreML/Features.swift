// Stands in for the values of features, and what carries them into and out of a model.
import CoreVideo
import Foundation

public struct MLFeatureType: StandInEnum {
  public let rawValue: Int
  public init?(rawValue: Int) { self.rawValue = rawValue }
  public static let invalid = MLFeatureType(rawValue: 0)!
  public static let int64 = MLFeatureType(rawValue: 1)!
  public static let double = MLFeatureType(rawValue: 2)!
  public static let string = MLFeatureType(rawValue: 3)!
  public static let image = MLFeatureType(rawValue: 4)!
  public static let multiArray = MLFeatureType(rawValue: 5)!
  public static let dictionary = MLFeatureType(rawValue: 6)!
  public static let sequence = MLFeatureType(rawValue: 7)!
  @available(macOS 15.0, *)
  public static let state = MLFeatureType(rawValue: 8)!
}

open class MLSequence: NSObject {
  public let type: MLFeatureType
  public let stringValues: [String]
  public let int64Values: [NSNumber]
  public init(strings stringValues: [String]) {
    type = .string
    self.stringValues = stringValues
    int64Values = []
  }
  public init(int64s int64Values: [NSNumber]) {
    type = .int64
    stringValues = []
    self.int64Values = int64Values
  }
}

open class MLFeatureValue: NSObject {
  public let type: MLFeatureType
  public let int64Value: Int64
  public let doubleValue: Double
  public let stringValue: String
  public let multiArrayValue: MLMultiArray?
  public let dictionaryValue: [AnyHashable: NSNumber]
  public let imageBufferValue: CVPixelBuffer?
  public let sequenceValue: MLSequence?

  private init(_ type: MLFeatureType, int64: Int64 = 0, double: Double = 0, string: String = "", array: MLMultiArray? = nil, dictionary: [AnyHashable: NSNumber] = [:], image: CVPixelBuffer? = nil, sequence: MLSequence? = nil) {
    self.type = type
    int64Value = int64
    doubleValue = double
    stringValue = string
    multiArrayValue = array
    dictionaryValue = dictionary
    imageBufferValue = image
    sequenceValue = sequence
  }
  public convenience init(int64 value: Int64) { self.init(.int64, int64: value) }
  public convenience init(double value: Double) { self.init(.double, double: value) }
  public convenience init(string value: String) { self.init(.string, string: value) }
  public convenience init(multiArray value: MLMultiArray) { self.init(.multiArray, array: value) }
  public convenience init(pixelBuffer value: CVPixelBuffer) { self.init(.image, image: value) }
  public convenience init(sequence: MLSequence) { self.init(.sequence, sequence: sequence) }
  public convenience init(dictionary value: [AnyHashable: NSNumber]) throws {
    let keys = value.keys
    guard keys.allSatisfy({ $0.base is String }) || keys.allSatisfy({ $0.base is NSNumber || $0.base is Int || $0.base is Int64 }) else {
      throw failure(.featureType, "The keys of a dictionary must be all strings or all integers.")
    }
    self.init(.dictionary, dictionary: value)
  }
}

public protocol MLFeatureProvider: AnyObject {
  var featureNames: Set<String> { get }
  func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
  public let dictionary: [String: MLFeatureValue]
  public init(dictionary: [String: Any]) throws {
    self.dictionary = try dictionary.mapValues { value in
      guard let value = value as? MLFeatureValue else { throw failure(.featureType, "Unsupported value.") }
      return value
    }
  }
  public var featureNames: Set<String> { Set(dictionary.keys) }
  public func featureValue(for featureName: String) -> MLFeatureValue? { dictionary[featureName] }
}

public protocol MLBatchProvider: AnyObject {
  var count: Int { get }
  func features(at index: Int) -> any MLFeatureProvider
}

open class MLArrayBatchProvider: NSObject, MLBatchProvider {
  public let array: [any MLFeatureProvider]
  public init(array: [any MLFeatureProvider]) { self.array = array }
  public var count: Int { array.count }
  public func features(at index: Int) -> any MLFeatureProvider { array[index] }
}

open class MLPredictionOptions: NSObject {
  @available(macOS 13.0, *)
  public var outputBackings: [String: Any] = [:]
  public override init() {}
}

@available(macOS 15.0, *)
public final class MLState: NSObject, @unchecked Sendable {
  let arrays: [String: MLMultiArray]
  private let lock = NSLock()
  private var isInUse = false

  init(_ arrays: [String: MLMultiArray]) { self.arrays = arrays }

  func enter() {
    lock.withLock {
      if isInUse { StandInML.breakRule("two calls at once on one MLState") }
      isInUse = true
    }
  }
  func leave() { lock.withLock { isInUse = false } }
}
