// One prediction: checked, held together, run with a deadline, and put in quarantine when it is given up.
import CCoremlx
import CoreML
import CoreVideo
import Foundation

/// Everything one prediction touches. Invariant: buffers and state are held from `init` until `settle`, or, where it was
/// given up, until Core ML really completed.
final class Flight: @unchecked Sendable {  // one thread at a time works with it
  let model: LoadedModel
  private let state: StateObject?
  private let inputs: [TensorRef]
  private let targets: [OutputTarget]
  private let values: [String: MLFeatureValue]
  private var held: [BufferObject] = []
  private(set) var features: (any MLFeatureProvider)?
  private var options = MLPredictionOptions()
  /// Bytes that Core ML may touch, for the quarantine.
  private var byteSize = 0
  private var isStateRaised = false
  private var isHang = false
  private let isSettled = Counter()

  /// Throws before anything runs. `outputs` must stay until the end.
  init(_ prediction: cmlx_prediction) throws {
    try checkSize(prediction.struct_size, of: cmlx_prediction.self)
    model = try findModel(prediction.model)
    try model.checkUsable()
    try quarantine.checkRoom()
    let most = UInt32(CMLX_MAX_TENSORS)
    guard prediction.input_count <= most, prediction.output_count <= most else { throw invalid("Cannot predict: more than \(most) tensors") }
    inputs = try (0..<Int(prediction.input_count)).map { try TensorRef(require(prediction.inputs, "inputs") + $0) }
    targets = try (0..<Int(prediction.output_count)).map { try OutputTarget(require(prediction.outputs, "outputs") + $0) }
    values = try readValues(prediction.values, prediction.values_size)
    for input in inputs where input.feature >= model.description.inputs.count { throw invalid("Cannot predict: the model has no input \(input.feature)") }
    for target in targets where target.feature >= model.description.outputs.count { throw invalid("Cannot predict: the model has no output \(target.feature)") }
    state = prediction.state == 0 ? nil : try handles.get(prediction.state, as: StateObject.self)
    if let state, state.model !== model { throw invalid("Cannot predict: the state belongs to another model") }
    try state?.take()
    do { try hold((inputs.map(\.owner) + targets.map(\.owner)).compactMap { $0 }) } catch {
      settle()
      throw error
    }
  }

  private func hold(_ buffers: [BufferObject]) throws {
    for buffer in buffers where !held.contains(where: { $0 === buffer }) {
      try buffer.hold()
      held.append(buffer)
    }
  }

  /// Makes what Core ML gets. With `canInterrupt` nothing of it is memory that the caller only lent for the call.
  func prepare(canInterrupt: Bool, usesBackings: Bool = true) throws {
    for name in values.keys where !model.description.inputs.contains(where: { $0.name == name }) {
      throw invalid("Cannot predict: the model has no input \"\(name)\"")
    }
    var given: [String: Any] = values
    for input in inputs {
      let description = model.description.inputs[input.feature]
      guard given[description.name] == nil else { throw invalid("Cannot predict: input \"\(description.name)\" is given twice") }
      let memory = canInterrupt && input.owner == nil ? try input.copied() : input
      byteSize += input.byteSize
      given[description.name] = try value(memory, description)
    }
    features = try MLDictionaryFeatureProvider(dictionary: given)
    var backings: [String: Any] = [:]
    for target in targets {
      let description = model.description.outputs[target.feature]
      let backing = try target.propose(description, canInterrupt: canInterrupt)
      if let backing, usesBackings { backings[description.name] = backing }
      byteSize += target.ref?.byteSize ?? 0
    }
    try hold(targets.compactMap(\.owner))
    options.outputBackings = backings
  }

  private func value(_ input: TensorRef, _ description: MLFeatureDescription) throws -> MLFeatureValue {
    if let constraint = description.multiArrayConstraint {
      guard Element(constraint.dataType) == input.element else {
        throw invalid("Cannot predict: input \"\(description.name)\" is \(Element(constraint.dataType)?.label ?? "unknown"), got \(input.element.label)")
      }
      return MLFeatureValue(multiArray: try input.makeArray())
    }
    if let constraint = description.imageConstraint {
      let declared = Element(pixelFormat: constraint.pixelFormatType)
      guard input.element == declared || input.element == .rgb8 && declared == .bgra8 else {
        throw invalid("Cannot predict: input \"\(description.name)\" is \(declared?.label ?? "unknown"), got \(input.element.label)")
      }
      return MLFeatureValue(pixelBuffer: try input.makePixelBuffer())
    }
    throw invalid("Cannot predict: input \"\(description.name)\" is a \(description.type.label), got a tensor")
  }

  // Running.

  /// On this thread, for calls that nobody can end, in a model with one place.
  func runHere() throws -> AnyObject? {
    let inner = model.model
    return try noting { try attempt { cmlx_try_predict(lend(inner), lend(features!), state.map { lend($0.state) }, lend(options), $0) } }
  }

  /// Elsewhere; `call` gets the end. Throws where it did not start, and then nothing is running.
  func start(_ call: Call) throws {
    let inner = model.model
    let features = features!
    let options = options
    let state = state?.state
    // The flight lives until Core ML completed, late or not.
    let landing = Landing(
      call,
      onLanding: { ending in
        if case .failed(let failure) = ending { self.model.note(failure) }
        withExtendedLifetime((features, options, state)) { self.model.gate.leave() }
      }, onLate: { _ in self.takeBack() })
    do {
      try noting {
        try landing.start { cmlx_try_predict_start(lend(inner), lend(features), state.map { lend($0) }, lend(options), $0, Landing.landed, $1) }
      }
    } catch {
      // Nothing runs. Somebody may have given it up in between: then it went into quarantine, and nothing else will end that.
      if !call.end(.failed(Failure(error))) { takeBack() }
      model.gate.leave()
      throw error
    }
  }

  /// Remembers what an exception leaves behind.
  func noting<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch {
      let failure = Failure(error)
      model.note(failure)
      isStateRaised = failure.isRaised
      throw failure
    }
  }

  // Ending.

  /// Called while it is decided that the call is given up: Core ML goes on, and everything stays held. Only the first of
  /// a batch has a place in the model.
  func giveUp(_ why: Failure, isFirst: Bool = true) {
    isHang = why.status == .timeout
    for buffer in held { buffer.enterQuarantine() }
    state?.enterQuarantine()
    quarantine.enter(byteSize)
    if isFirst { model.giveUp(isHang: isHang) }
    isSettled.value = 1
  }

  /// Core ML completed after all.
  func takeBack(isFirst: Bool = true) {
    for buffer in held {
      buffer.leaveQuarantine()
      buffer.letGo()
    }
    state?.give()
    quarantine.leave(byteSize)
    if isFirst { model.takeBack(isHang: isHang) }
  }

  /// The caller gets nothing after all: new buffers go.
  func revoke() { for target in targets { target.revoke() } }

  /// Lets go of everything, unless it is in quarantine. May be called again.
  func settle() {
    guard isSettled.exchange(from: 0, to: 1) else { return }
    for buffer in held { buffer.letGo() }
    state?.give(isPoisoned: isStateRaised)
  }

  /// Gives the results to the caller: all of them or, with an error, none. The bytes are the values that are no tensors.
  func finish(_ result: AnyObject?) throws -> cmlx_bytes {
    guard let result = result as? any MLFeatureProvider else { throw Failure(.coreML, "Core ML gave no features") }
    return try finish(result)
  }

  func finish(_ result: any MLFeatureProvider) throws -> cmlx_bytes {
    let found = targets.map { result.featureValue(for: model.description.outputs[$0.feature].name) }
    try checkShapes(found)
    for (target, value) in zip(targets, found) { try target.take(value!) }
    var members: [String: Json] = [:]
    for description in model.description.outputs where description.multiArrayConstraint == nil && description.imageConstraint == nil {
      guard let value = result.featureValue(for: description.name), let json = writeValue(value) else { continue }
      members[description.name] = json
    }
    let bytes = members.isEmpty ? cmlx_bytes() : try makeBytes(Json.object(members).text)
    for target in targets { try target.settle() }
    model.count { $0.completed += 1 }
    return bytes
  }

  private func checkShapes(_ found: [MLFeatureValue?]) throws {
    var failure: Failure?
    for (target, value) in zip(targets, found) {
      let name = model.description.outputs[target.feature].name
      let shape = try target.shape(of: value, name)
      let element = try target.element(of: value!)
      if target.fits(shape) { continue }
      target.writeNeeds(shape, element)
      failure = failure ?? Failure(.bufferTooSmall, "Cannot give \"\(name)\" in shape \(target.ref?.shape ?? []): it has \(shape)")
    }
    if let failure { throw failure }
  }
}

/// Runs a prediction and waits for it, for its turn, for the deadline and for whoever cancels.
private func predictBlocking(_ prediction: UnsafeMutablePointer<cmlx_prediction>) throws {
  prediction.pointee.output_values = cmlx_bytes()
  let limits = try Limits(timeoutNs: prediction.pointee.timeout_ns, canceller: prediction.pointee.canceller)
  let flight = try Flight(prediction.pointee)
  defer { flight.settle() }
  try flight.prepare(canInterrupt: limits.canInterrupt)
  let call = Call()
  defer {
    prediction.pointee.queued_ns = call.queuedNs
    prediction.pointee.run_ns = call.runNs
  }
  let result = try run(flight, call, limits)
  prediction.pointee.output_values = try flight.finish(result)
}

private func run(_ flight: Flight, _ call: Call, _ limits: Limits) throws -> AnyObject? {
  let gate = flight.model.gate
  try limits.canceller?.add(call)
  defer { limits.canceller?.remove(call) }
  try gate.enter(call)
  if !call.waitForTurn(until: limits.deadlineNs) { call.giveUp(Limits.timeout("Waiting for the model")) }
  guard call.begin(onGivenUp: { flight.giveUp($0) }) else { throw call.abandon(gate) }
  if !limits.canInterrupt, gate.limit == 1 {
    defer { gate.leave() }
    let result = try flight.runHere()
    _ = call.end(.answered(nil))
    return result
  }
  try flight.start(call)
  if call.waitForEnd(until: limits.deadlineNs) == nil { call.giveUp(Limits.timeout("The prediction")) }
  switch call.ending! {
  case .answered(let result): return result
  case .failed(let failure): throw failure
  }
}

@_cdecl("cmlx_predict")
public func predict(
  _ prediction: UnsafeMutablePointer<cmlx_prediction>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { try predictBlocking(require(prediction, "prediction")) }
}
