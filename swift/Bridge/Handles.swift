// Handles: numbers with a generation. A stale or foreign one is an error, never a bad memory access.
import CCoremlx

enum Kind: UInt64 {
  case buffer = 1
  case queue = 2
  case model = 3
  case state = 4
  case canceller = 5
}

/// What has a handle.
protocol Handled: AnyObject, Sendable {
  static var kind: Kind { get }
  static var label: String { get }
  /// Throws where the handle must stay.
  func willRelease() throws
}
extension Handled {
  func willRelease() throws {}
}

/// Slots with generations. A handle is kind (4 bits), generation (20), slot (24).
final class HandleTable: Sendable {
  private struct Slot {
    var generation: UInt64 = 1
    var kind: Kind = .buffer
    var object: (any Handled)?
  }
  private struct Slots {
    var all: [Slot] = []
    var free: [Int] = []
    var liveCount = 0

    func locate(_ handle: UInt64) -> Int? {
      let index = Int(handle & 0xFF_FFFF)
      guard index < all.count, all[index].object != nil, all[index].generation == handle >> 24 & 0xF_FFFF,
        all[index].kind.rawValue == handle >> 44
      else { return nil }
      return index
    }
  }
  private let slots = Lock(Slots())

  func insert<Object: Handled>(_ object: Object) throws -> UInt64 {
    try slots.withLock { slots in
      guard let index = slots.free.popLast() ?? (slots.all.count < 1 << 24 ? slots.all.count : nil) else {
        throw Failure(.inside, "Cannot make a handle: 16 million are live")
      }
      if index == slots.all.count { slots.all.append(Slot()) }
      slots.all[index].object = object
      slots.all[index].kind = Object.kind
      slots.liveCount += 1
      return Object.kind.rawValue << 44 | slots.all[index].generation << 24 | UInt64(index)
    }
  }

  func get<Object: Handled>(_ handle: UInt64, as type: Object.Type) throws -> Object {
    let found = slots.withLock { slots -> (any Handled)? in
      guard handle >> 44 == Object.kind.rawValue else { return nil }
      return slots.locate(handle).flatMap { slots.all[$0].object }
    }
    guard let object = found as? Object else { throw Failure(.badHandle, "Cannot find a \(Object.label): handle \(handle) is not one") }
    return object
  }

  func remove(_ handle: UInt64) throws {
    // The object goes outside the lock: its end may run anything.
    let object = try slots.withLock { slots -> any Handled in
      guard let index = slots.locate(handle), let object = slots.all[index].object else {
        throw Failure(.badHandle, "Cannot release handle \(handle): it is not live")
      }
      try object.willRelease()
      slots.all[index].object = nil
      slots.all[index].generation = slots.all[index].generation % 0xF_FFFF + 1
      slots.free.append(index)
      slots.liveCount -= 1
      return object
    }
    withExtendedLifetime(object) {}
  }

  var liveCount: Int { slots.withLock { $0.liveCount } }
}

let handles = HandleTable()

@_cdecl("cmlx_release")
public func release(_ handle: UInt64, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?) -> Int32 {
  guarded(error) { try handles.remove(handle) }
}

@_cdecl("cmlx_live_handles")
public func liveHandles() -> UInt64 { UInt64(handles.liveCount) }
