// Mutual exclusion, waiting and counters that the thread sanitizer understands on both systems, and that macOS 14 has.
// (Module Synchronization needs macOS 15, and its mutex looks like a race to the sanitizer on Linux.)
import CCoremlx
import Foundation

/// Guards a value. Not for `Void`: a field without size shares its neighbour's address, and that looks like a race.
final class Lock<Value>: @unchecked Sendable {
  private var value: Value
  // Allocated: Swift does not promise a stored property's address to C.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  init(_ value: sending Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
  }
  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }
  func withLock<R>(_ body: (inout Value) throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }
}

/// Guards a value that threads wait for.
final class Monitor<Value>: @unchecked Sendable {
  private var value: Value
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init(_ value: sending Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
    cmlx_cond_init(changed)
  }
  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }
  /// Wakes everyone who waits when `body` is done.
  func change<R>(_ body: (inout Value) throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return try body(&value)
  }
  func read<R>(_ body: (Value) throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(value)
  }
  /// Waits until `take` gives something, or until the clock shows `deadlineNs` (nil: for ever).
  func wait<R>(until deadlineNs: UInt64?, _ take: (inout Value) -> R?) -> R? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let taken = take(&value) { return taken }
      guard let deadlineNs else {
        pthread_cond_wait(changed, mutex)
        continue
      }
      let now = cmlx_clock_ns()
      if now >= deadlineNs { return nil }
      _ = cmlx_cond_wait_for(changed, mutex, deadlineNs - now)
    }
  }
}

/// A number that threads change without a lock.
final class Counter: @unchecked Sendable {
  private let storage = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)

  init(_ value: UInt64 = 0) { cmlx_atomic_init(storage, value) }
  deinit { storage.deallocate() }
  var value: UInt64 {
    get { cmlx_atomic_load(storage) }
    set { cmlx_atomic_store(storage, newValue) }
  }
  /// Gives the value before.
  @discardableResult func add(_ by: UInt64) -> UInt64 { cmlx_atomic_add(storage, by) }
  /// True where it was `from`, and is `to` now.
  func exchange(from: UInt64, to: UInt64) -> Bool { cmlx_atomic_exchange_if(storage, from, to) == from }
}
