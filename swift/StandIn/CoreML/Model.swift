// Stands in for MLModel: loading, compiling, and predictions whose arrays come back the way the model's file says.
import CoreVideo
import Foundation

open class MLModel: NSObject {
  public let modelDescription: MLModelDescription
  public let configuration: MLModelConfiguration
  let spec: Spec
  private let path: String
  private let lock = NSLock()
  private var runs = 0
  private var isRunningBlocking = false

  init(_ url: URL, _ configuration: MLModelConfiguration) throws {
    path = url.path
    let whole = try Spec.read(url)
    let loads = StandInML.countLoad(path, configuration)
    if let pause = loads == 1 ? whole.faults?.firstLoadUs ?? whole.faults?.loadUs : whole.faults?.loadUs { usleep(UInt32(pause)) }
    if let error = whole.faults?.loadError { throw failure(.generic, error) }
    guard url.pathExtension == "mlmodelc" else { throw failure(.io, "\(url.lastPathComponent) is no compiled model.") }
    spec = try whole.choosing(configuration.functionName)
    modelDescription = MLModelDescription(spec)
    self.configuration = configuration
    super.init()
    StandInML.countModels(1)
  }
  deinit { StandInML.countModels(-1) }

  public static var availableComputeDevices: [MLComputeDevice] { MLComputeDevice.allComputeDevices }

  func predictBlocking(_ features: any MLFeatureProvider, _ state: MLState?, _ options: MLPredictionOptions) throws -> any MLFeatureProvider {
    enterBlocking()
    defer { lock.withLock { isRunningBlocking = false } }
    return try predict(features, state, options)
  }

  func predictBatch(_ batch: any MLBatchProvider, _ options: MLPredictionOptions) throws -> any MLBatchProvider {
    enterBlocking()
    defer { lock.withLock { isRunningBlocking = false } }
    if !options.outputBackings.isEmpty { StandInML.breakRule("backings in a batch") }
    return MLArrayBatchProvider(array: try (0..<batch.count).map { try predict(batch.features(at: $0), nil, options) })
  }

  private func enterBlocking() {
    lock.withLock {
      if isRunningBlocking { StandInML.breakRule("two blocking calls at once on one MLModel") }
      isRunningBlocking = true
    }
  }

  func predict(_ features: any MLFeatureProvider, _ state: MLState?, _ options: MLPredictionOptions) throws -> any MLFeatureProvider {
    StandInML.began()
    defer { StandInML.ended() }
    state?.enter()
    defer { state?.leave() }
    let faults = spec.faults ?? Spec.Faults()
    let before = faults.scope == "process" ? StandInML.countRun(path) - 1 : lock.withLock {
      defer { runs += 1 }
      return runs
    }
    if let pause = spec.delayUs { usleep(UInt32(pause)) }
    func isDue(_ after: Int?) -> Bool { after.map { before >= $0 } ?? false }
    if isDue(faults.crashAfter) { abort() }
    if isDue(faults.raiseAfter) { throw StandInException(name: "NSGenericException", reason: "The engine has no such method.") }
    if isDue(faults.errorAfter) {
      let inner = NSError(domain: "com.apple.appleneuralengine.espresso", code: -6, userInfo: [NSLocalizedDescriptionKey: "Could not create an IOSurface."])
      throw failure(.generic, faults.error ?? "Unable to compute the prediction using ML Program.", underlying: inner)
    }
    try spec.check(features)
    let run = ProgramRun(spec, features, state)
    try run.compute()
    if isDue(faults.driftAfter) { run.drift(faults.drift ?? 1) }
    let outputs = try materialize(run, options)
    if let after = faults.hangAfter, before >= after, before < after + (faults.hangCount ?? 1) {
      usleep(UInt32(faults.hangUs ?? 2_000_000))
      // What a late completion does to memory that it still believes to be its own.
      for backing in options.outputBackings.values {
        (backing as? MLMultiArray)?.scribble(faults.pattern ?? 0xAB)
        if let pixels = backing as? CVPixelBuffer { fillPixels(pixels, faults.pattern ?? 0xAB) }
      }
      for array in (state?.arrays ?? [:]).values { array.scribble(faults.pattern ?? 0xAB) }
    }
    return outputs
  }

  private func materialize(_ run: ProgramRun, _ options: MLPredictionOptions) throws -> any MLFeatureProvider {
    var values: [String: Any] = [:]
    for output in spec.outputs where output.name != spec.faults?.missingOutput {
      guard let value = run.values[output.name] else { throw failure(.generic, "Nothing computes \(output.name).") }
      let backing = options.outputBackings[output.name]
      switch value {
      case .numbers(let numbers, let shape) where output.isArray:
        values[output.name] = MLFeatureValue(multiArray: try array(output, numbers, shape, backing))
      case .numbers(let numbers, let shape):
        values[output.name] = MLFeatureValue(pixelBuffer: try pixels(output, numbers, shape, backing))
      case .other(let feature):
        values[output.name] = feature
      }
    }
    return try MLDictionaryFeatureProvider(dictionary: values)
  }

  private func array(_ output: Spec.Feature, _ numbers: [Double], _ shape: [Int], _ backing: Any?) throws -> MLMultiArray {
    let declared = dataType(output.dtype)
    let manner = spec.backing ?? "honour"
    let array: MLMultiArray
    if manner == "honour", let given = backing as? MLMultiArray {
      guard given.dataType == declared, given.sizes == shape else {
        throw failure(.featureType, "The output backing for \(output.name) does not match its description.")
      }
      array = given
    } else if manner == "padded" {
      var steps = MLMultiArray.dense(shape)
      let row = shape[shape.count - 1]
      for i in 0..<(shape.count - 1) { steps[i] = steps[i] / row * ((row + 31) / 32 * 32) }
      array = MLMultiArray(own: shape, declared, steps: steps)
    } else {
      let type = ["f16", "f32", "f64", "i32"].contains(manner) ? dataType(manner) : declared
      array = MLMultiArray(own: shape, type, steps: MLMultiArray.dense(shape))
    }
    for i in 0..<array.count { array.set(i, numbers[i % numbers.count]) }
    return array
  }

  private func pixels(_ output: Spec.Feature, _ numbers: [Double], _ shape: [Int], _ backing: Any?) throws -> CVPixelBuffer {
    if spec.backing ?? "honour" == "honour", let given = backing as? CVBuffer {
      writePixels(given, numbers)
      return given
    }
    var made: CVPixelBuffer?
    let attributes = NSDictionary(object: NSDictionary(), forKey: kCVPixelBufferIOSurfacePropertiesKey)
    guard CVPixelBufferCreate(nil, shape[1], shape[0], output.pixelFormat, attributes, &made) == kCVReturnSuccess, let made else {
      throw failure(.generic, "No pixel buffer for \(output.name).")
    }
    writePixels(made, numbers)
    return made
  }

  func makeState() throws -> MLState {
    if spec.faults?.stateRaises == true { throw StandInException(name: "NSGenericException", reason: "The engine keeps no states.") }
    return MLState(
      Dictionary(uniqueKeysWithValues: (spec.states ?? []).map { state in
        let shape = state.shape ?? []
        return (state.name, MLMultiArray(own: shape, dataType(state.dtype), steps: MLMultiArray.dense(shape)))
      }))
  }

  static func compile(_ url: URL) throws -> URL {
    let spec = try Spec.read(url)
    if let pause = spec.faults?.compileUs { usleep(UInt32(pause)) }
    let compiled = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).mlmodelc")
    try FileManager.default.createDirectory(at: compiled, withIntermediateDirectories: true)
    try JSONEncoder().encode(spec).write(to: compiled.appendingPathComponent("standin.json"))
    return compiled
  }
}
@available(*, unavailable)
extension MLModel: Sendable {}

@available(macOS 13.0, *)
open class MLModelAsset: NSObject {
  let url: URL
  let spec: Spec
  init(_ url: URL) throws {
    self.url = url
    spec = try Spec.read(url)
  }
}
