// How many predictions of one model are inside Core ML at once; the rest wait in order.
import CCoremlx

final class Gate: Sendable {
  private struct State {
    var free: Int
    var waiting: [Call] = []
    var isHung = false
  }
  let limit: Int
  private let state: Lock<State>

  init(_ limit: Int) {
    self.limit = limit
    state = Lock(State(free: limit))
  }

  /// The call is granted now, or when its turn comes. Throws where no turn will come.
  func enter(_ call: Call) throws {
    let isFree = try state.withLock { state in
      if state.isHung { throw hung }
      if state.free > 0 {
        state.free -= 1
        return true
      }
      state.waiting.append(call)
      return false
    }
    if isFree, !call.grant() { leave() }
  }

  /// Passes the turn on.
  func leave() {
    while true {
      let next = state.withLock { state -> Call? in
        if state.waiting.isEmpty {
          state.free += 1
          return nil
        }
        return state.waiting.removeFirst()
      }
      guard let next else { return }
      if next.grant() { return }
    }
  }

  func withdraw(_ call: Call) { state.withLock { $0.waiting.removeAll { $0 === call } } }

  /// Every place is held by a call that ran out of time: whoever waits would wait for nothing.
  func becomeHung() {
    let waiting = state.withLock { state in
      state.isHung = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for call in waiting { call.giveUp(hung) }
  }
  func recover() { state.withLock { $0.isHung = false } }

  private var hung: Failure {
    Failure(.quarantined, "Cannot predict: every place of the model (\(limit)) is held by a call that ran out of time")
  }

  var inFlight: Int { state.withLock { limit - $0.free } }
  var waitingCount: Int { state.withLock { $0.waiting.count } }
  var isHung: Bool { state.withLock { $0.isHung } }
}
