// What calls that were given up may still touch. Nothing here is given out again until the framework is really done.
import CCoremlx

final class Quarantine: Sendable {
  private struct State {
    var calls: UInt64 = 0
    var bytes: UInt64 = 0
    var entered: UInt64 = 0
    var returned: UInt64 = 0
    var limitCalls: UInt64 = 16
    var limitBytes: UInt64 = 1 << 30
    var isFull: Bool { calls > limitCalls || bytes > limitBytes }
  }
  private let state = Lock(State())

  /// Throws where nothing more may be started in this process.
  func checkRoom() throws {
    let (isFull, calls, bytes) = state.withLock { ($0.isFull, $0.calls, $0.bytes) }
    if isFull {
      throw Failure(.quarantineFull, "Cannot predict: \(calls) calls that were given up have not ended, with \(bytes) bytes")
    }
  }
  func enter(_ bytes: Int) {
    state.withLock { state in
      state.calls += 1
      state.entered += 1
      state.bytes += UInt64(bytes)
    }
  }
  func leave(_ bytes: Int) {
    state.withLock { state in
      state.calls -= 1
      state.returned += 1
      state.bytes -= UInt64(bytes)
    }
  }
  func limit(calls: UInt64, bytes: UInt64) {
    state.withLock { state in
      state.limitCalls = calls
      state.limitBytes = bytes
    }
  }
  func describe(_ out: UnsafeMutablePointer<cmlx_quarantine>) {
    let state = state.withLock { $0 }
    out.pointee.flags = state.isFull ? UInt32(CMLX_QUARANTINE_IS_FULL) : 0
    out.pointee.calls = state.calls
    out.pointee.bytes = state.bytes
    out.pointee.entered = state.entered
    out.pointee.returned = state.returned
    out.pointee.limit_calls = state.limitCalls
    out.pointee.limit_bytes = state.limitBytes
  }
}

let quarantine = Quarantine()

@_cdecl("cmlx_quarantine_read")
public func quarantineRead(
  _ out: UnsafeMutablePointer<cmlx_quarantine>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    try checkSize(out.pointee.struct_size, of: cmlx_quarantine.self)
    quarantine.describe(out)
  }
}

@_cdecl("cmlx_quarantine_limit")
public func quarantineLimit(
  _ calls: UInt64, _ bytes: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { quarantine.limit(calls: calls, bytes: bytes) }
}
