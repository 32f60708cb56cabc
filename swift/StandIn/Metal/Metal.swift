// Stands in for the part of Metal that coremlx uses, on Linux only: a made-up Mac with two GPUs.

public protocol MTLDevice: AnyObject, Sendable {
  var name: String { get }
  var registryID: UInt64 { get }
}

final class StandInGPU: MTLDevice {
  let name: String
  let registryID: UInt64
  init(_ name: String, _ registryID: UInt64) {
    self.name = name
    self.registryID = registryID
  }
}

private let gpus: [any MTLDevice] = [StandInGPU("Apple M4", 4_294_968_001), StandInGPU("External", 4_294_968_002)]

public func MTLCopyAllDevices() -> [any MTLDevice] { gpus }
