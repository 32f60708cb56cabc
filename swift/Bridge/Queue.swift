// Work without blocking: completions wait in a queue until the caller takes them. A pipe is readable while any wait.
import CCoremlx
import CoreML
import Foundation

#if os(Linux)
  import DarwinStandIn
#endif

/// Invariant: the pipe holds a byte exactly while completions wait, and its writing end is open exactly while the queue
/// is.
final class QueueObject: Handled, @unchecked Sendable {
  static let kind = Kind.queue
  static let label = "queue"
  private struct State {
    var waiting: [cmlx_completion] = []
    /// Gives up what runs, by ticket.
    var running: [UInt64: @Sendable () -> Void] = [:]
    var isClosed = false
  }
  private let state = Monitor(State())
  private let readEnd: Int32
  private let writeEnd: Int32
  private static let tickets = Counter(1)

  init() throws {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw Failure(.inside, "Cannot make a pipe: \(String(cString: strerror(errno)))") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    readEnd = ends[0]
    writeEnd = ends[1]
  }
  deinit {
    shutdown()
    close(readEnd)
  }

  var descriptor: Int32 { readEnd }

  /// Registers work; `giveUp` ends it early. Throws CLOSED.
  func register(_ giveUp: @escaping @Sendable () -> Void) throws -> UInt64 {
    let ticket = Self.tickets.add(1)
    try state.change { state in
      if state.isClosed { throw Failure(.closed, "Cannot queue work: the queue is shut down") }
      state.running[ticket] = giveUp
    }
    return ticket
  }

  /// The work is over; nothing comes for that ticket any more.
  func push(_ completion: cmlx_completion, endsTicket: Bool = true) {
    let isTaken = state.change { state in
      if endsTicket { state.running[completion.ticket] = nil }
      if state.isClosed { return false }
      state.waiting.append(completion)
      if state.waiting.count == 1 {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
      }
      return true
    }
    if !isTaken { Self.drop(completion) }
  }
  func forget(_ ticket: UInt64) { state.change { $0.running[ticket] = nil } }

  private static func drop(_ completion: cmlx_completion) {
    free(completion.error)
    free(completion.bytes.data)
    if completion.op == UInt32(CMLX_OP_LOAD), completion.result != 0 { try? handles.remove(completion.result) }
  }

  /// timeoutNs < 0: for ever; 0: what is there.
  func take(_ out: UnsafeMutablePointer<cmlx_completion>, _ capacity: Int, _ timeoutNs: Int64) throws -> Int {
    let now = cmlx_clock_ns()
    let deadline = timeoutNs < 0 ? nil : now.addingReportingOverflow(UInt64(timeoutNs)).partialValue
    let count = state.wait(until: deadline) { state -> Int? in
      if state.waiting.isEmpty { return state.isClosed ? 0 : nil }
      let count = min(capacity, state.waiting.count)
      for i in 0..<count { out[i] = state.waiting[i] }
      state.waiting.removeFirst(count)
      if state.waiting.isEmpty, !state.isClosed {
        var byte: UInt8 = 0
        _ = read(readEnd, &byte, 1)
      }
      return count
    }
    guard let count else { throw Failure(.timeout, "No completion came in time") }
    if count == 0 { throw Failure(.closed, "The queue is shut down") }
    return count
  }

  func cancel(_ ticket: UInt64) throws {
    guard let giveUp = state.read({ $0.running[ticket] }) else { throw Failure(.notFound, "Cannot cancel ticket \(ticket): it is not running") }
    giveUp()
  }

  func shutdown() {
    let (dropped, running) = state.change { state -> ([cmlx_completion], [@Sendable () -> Void]) in
      if state.isClosed { return ([], []) }
      state.isClosed = true
      close(writeEnd)
      defer {
        state.waiting = []
        state.running = [:]
      }
      return (state.waiting, Array(state.running.values))
    }
    for completion in dropped { Self.drop(completion) }
    for giveUp in running { giveUp() }
  }
}

/// A call whose end becomes a completion.
private func makeCall(
  _ queue: QueueObject, _ op: Int, _ tag: UInt64, onGrant: ((Call) -> Void)? = nil,
  _ settle: @escaping (AnyObject?, inout cmlx_completion) throws -> Void, onOver: @escaping () -> Void = {}
) throws -> (Call, UInt64) {
  nonisolated(unsafe) weak var weakCall: Call?
  let ticketBox = Counter()
  let call = Call(
    onGrant: onGrant.map { onGrant in { if let call = weakCall { onGrant(call) } } },
    onEnd: { ending in
      autoreleasepool {
        var completion = cmlx_completion()
        completion.ticket = ticketBox.value
        completion.tag = tag
        completion.op = UInt32(op)
        do {
          switch ending {
          case .answered(let result): try settle(result, &completion)
          case .failed(let failure): throw failure
          }
        } catch {
          let failure = Failure(error)
          completion.status = failure.status.rawValue
          completion.error = failure.makeBlock()
        }
        completion.queued_ns = weakCall?.queuedNs ?? 0
        completion.run_ns = weakCall?.runNs ?? 0
        onOver()
        queue.push(completion)
      }
    })
  weakCall = call
  let ticket = try queue.register { call.giveUp(CancellerObject.failure) }
  ticketBox.value = ticket
  return (call, ticket)
}

@_cdecl("cmlx_queue_create")
public func queueCreate(
  _ out: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { try require(out, "out").pointee = handles.insert(QueueObject()) }
}

@_cdecl("cmlx_queue_fd")
public func queueFd(_ queue: UInt64) -> Int32 { (try? handles.get(queue, as: QueueObject.self).descriptor) ?? -1 }

@_cdecl("cmlx_queue_wait")
public func queueWait(
  _ queue: UInt64, _ out: UnsafeMutablePointer<cmlx_completion>?, _ capacity: UInt32, _ timeoutNs: Int64,
  _ count: UnsafeMutablePointer<UInt32>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let count = try require(count, "count")
    count.pointee = 0
    guard capacity > 0 else { throw invalid("Cannot take completions into no room") }
    count.pointee = UInt32(try handles.get(queue, as: QueueObject.self).take(require(out, "out"), Int(capacity), timeoutNs))
  }
}

@_cdecl("cmlx_queue_shutdown")
public func queueShutdown(_ queue: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?) -> Int32 {
  guarded(error) { try handles.get(queue, as: QueueObject.self).shutdown() }
}

@_cdecl("cmlx_queue_cancel")
public func queueCancel(
  _ queue: UInt64, _ ticket: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { try handles.get(queue, as: QueueObject.self).cancel(ticket) }
}

/// Starts work that touches nothing of the caller's.
private func startQueued(
  _ queue: UInt64, _ tag: UInt64, _ ticket: UnsafeMutablePointer<UInt64>?, _ op: Int, _ start: (Call) throws -> Void,
  _ settle: @escaping (AnyObject?, inout cmlx_completion) throws -> Void
) throws {
  let out = try require(ticket, "ticket")
  let queue = try handles.get(queue, as: QueueObject.self)
  let (call, ticket) = try makeCall(queue, op, tag, settle)
  out.pointee = ticket
  _ = call.begin()
  do { try start(call) } catch {
    queue.forget(ticket)
    throw error
  }
}

@_cdecl("cmlx_queue_compile")
public func queueCompile(
  _ queue: UInt64, _ tag: UInt64, _ path: UnsafePointer<CChar>?, _ destination: UnsafePointer<CChar>?,
  _ ticket: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let request = try CompileRequest(path, destination)
    try startQueued(queue, tag, ticket, Int(CMLX_OP_COMPILE), { try request.start($0) }) { $1.bytes = try makeBytes(request.settle($0)) }
  }
}

@_cdecl("cmlx_queue_load")
public func queueLoad(
  _ queue: UInt64, _ tag: UInt64, _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<cmlx_load_options>?,
  _ ticket: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let request = try LoadRequest(path, options)
    try startQueued(queue, tag, ticket, Int(CMLX_OP_LOAD), { try startLoading(request, $0) }) { $1.result = try insertModel($0, request) }
  }
}

@_cdecl("cmlx_queue_plan")
public func queuePlan(
  _ queue: UInt64, _ tag: UInt64, _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<cmlx_load_options>?,
  _ ticket: UnsafeMutablePointer<UInt64>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let request = try LoadRequest(path, options)
    try startQueued(queue, tag, ticket, Int(CMLX_OP_PLAN), { try startPlanning(request, $0) }) { $1.bytes = try makeBytes(readPlan($0)) }
  }
}

@_cdecl("cmlx_queue_predict")
public func queuePredict(
  _ queue: UInt64, _ tag: UInt64, _ prediction: UnsafePointer<cmlx_prediction>?, _ ticket: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let prediction = try require(prediction, "prediction").pointee
    let out = try require(ticket, "ticket")
    let queue = try handles.get(queue, as: QueueObject.self)
    let flight = try Flight(prediction)
    do {
      try flight.prepare(canInterrupt: true)
      let gate = flight.model.gate
      let (call, ticket) = try makeCall(
        queue, Int(CMLX_OP_PREDICT), tag,
        onGrant: { call in
          if call.begin(onGivenUp: { flight.giveUp($0) }) {
            // Where it does not start, the call has ended with that.
            try? flight.start(call)
          } else {
            gate.leave()
          }
        }, { $1.bytes = try flight.finish($0) }, onOver: { flight.settle() })
      out.pointee = ticket
      do { try gate.enter(call) } catch {
        queue.forget(ticket)
        throw error
      }
      if prediction.timeout_ns > 0 {
        DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(prediction.timeout_ns))) { [weak call] in
          call?.giveUp(Limits.timeout("The prediction"))
        }
      }
    } catch {
      flight.settle()
      throw error
    }
  }
}
