// Stands in for Core ML on Linux only: Apple's names and signatures over plain memory, and a model that is a JSON file
// (see Spec.swift). This file: what only tests of the library read, and how the stand-in fails.
import Foundation

/// How many there are, and which of Apple's rules were broken.
public enum StandInML {
  private static let lock = NSLock()
  nonisolated(unsafe) private static var arrays = 0
  nonisolated(unsafe) private static var models = 0
  nonisolated(unsafe) private static var running = 0
  nonisolated(unsafe) private static var most = 0
  nonisolated(unsafe) private static var broken: [String] = []
  /// Predictions so far by model folder: for faults that count over all instances.
  nonisolated(unsafe) private static var runs: [String: Int] = [:]
  nonisolated(unsafe) private static var loads: [String: Int] = [:]
  nonisolated(unsafe) private static var lastConfiguration: MLModelConfiguration?

  public static var liveArrays: Int { lock.withLock { arrays } }
  public static var liveModels: Int { lock.withLock { models } }
  public static var configuration: MLModelConfiguration? { lock.withLock { lastConfiguration } }
  /// Predictions inside the framework.
  public static var runningCount: Int { lock.withLock { running } }
  /// Most predictions at once since the last call.
  public static func takeMostAtOnce() -> Int {
    lock.withLock {
      defer { most = 0 }
      return most
    }
  }
  /// Rules that the library broke since the last call.
  public static func takeBrokenRules() -> [String] {
    lock.withLock {
      defer { broken = [] }
      return broken
    }
  }

  static func countArrays(_ by: Int) { lock.withLock { arrays += by } }
  static func countModels(_ by: Int) { lock.withLock { models += by } }
  static func breakRule(_ rule: String) { lock.withLock { broken.append(rule) } }
  static func began() {
    lock.withLock {
      running += 1
      most = max(most, running)
    }
  }
  static func ended() { lock.withLock { running -= 1 } }
  static func countRun(_ path: String) -> Int {
    lock.withLock {
      runs[path, default: 0] += 1
      return runs[path, default: 0]
    }
  }
  static func countLoad(_ path: String, _ configuration: MLModelConfiguration) -> Int {
    lock.withLock {
      lastConfiguration = configuration
      loads[path, default: 0] += 1
      return loads[path, default: 0]
    }
  }
}

/// What an NSException is on a Mac: it passes every Swift frame and ends in try.m.
struct StandInException: Error {
  let name: String
  let reason: String
}

/// An NS_ENUM as Swift imports it: any raw value is accepted.
public protocol StandInEnum: RawRepresentable, Hashable, Sendable where RawValue == Int {}

public let MLModelErrorDomain: String = "com.apple.CoreML"

public struct MLModelError: Error {
  public struct Code: StandInEnum {
    public let rawValue: Int
    public init?(rawValue: Int) { self.rawValue = rawValue }
    public static let generic = Code(rawValue: 0)!
    public static let featureType = Code(rawValue: 1)!
    public static let io = Code(rawValue: 3)!
    @available(macOS 14.0, *)
    public static let predictionCancelled = Code(rawValue: 11)!
  }
}

func failure(_ code: MLModelError.Code, _ message: String, underlying: NSError? = nil) -> NSError {
  var info: [String: Any] = [NSLocalizedDescriptionKey: message]
  if let underlying { info[NSUnderlyingErrorKey] = underlying }
  return NSError(domain: MLModelErrorDomain, code: code.rawValue, userInfo: info)
}
