// Stands in for what a model is loaded with.
import Foundation
import Metal

public struct MLComputeUnits: StandInEnum {
  public let rawValue: Int
  public init?(rawValue: Int) { self.rawValue = rawValue }
  public static let cpuOnly = MLComputeUnits(rawValue: 0)!
  public static let cpuAndGPU = MLComputeUnits(rawValue: 1)!
  public static let all = MLComputeUnits(rawValue: 2)!
  @available(macOS 13.0, *)
  public static let cpuAndNeuralEngine = MLComputeUnits(rawValue: 3)!
}

@available(macOS 14.4, *)
public struct MLOptimizationHints: Equatable, Sendable {
  @available(macOS 14.4, *)
  public enum ReshapeFrequency: Int, Sendable {
    case frequent
    case infrequent
  }
  @available(macOS 15.0, *)
  public enum SpecializationStrategy: Int, Sendable {
    case `default`
    case fastPrediction
  }
  public var reshapeFrequency: MLOptimizationHints.ReshapeFrequency = .frequent
  @available(macOS 15.0, *)
  public var specializationStrategy: MLOptimizationHints.SpecializationStrategy = .default
  public init() {}
}

open class MLModelConfiguration: NSObject {
  @available(macOS 13.0, *)
  public var modelDisplayName: String?
  public var computeUnits: MLComputeUnits = .all
  @available(macOS 14.4, *)
  public var optimizationHints: MLOptimizationHints = MLOptimizationHints()
  public var allowLowPrecisionAccumulationOnGPU: Bool = false
  public var preferredMetalDevice: (any MTLDevice)?
  @available(macOS 15.0, *)
  public var functionName: String?
  public override init() {}
}
