// The thermal state, how often it changed, and completions for those who want to be told.
import CCoremlx
import Foundation

#if os(Linux)
  import DarwinStandIn
#endif

/// Watches from its first use to the end of the process.
final class ThermalWatch: Sendable {
  static let shared = ThermalWatch()
  private struct State {
    var changes: UInt64 = 0
    var changedAtNs: UInt64 = 0
    var listeners: [UInt64: @Sendable (Int32) -> Void] = [:]
  }
  private let state = Lock(State())

  private init() {
    // The system tells of changes only to those who have asked for the state once.
    _ = Self.current
    _ = NotificationCenter.default.addObserver(forName: ProcessInfo.thermalStateDidChangeNotification, object: nil, queue: nil) { [weak self] _ in
      self?.change()
    }
  }

  static var current: Int32 { Int32(ProcessInfo.processInfo.thermalState.rawValue) }

  private func change() {
    let listeners = state.withLock { state in
      state.changes += 1
      state.changedAtNs = cmlx_clock_ns()
      return Array(state.listeners.values)
    }
    let current = Self.current
    for listener in listeners { listener(current) }
  }

  func listen(_ ticket: UInt64, _ listener: @escaping @Sendable (Int32) -> Void) { state.withLock { $0.listeners[ticket] = listener } }
  func stop(_ ticket: UInt64) { state.withLock { $0.listeners[ticket] = nil } }

  func describe(_ out: UnsafeMutablePointer<cmlx_thermal>) {
    let state = state.withLock { ($0.changes, $0.changedAtNs) }
    out.pointee.state = Self.current
    out.pointee.changes = state.0
    out.pointee.changed_at_ns = state.1
  }
}

@_cdecl("cmlx_thermal_read")
public func thermalRead(
  _ out: UnsafeMutablePointer<cmlx_thermal>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    try checkSize(out.pointee.struct_size, of: cmlx_thermal.self)
    ThermalWatch.shared.describe(out)
  }
}

@_cdecl("cmlx_queue_watch_thermal")
public func queueWatchThermal(
  _ queue: UInt64, _ tag: UInt64, _ ticket: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(ticket, "ticket")
    let queue = try handles.get(queue, as: QueueObject.self)
    let box = Counter()
    @Sendable func completion() -> cmlx_completion {
      var completion = cmlx_completion()
      completion.ticket = box.value
      completion.tag = tag
      completion.op = UInt32(CMLX_OP_THERMAL)
      return completion
    }
    // The queue and the watch know each other only by ticket, so that neither keeps the other alive.
    let ticket = try queue.register { [weak queue] in
      ThermalWatch.shared.stop(box.value)
      let failure = CancellerObject.failure
      var last = completion()
      last.status = failure.status.rawValue
      last.error = failure.makeBlock()
      if let queue { queue.push(last) } else { free(last.error) }
    }
    box.value = ticket
    ThermalWatch.shared.listen(ticket) { [weak queue] state in
      var completion = completion()
      completion.result = UInt64(state)
      queue?.push(completion, endsTicket: false)
    }
    out.pointee = ticket
  }
}
