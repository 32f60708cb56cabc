// States of stateful models: one call at a time, read and written by name.
import CCoremlx
import CoreML
import Foundation

/// Holds an MLState without naming its type, which macOS 14 does not have.
final class StateObject: Handled, @unchecked Sendable {
  static let kind = Kind.state
  static let label = "state"
  let model: LoadedModel
  let state: AnyObject

  private enum Use: UInt64 {
    case idle = 0
    case busy = 1
    case quarantined = 2
    case poisoned = 3
  }
  private let use = Counter()

  init(_ model: LoadedModel) throws {
    self.model = model
    guard #available(macOS 15.0, *), isAllowed(15.0) else { throw Failure(.unsupported, "Cannot make a state: states need macOS 15") }
    let inner = model.model
    do {
      guard let state = try attempt({ cmlx_try_state_make(lend(inner), $0) }) else { throw Failure(.coreML, "Core ML gave no state") }
      self.state = state
    } catch let failure as Failure {
      model.note(failure)
      throw failure
    }
  }

  func take() throws {
    if use.exchange(from: Use.idle.rawValue, to: Use.busy.rawValue) { return }
    switch Use(rawValue: use.value) {
    case .quarantined: throw Failure(.quarantined, "Cannot use the state: a prediction that was given up may still change it")
    case .poisoned: throw Failure(.poisoned, "Cannot use the state: Core ML raised an exception on it")
    default: throw Failure(.busy, "Cannot use the state: another call does")
    }
  }
  func give(isPoisoned: Bool = false) { use.value = isPoisoned ? Use.poisoned.rawValue : Use.idle.rawValue }
  func enterQuarantine() { use.value = Use.quarantined.rawValue }

  /// Lends the array of a state for the time of `body`.
  func withArray(_ name: String, _ body: (MLMultiArray) throws -> Void) throws {
    guard model.description.states.contains(where: { $0.name == name }) else {
      let names = model.description.states.map { "\"\($0.name)\"" }.joined(separator: ", ")
      throw Failure(.notFound, "Cannot find state \"\(name)\": the model has \(names.isEmpty ? "none" : names)")
    }
    try take()
    var isPoisoned = false
    defer { give(isPoisoned: isPoisoned) }
    let key = NSString(string: name)
    // C carries the closure by address; it lives until the call is over.
    var outcome: Result<Void, any Error> = .failure(Failure(.coreML, "Core ML gave no array of state \"\(name)\""))
    try withoutActuallyEscaping(body) { body in
      let visit = Visit { array in outcome = Result { try body(array) } }
      do {
        try attempt { cmlx_try_state_array(lend(state), lend(key), lend(visit), Visit.run, $0) }
      } catch let failure as Failure {
        isPoisoned = failure.isRaised
        throw failure
      }
    }
    try outcome.get()
  }

  private final class Visit {
    let body: (MLMultiArray) -> Void
    init(_ body: @escaping (MLMultiArray) -> Void) { self.body = body }
    static let run: cmlx_try_body = { context, array in
      let visit = Unmanaged<Visit>.fromOpaque(context!).takeUnretainedValue()
      visit.body(Unmanaged<MLMultiArray>.fromOpaque(array!).takeUnretainedValue())
    }
  }
}

@_cdecl("cmlx_state_create")
public func stateCreate(
  _ model: UInt64, _ out: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    let loaded = try findModel(model)
    try loaded.checkUsable()
    out.pointee = try handles.insert(StateObject(loaded))
  }
}

@_cdecl("cmlx_state_read")
public func stateRead(
  _ state: UInt64, _ name: UnsafePointer<CChar>?, _ tensor: UnsafeMutablePointer<cmlx_tensor>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let tensor = try require(tensor, "tensor")
    let name = try requireText(name, "name")
    let object = try handles.get(state, as: StateObject.self)
    let target = try OutputTarget(tensor)
    try target.owner?.hold()
    defer { target.owner?.letGo() }
    try object.withArray(name) { array in
      guard target.fits(array.sizes) else {
        target.writeNeeds(array.sizes, try array.element())
        throw Failure(.bufferTooSmall, "Cannot read state \"\(name)\" into another shape: it has \(array.sizes)")
      }
      try target.take(array)
    }
    try target.settle()
  }
}

@_cdecl("cmlx_state_write")
public func stateWrite(
  _ state: UInt64, _ name: UnsafePointer<CChar>?, _ tensor: UnsafePointer<cmlx_tensor>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let tensor = try require(tensor, "tensor")
    let name = try requireText(name, "name")
    let object = try handles.get(state, as: StateObject.self)
    let ref = try TensorRef(tensor)
    try ref.owner?.hold()
    defer { ref.owner?.letGo() }
    try object.withArray(name) { array in
      guard array.sizes == ref.shape else {
        throw Failure(.bufferTooSmall, "Cannot write state \"\(name)\" from shape \(ref.shape): it has \(array.sizes)")
      }
      try array.copyIn(from: ref)
    }
  }
}
