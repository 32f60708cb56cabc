// Several predictions of one model in one call of Core ML.
import CCoremlx
import CoreML
import Foundation

private func predictBatchBlocking(_ predictions: UnsafeMutablePointer<cmlx_prediction>, _ count: Int) throws {
  for i in 0..<count { predictions[i].output_values = cmlx_bytes() }
  let limits = try Limits(timeoutNs: predictions.pointee.timeout_ns, canceller: predictions.pointee.canceller)
  var flights: [Flight] = []
  defer { for flight in flights { flight.settle() } }
  for i in 0..<count {
    guard predictions[i].state == 0 else { throw invalid("Cannot predict a batch with states") }
    guard predictions[i].model == predictions[0].model else { throw invalid("Cannot predict a batch of several models") }
    flights.append(try Flight(predictions[i]))
    try flights[i].prepare(canInterrupt: limits.canInterrupt, usesBackings: false)
  }
  let model = flights[0].model
  guard model.gate.limit == 1 else {
    throw Failure(.unsupported, "Cannot predict a batch: the model was loaded with max_in_flight \(model.gate.limit), batches need 1")
  }
  let call = Call()
  defer {
    predictions.pointee.queued_ns = call.queuedNs
    predictions.pointee.run_ns = call.runNs
  }
  guard let results = try run(flights, call, limits) as? any MLBatchProvider, results.count == count else {
    throw Failure(.coreML, "Core ML gave another number of results than \(count)")
  }
  var done = 0
  do {
    while done < count {
      predictions[done].output_values = try flights[done].finish(results.features(at: done))
      done += 1
    }
  } catch {
    // All or none: what the first ones were given goes back.
    for i in 0..<done {
      bytesFree(&predictions[i].output_values)
      flights[i].revoke()
    }
    throw error
  }
}

private func run(_ flights: [Flight], _ call: Call, _ limits: Limits) throws -> AnyObject? {
  let model = flights[0].model
  try limits.canceller?.add(call)
  defer { limits.canceller?.remove(call) }
  try model.gate.enter(call)
  if !call.waitForTurn(until: limits.deadlineNs) { call.giveUp(Limits.timeout("Waiting for the model")) }
  guard call.begin(onGivenUp: { why in for flight in flights { flight.giveUp(why, isFirst: flight === flights[0]) } }) else { throw call.abandon(model.gate) }
  guard limits.canInterrupt else {
    defer { model.gate.leave() }
    let results = try runBatch(flights)
    _ = call.end(.answered(nil))
    return results
  }
  // There is no asynchronous form: another thread makes the call, and may be left alone with it.
  DispatchQueue.global(qos: .userInitiated).async {
    let ending: Call.Ending
    do { ending = .answered(try runBatch(flights)) } catch { ending = .failed(Failure(error)) }
    model.gate.leave()
    if !call.end(ending) { for flight in flights { flight.takeBack(isFirst: flight === flights[0]) } }
  }
  if call.waitForEnd(until: limits.deadlineNs) == nil { call.giveUp(Limits.timeout("The batch")) }
  switch call.ending! {
  case .answered(let results): return results
  case .failed(let failure): throw failure
  }
}

private func runBatch(_ flights: [Flight]) throws -> AnyObject? {
  let inner = flights[0].model.model
  let batch = MLArrayBatchProvider(array: flights.map { $0.features! })
  let options = MLPredictionOptions()
  return try flights[0].noting { try attempt { cmlx_try_predict_batch(lend(inner), lend(batch), lend(options), $0) } }
}

@_cdecl("cmlx_predict_batch")
public func predictBatch(
  _ predictions: UnsafeMutablePointer<cmlx_prediction>?, _ count: UInt32, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let predictions = try require(predictions, "predictions")
    guard count > 0, count <= UInt32(CMLX_MAX_TENSORS) else { throw invalid("Cannot predict a batch of \(count)") }
    try predictBatchBlocking(predictions, Int(count))
  }
}
