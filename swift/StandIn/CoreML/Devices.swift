// Stands in for the compute devices of a made-up Mac, and for the plan that places a model's operations on them.
import Foundation
import Metal

@available(macOS 14.0, *)
public final class MLCPUComputeDevice: NSObject, Sendable {}

@available(macOS 14.0, *)
public final class MLGPUComputeDevice: NSObject, Sendable {
  public let metalDevice: any MTLDevice
  init(_ device: any MTLDevice) { metalDevice = device }
}

@available(macOS 14.0, *)
public final class MLNeuralEngineComputeDevice: NSObject, Sendable {
  public let totalCoreCount: Int
  init(_ count: Int) { totalCoreCount = count }
}

@available(macOS 14.0, *)
public enum MLComputeDevice: Equatable, Hashable, CustomStringConvertible, Sendable {
  case cpu(MLCPUComputeDevice)
  case gpu(MLGPUComputeDevice)
  case neuralEngine(MLNeuralEngineComputeDevice)
  public var description: String {
    switch self {
    case .cpu: "CPU"
    case .gpu: "GPU"
    case .neuralEngine: "Neural Engine"
    }
  }
  // Plain references: an enum keeps its case in the pointer's spare bits, where the leak checker does not look.
  private static let cpuDevice = MLCPUComputeDevice()
  private static let gpuDevice = MLGPUComputeDevice(MTLCopyAllDevices()[0])
  private static let neuralDevice = MLNeuralEngineComputeDevice(16)
  public static var allComputeDevices: [MLComputeDevice] { [.cpu(cpuDevice), .gpu(gpuDevice), .neuralEngine(neuralDevice)] }

  static func named(_ name: String) -> MLComputeDevice {
    switch name {
    case "ane": allComputeDevices[2]
    case "gpu": allComputeDevices[1]
    default: allComputeDevices[0]
    }
  }
}

@available(macOS 14.4, *)
public enum MLModelStructure: Sendable {
  public struct Program: Sendable {
    public struct ValueType: Sendable {}
    public struct NamedValueType: Sendable {
      public let name: String
      public let type: MLModelStructure.Program.ValueType
    }
    public struct Function: Sendable {
      public let inputs: [MLModelStructure.Program.NamedValueType]
      public let block: MLModelStructure.Program.Block
    }
    public struct Block: Sendable {
      public let inputs: [MLModelStructure.Program.NamedValueType]
      public let outputNames: [String]
      public let operations: [MLModelStructure.Program.Operation]
    }
    public struct Operation: Sendable {
      public let operatorName: String
      public let outputs: [MLModelStructure.Program.NamedValueType]
      public let blocks: [MLModelStructure.Program.Block]
      let spec: Placement
    }
    public let functions: [String: MLModelStructure.Program.Function]
  }
  public struct NeuralNetwork: Sendable {
    public struct Layer: Sendable {
      public let name: String
      public let type: String
      public let inputNames: [String]
      public let outputNames: [String]
      let spec: Placement
    }
    public let layers: [MLModelStructure.NeuralNetwork.Layer]
  }
  public struct Pipeline: Sendable {
    public let subModelNames: [String]
    public let subModels: [MLModelStructure]
  }
  case neuralNetwork(MLModelStructure.NeuralNetwork)
  case program(MLModelStructure.Program)
  case pipeline(MLModelStructure.Pipeline)
  case unsupported
}

struct Placement: Sendable {
  let device: String?
  let supported: [String]
  let weight: Double?
}

@available(macOS 14.4, *)
public class MLComputePlan {
  public struct DeviceUsage: Sendable {
    public let supported: [MLComputeDevice]
    public let preferred: MLComputeDevice
  }
  public struct Cost: Sendable {
    public let weight: Double
  }
  final public let modelStructure: MLModelStructure
  init(_ structure: MLModelStructure) { modelStructure = structure }

  public static func load(contentsOf url: URL, configuration: MLModelConfiguration) async throws -> MLComputePlan {
    let spec = try Spec.read(url).choosing(configuration.functionName)
    if let pause = spec.faults?.loadUs { try await Task.sleep(nanoseconds: UInt64(pause) * 1000) }
    if let error = spec.faults?.loadError { throw failure(.generic, error) }
    return MLComputePlan(structure(spec))
  }
  public func estimatedCost(of operation: MLModelStructure.Program.Operation) -> MLComputePlan.Cost? {
    operation.spec.weight.map { Cost(weight: $0) }
  }
  public func deviceUsage(for layer: MLModelStructure.NeuralNetwork.Layer) -> MLComputePlan.DeviceUsage? { usage(layer.spec) }
  public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> MLComputePlan.DeviceUsage? { usage(operation.spec) }
}
@available(*, unavailable)
extension MLComputePlan: Sendable {}

private func usage(_ spec: Placement) -> MLComputePlan.DeviceUsage? {
  guard let device = spec.device else { return nil }
  return MLComputePlan.DeviceUsage(supported: spec.supported.map(MLComputeDevice.named), preferred: .named(device))
}

private func structure(_ spec: Spec) -> MLModelStructure {
  let operations = spec.operations ?? []
  func placement(_ operation: Spec.Operation) -> Placement {
    Placement(device: operation.device, supported: operation.supported ?? operation.device.map { [$0] } ?? [], weight: operation.weight)
  }
  func named(_ name: String) -> MLModelStructure.Program.NamedValueType { .init(name: name, type: .init()) }
  func block(_ operations: [Spec.Operation]) -> MLModelStructure.Program.Block {
    let made = operations.map { operation in
      MLModelStructure.Program.Operation(
        operatorName: operation.op, outputs: (operation.outputs ?? operation.name.map { [$0] } ?? []).map(named),
        blocks: (operation.blocks ?? []).map(block), spec: placement(operation))
    }
    return .init(inputs: [], outputNames: spec.outputs.map(\.name), operations: made)
  }
  let layers = operations.map { operation in
    MLModelStructure.NeuralNetwork.Layer(
      name: operation.name ?? "", type: operation.op, inputNames: [], outputNames: operation.outputs ?? [],
      spec: placement(operation))
  }
  switch spec.structure ?? "program" {
  case "neuralNetwork": return .neuralNetwork(.init(layers: layers))
  case "pipeline":
    let program = MLModelStructure.program(.init(functions: ["main": .init(inputs: [], block: block(operations))]))
    return .pipeline(.init(subModelNames: ["first", "second"], subModels: [program, .neuralNetwork(.init(layers: layers))]))
  case "program":
    let names = ["main"] + (spec.functions ?? [:]).keys
    return .program(
      .init(functions: Dictionary(uniqueKeysWithValues: names.map { ($0, .init(inputs: [], block: block(operations))) })))
  default: return .unsupported
  }
}
