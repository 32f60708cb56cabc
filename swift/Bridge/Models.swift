// Loaded models: loading, compiling, sharing, and what happened to their predictions.
import CCoremlx
import CoreML
import Foundation
import Metal

/// MLModel is not Sendable. It is reached from many threads under one rule: with one place in its gate any method may
/// be used, for nobody else is inside; with more only the asynchronous ones, which may overlap.
final class LoadedModel: @unchecked Sendable {
  let model: MLModel
  let description: Description
  let gate: Gate
  let request: LoadRequest
  private let poison = Counter()
  private let counts = Lock(Counts())

  struct Counts {
    var completed: UInt64 = 0
    var failed: UInt64 = 0
    var givenUp: UInt64 = 0
    var late: UInt64 = 0
    /// Of those not yet completed: out of time, not only cancelled.
    var hanging = 0
  }

  init(_ model: MLModel, _ request: LoadRequest) {
    self.model = model
    self.request = request
    description = Description(model.modelDescription)
    gate = Gate(request.maxInFlight)
  }

  var isPoisoned: Bool { poison.value != 0 }
  func checkUsable() throws {
    if isPoisoned { throw Failure(.poisoned, "Cannot use the model: Core ML raised an exception inside it") }
  }
  /// After an exception its inside may be in any state.
  func note(_ failure: Failure) {
    if failure.isRaised { poison.value = 1 }
    count { $0.failed += 1 }
  }
  func count(_ change: (inout Counts) -> Void) { counts.withLock { change(&$0) } }

  /// While the call is given up, and when it came back after all.
  func giveUp(isHang: Bool) {
    let isHung = counts.withLock { counts in
      counts.givenUp += 1
      if isHang { counts.hanging += 1 }
      return counts.hanging >= gate.limit
    }
    if isHung { gate.becomeHung() }
  }
  func takeBack(isHang: Bool) {
    count { counts in
      counts.late += 1
      if isHang { counts.hanging -= 1 }
    }
    gate.recover()
  }

  func describe(_ out: UnsafeMutablePointer<cmlx_model_stats>) {
    let counts = counts.withLock { $0 }
    var flags = 0
    if isPoisoned { flags |= Int(CMLX_MODEL_POISONED) }
    if gate.isHung { flags |= Int(CMLX_MODEL_HUNG) }
    out.pointee.flags = UInt32(flags)
    out.pointee.max_in_flight = UInt32(gate.limit)
    out.pointee.in_flight = UInt32(gate.inFlight)
    out.pointee.waiting = UInt32(gate.waitingCount)
    out.pointee.quarantined = UInt32(counts.givenUp - counts.late)
    out.pointee.completed = counts.completed
    out.pointee.failed = counts.failed
    out.pointee.given_up = counts.givenUp
    out.pointee.late = counts.late
  }
}

/// One handle's reference to a loaded model.
final class ModelObject: Handled {
  static let kind = Kind.model
  static let label = "model"
  let loaded: LoadedModel
  init(_ loaded: LoadedModel) { self.loaded = loaded }
}

func findModel(_ handle: UInt64) throws -> LoadedModel { try handles.get(handle, as: ModelObject.self).loaded }

/// cmlx_load_options, copied and checked.
struct LoadRequest: Sendable {
  let path: String
  private var units = 0
  private(set) var maxInFlight = 1
  private var usesLowPrecision = false
  private var reshapeFrequency = 0
  private var specialization = 0
  private var gpu: UInt64 = 0
  private(set) var function: String?
  private var displayName: String?

  init(_ path: UnsafePointer<CChar>?, _ options: UnsafePointer<cmlx_load_options>?) throws {
    self.path = try requireText(path, "path")
    guard FileManager.default.fileExists(atPath: self.path) else { throw Failure(.notFound, "Cannot load \"\(self.path)\": there is no such file") }
    guard let options = options?.pointee else { return }
    try checkSize(options.struct_size, of: cmlx_load_options.self)
    guard options.max_in_flight <= 256 else { throw invalid("Cannot load: max_in_flight is \(options.max_in_flight), the most is 256") }
    guard options.flags <= UInt32(CMLX_LOAD_LOW_PRECISION_GPU), options.compute_units <= UInt32(CMLX_UNITS_CPU_ANE),
      options.reshape_frequency <= UInt32(CMLX_RESHAPE_INFREQUENT), options.specialization <= UInt32(CMLX_SPECIALIZATION_FAST_PREDICTION)
    else { throw invalid("Cannot load: an option has a number that nobody knows") }
    units = Int(options.compute_units)
    maxInFlight = max(1, Int(options.max_in_flight))
    usesLowPrecision = options.flags != 0
    reshapeFrequency = Int(options.reshape_frequency)
    specialization = Int(options.specialization)
    gpu = options.gpu_registry_id
    if options.function_name != nil { function = try requireText(options.function_name, "function_name") }
    if options.display_name != nil { displayName = try requireText(options.display_name, "display_name") }
  }

  var unitsLabel: String { ["all", "cpu", "cpuAndGpu", "cpuAndAne"][units] }

  /// Hints that this system is too old for.
  var ignoredHints: [String] {
    var ignored: [String] = []
    if reshapeFrequency != 0 {
      if #available(macOS 14.4, *), isAllowed(14.4) {} else { ignored.append("reshapeFrequency") }
    }
    if specialization != 0 {
      if #available(macOS 15.0, *), isAllowed(15.0) {} else { ignored.append("specialization") }
    }
    return ignored
  }

  func configuration() throws -> MLModelConfiguration {
    let configuration = MLModelConfiguration()
    configuration.computeUnits = [.all, .cpuOnly, .cpuAndGPU, .cpuAndNeuralEngine][units]
    configuration.allowLowPrecisionAccumulationOnGPU = usesLowPrecision
    configuration.modelDisplayName = displayName
    if gpu != 0 {
      guard let device = MTLCopyAllDevices().first(where: { $0.registryID == gpu }) else { throw Failure(.notFound, "Cannot prefer GPU \(gpu): there is none") }
      configuration.preferredMetalDevice = device
    }
    if let function {
      guard #available(macOS 15.0, *), isAllowed(15.0) else { throw Failure(.unsupported, "Cannot choose function \"\(function)\": functions need macOS 15") }
      configuration.functionName = function
    }
    if #available(macOS 14.4, *), isAllowed(14.4) {
      var hints = MLOptimizationHints()
      if reshapeFrequency == Int(CMLX_RESHAPE_FREQUENT) { hints.reshapeFrequency = .frequent }
      if reshapeFrequency == Int(CMLX_RESHAPE_INFREQUENT) { hints.reshapeFrequency = .infrequent }
      if #available(macOS 15.0, *), isAllowed(15.0), specialization == Int(CMLX_SPECIALIZATION_FAST_PREDICTION) {
        hints.specializationStrategy = .fastPrediction
      }
      configuration.optimizationHints = hints
    }
    return configuration
  }
}

/// Starts loading; `call` ends with a LoadedModel's MLModel.
func startLoading(_ request: LoadRequest, _ call: Call) throws {
  let configuration = try request.configuration()
  let url = NSURL(fileURLWithPath: request.path)
  try Landing(call).start { cmlx_try_load_start(lend(url), lend(configuration), $0, Landing.landed, $1) }
}

func insertModel(_ result: AnyObject?, _ request: LoadRequest) throws -> UInt64 {
  guard let model = result as? MLModel else { throw Failure(.coreML, "Core ML gave no model") }
  return try handles.insert(ModelObject(LoadedModel(model, request)))
}

/// Where a model is compiled from and to.
struct CompileRequest: Sendable {
  let path: String
  let destination: String?

  init(_ path: UnsafePointer<CChar>?, _ destination: UnsafePointer<CChar>?) throws {
    self.path = try requireText(path, "path")
    guard FileManager.default.fileExists(atPath: self.path) else { throw Failure(.notFound, "Cannot compile \"\(self.path)\": there is no such file") }
    self.destination = destination == nil ? nil : try requireText(destination, "destination")
    guard let wanted = self.destination else { return }
    guard !FileManager.default.fileExists(atPath: wanted) else { throw invalid("Cannot compile to \"\(wanted)\": it exists") }
    let parent = (wanted as NSString).deletingLastPathComponent
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: parent.isEmpty ? "." : parent, isDirectory: &isFolder), isFolder.boolValue else {
      throw Failure(.notFound, "Cannot compile to \"\(wanted)\": its folder does not exist")
    }
  }

  func start(_ call: Call) throws {
    let url = NSURL(fileURLWithPath: path)
    let landing = Landing(call, onLate: { if let path = ($0 as? NSURL)?.path { try? FileManager.default.removeItem(atPath: path) } })
    try landing.start { cmlx_try_compile_start(lend(url), $0, Landing.landed, $1) }
  }

  /// Moves the result where it shall be; gives where it is.
  func settle(_ result: AnyObject?) throws -> String {
    guard let compiled = (result as? NSURL)?.path else { throw Failure(.coreML, "Core ML gave no compiled model") }
    guard let destination else { return compiled }
    do {
      try FileManager.default.moveItem(atPath: compiled, toPath: destination)
    } catch {
      try? FileManager.default.removeItem(atPath: compiled)
      throw error
    }
    return destination
  }
}

@_cdecl("cmlx_model_compile")
public func modelCompile(
  _ path: UnsafePointer<CChar>?, _ destination: UnsafePointer<CChar>?, _ control: UnsafeMutablePointer<cmlx_control>?,
  _ out: UnsafeMutablePointer<cmlx_bytes>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    let request = try CompileRequest(path, destination)
    let result = try control.limits().run("Compiling \"\(request.path)\"", control: control) { try request.start($0) }
    out.pointee = try makeBytes(request.settle(result))
  }
}

@_cdecl("cmlx_model_load")
public func modelLoad(
  _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<cmlx_load_options>?, _ control: UnsafeMutablePointer<cmlx_control>?,
  _ out: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    let request = try LoadRequest(path, options)
    let result = try control.limits().run("Loading \"\(request.path)\"", control: control) { try startLoading(request, $0) }
    out.pointee = try insertModel(result, request)
  }
}

@_cdecl("cmlx_model_share")
public func modelShare(
  _ model: UInt64, _ out: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { try require(out, "out").pointee = handles.insert(ModelObject(findModel(model))) }
}

@_cdecl("cmlx_model_read_stats")
public func modelReadStats(
  _ model: UInt64, _ stats: UnsafeMutablePointer<cmlx_model_stats>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let stats = try require(stats, "stats")
    try checkSize(stats.pointee.struct_size, of: cmlx_model_stats.self)
    try findModel(model).describe(stats)
  }
}
