// One piece of work that runs elsewhere, and whoever waits for it, cancels it or gives it up.
import CCoremlx
import Foundation

/// It waits for its turn, runs, and ends: answered, or given up before. Whatever comes first is its ending; what comes
/// later learns that it is late.
final class Call: @unchecked Sendable {
  enum Ending {
    case answered(AnyObject?)
    case failed(Failure)
  }
  private enum Phase {
    case waiting
    case granted
    /// What to do when it is given up, while that is decided: before then nobody can learn that it was.
    case running(onGivenUp: (Failure) -> Void)
    case over(Ending)
  }
  private let phase = Monitor(Phase.waiting)
  private let onGrant: (() -> Void)?
  private let onEnd: ((Ending) -> Void)?
  private let turns = Counter()
  private let started = Counter()
  private let ended = Counter()
  private let born = cmlx_clock_ns()

  /// With `onEnd` nobody waits: it is called once, on the thread that ends the call.
  init(onGrant: (() -> Void)? = nil, onEnd: ((Ending) -> Void)? = nil) {
    self.onGrant = onGrant
    self.onEnd = onEnd
  }

  var queuedNs: UInt64 { (started.value > 0 ? started.value : cmlx_clock_ns()) - born }
  var runNs: UInt64 { started.value > 0 ? (ended.value > 0 ? ended.value : cmlx_clock_ns()) - started.value : 0 }

  /// Its turn has come. False: it is over, and the turn goes to the next.
  func grant() -> Bool {
    let isGranted = phase.change { phase in
      guard case .waiting = phase else { return false }
      phase = .granted
      turns.value = 1
      return true
    }
    if isGranted { onGrant?() }
    return isGranted
  }

  /// False: it was given up meanwhile.
  func begin(onGivenUp: @escaping (Failure) -> Void = { _ in }) -> Bool {
    phase.change { phase in
      if case .over = phase { return false }
      started.value = cmlx_clock_ns()
      phase = .running(onGivenUp: onGivenUp)
      return true
    }
  }

  /// The work is done. False: too late.
  func end(_ ending: Ending) -> Bool {
    let isFirst = phase.change { phase in
      if case .over = phase { return false }
      ended.value = cmlx_clock_ns()
      phase = .over(ending)
      return true
    }
    if isFirst { onEnd?(ending) }
    return isFirst
  }

  /// It ends now, unless it is over already.
  func giveUp(_ why: Failure) {
    let isFirst = phase.change { phase in
      switch phase {
      case .over: return false
      case .waiting, .granted: break
      case .running(let onGivenUp):
        ended.value = cmlx_clock_ns()
        onGivenUp(why)
      }
      phase = .over(.failed(why))
      return true
    }
    if isFirst { onEnd?(.failed(why)) }
  }

  /// It is over before it began: whoever holds a turn for it passes that on. Gives why it is over.
  func abandon(_ gate: Gate) -> Failure {
    if turns.value == 1 { gate.leave() } else { gate.withdraw(self) }
    guard case .failed(let failure) = ending else { return Failure(.inside, "The call ended before it began") }
    return failure
  }

  /// False: the deadline passed first. True: it has its turn, or is over.
  func waitForTurn(until deadlineNs: UInt64?) -> Bool {
    phase.wait(until: deadlineNs) { if case .waiting = $0 { nil } else { true } } ?? false
  }
  func waitForEnd(until deadlineNs: UInt64?) -> Ending? {
    phase.wait(until: deadlineNs) { if case .over(let ending) = $0 { ending } else { nil } }
  }
  /// How it ended, if it has.
  var ending: Ending? { phase.read { if case .over(let ending) = $0 { ending } else { nil } } }
}

/// Ends calls of other threads. Holds its calls only while they run.
final class CancellerObject: Handled {
  static let kind = Kind.canceller
  static let label = "canceller"
  private struct State {
    var isCancelled = false
    var calls: [ObjectIdentifier: Call] = [:]
  }
  private let state = Lock(State())
  static var failure: Failure { Failure(.cancelled, "The call was cancelled") }

  func add(_ call: Call) throws {
    try state.withLock { state in
      if state.isCancelled { throw Self.failure }
      state.calls[ObjectIdentifier(call)] = call
    }
  }
  func remove(_ call: Call) { state.withLock { $0.calls[ObjectIdentifier(call)] = nil } }
  func cancel() {
    let calls = state.withLock { state in
      state.isCancelled = true
      return Array(state.calls.values)
    }
    for call in calls { call.giveUp(Self.failure) }
  }
  func reset() { state.withLock { $0.isCancelled = false } }
}

/// Who may end a blocking call, and when it must be over.
struct Limits {
  let deadlineNs: UInt64?
  let canceller: CancellerObject?

  init(timeoutNs: Int64, canceller: UInt64) throws {
    deadlineNs = timeoutNs > 0 ? cmlx_clock_ns().addingReportingOverflow(UInt64(timeoutNs)).partialValue : nil
    self.canceller = canceller == 0 ? nil : try handles.get(canceller, as: CancellerObject.self)
  }
  var canInterrupt: Bool { deadlineNs != nil || canceller != nil }

  static func timeout(_ what: String) -> Failure { Failure(.timeout, "\(what) did not end in time") }

  /// Runs work that something else finishes by `call.end`. It touches nothing of the caller's, so it may be left alone.
  func run(_ what: String, control: UnsafeMutablePointer<cmlx_control>?, _ start: (Call) throws -> Void) throws -> AnyObject? {
    let call = Call()
    try canceller?.add(call)
    defer {
      canceller?.remove(call)
      control?.pointee.queued_ns = call.queuedNs
      control?.pointee.run_ns = call.runNs
    }
    _ = call.begin()
    try start(call)
    if call.waitForEnd(until: deadlineNs) == nil { call.giveUp(Self.timeout(what)) }
    switch call.ending! {
    case .answered(let result): return result
    case .failed(let failure): throw failure
    }
  }
}

extension UnsafeMutablePointer<cmlx_control>? {
  func limits() throws -> Limits {
    guard let control = self else { return try Limits(timeoutNs: 0, canceller: 0) }
    try checkSize(control.pointee.struct_size, of: cmlx_control.self)
    return try Limits(timeoutNs: control.pointee.timeout_ns, canceller: control.pointee.canceller)
  }
}

/// A call as the context of a C callback. `onLanding` comes first, whether somebody still waits or not; `onLate` gets a
/// result that nobody waits for any more.
final class Landing: @unchecked Sendable {
  private let call: Call
  private let onLanding: (Call.Ending) -> Void
  private let onLate: (AnyObject?) -> Void

  init(_ call: Call, onLanding: @escaping (Call.Ending) -> Void = { _ in }, onLate: @escaping (AnyObject?) -> Void = { _ in }) {
    self.call = call
    self.onLanding = onLanding
    self.onLate = onLate
  }

  /// Starts work that reports to `landed`. Throws where it did not start.
  func start(_ body: (UnsafeMutableRawPointer, UnsafeMutablePointer<cmlx_try>) -> Int32) throws {
    let context = Unmanaged.passRetained(self)
    do { try attempt { body(context.toOpaque(), $0) } } catch {
      context.release()
      throw error
    }
  }

  static let landed: cmlx_try_done = { context, result, failure in
    let landing = Unmanaged<Landing>.fromOpaque(context!).takeRetainedValue()
    let result = takeObject(result)
    let ending: Call.Ending
    if let error = takeObject(failure) as? NSError { ending = .failed(Failure(error)) } else { ending = .answered(result) }
    landing.onLanding(ending)
    if !landing.call.end(ending) { landing.onLate(result) }
  }
}

@_cdecl("cmlx_canceller_create")
public func cancellerCreate(
  _ out: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { try require(out, "out").pointee = handles.insert(CancellerObject()) }
}

@_cdecl("cmlx_canceller_cancel")
public func cancellerCancel(_ canceller: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?) -> Int32 {
  guarded(error) { try handles.get(canceller, as: CancellerObject.self).cancel() }
}

@_cdecl("cmlx_canceller_reset")
public func cancellerReset(_ canceller: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?) -> Int32 {
  guarded(error) { try handles.get(canceller, as: CancellerObject.self).reset() }
}
