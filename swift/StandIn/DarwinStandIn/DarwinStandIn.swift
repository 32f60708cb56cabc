// Stands in for the few pieces of Darwin and of Apple's Foundation that coremlx uses, on Linux only. Its answers are a
// made-up Mac that tests can change.
import Foundation

/// What only tests of the library set and read.
public final class StandInMac: @unchecked Sendable {
  public static let shared = StandInMac()
  private let lock = NSLock()
  private var numbers: [String: Int64] = [
    "hw.memsize": 17_179_869_184, "hw.perflevel0.physicalcpu": 4, "hw.perflevel1.physicalcpu": 6, "hw.physicalcpu": 10,
    "kern.hv_vmm_present": 0,
  ]
  private var texts: [String: String] = [
    "hw.model": "Mac16,1", "hw.product": "Mac16,1", "machdep.cpu.brand_string": "Apple M4", "kern.osproductversion": "15.5",
    "kern.osversion": "24F74",
  ]
  private var thermal = ProcessInfo.ThermalState.nominal
  private var isUsageRefused = false
  private var isSaving = false

  public func setNumber(_ name: String, _ value: Int64?) { lock.withLock { numbers[name] = value } }
  public func setText(_ name: String, _ value: String?) { lock.withLock { texts[name] = value } }
  public func refuseUsage(_ refused: Bool) { lock.withLock { isUsageRefused = refused } }
  public func saveEnergy(_ saving: Bool) { lock.withLock { isSaving = saving } }
  public func heat(_ state: ProcessInfo.ThermalState) {
    lock.withLock { thermal = state }
    NotificationCenter.default.post(name: ProcessInfo.thermalStateDidChangeNotification, object: nil)
  }

  var thermalState: ProcessInfo.ThermalState { lock.withLock { thermal } }
  var usageFails: Bool { lock.withLock { isUsageRefused } }
  var savesEnergy: Bool { lock.withLock { isSaving } }
  func bytes(_ name: String) -> [UInt8]? {
    lock.withLock {
      if let text = texts[name] { return Array(text.utf8) + [0] }
      guard let number = numbers[name] else { return nil }
      // As on a Mac: most counts are 32 bits wide, hw.memsize is 64.
      if name == "hw.memsize" { return withUnsafeBytes(of: number.littleEndian) { Array($0) } }
      return withUnsafeBytes(of: Int32(number).littleEndian) { Array($0) }
    }
  }
}

public func sysctlbyname(_ name: UnsafePointer<CChar>!, _ oldp: UnsafeMutableRawPointer!, _ oldlenp: UnsafeMutablePointer<Int>!, _ newp: UnsafeMutableRawPointer!, _ newlen: Int) -> Int32 {
  guard let bytes = StandInMac.shared.bytes(String(cString: name)) else { return -1 }
  defer { oldlenp.pointee = bytes.count }
  if oldp == nil { return 0 }
  guard oldlenp.pointee >= bytes.count else { return -1 }
  bytes.withUnsafeBytes { oldp.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
  return 0
}

public typealias rusage_info_t = UnsafeMutableRawPointer
public struct rusage_info_v6 {
  public var ri_phys_footprint: UInt64 = 0
  public var ri_lifetime_max_phys_footprint: UInt64 = 0
  public var ri_energy_nj: UInt64 = 0
  public var ri_neural_footprint: UInt64 = 0
  public var ri_lifetime_max_neural_footprint: UInt64 = 0
  public init() {}
}
public let RUSAGE_INFO_V6: Int32 = 6

public func proc_pid_rusage(_ pid: Int32, _ flavor: Int32, _ buffer: UnsafeMutablePointer<rusage_info_t?>!) -> Int32 {
  guard flavor == RUSAGE_INFO_V6, !StandInMac.shared.usageFails else { return -1 }
  let info = UnsafeMutableRawPointer(buffer!).assumingMemoryBound(to: rusage_info_v6.self)
  info.pointee.ri_phys_footprint = 123 << 20
  info.pointee.ri_lifetime_max_phys_footprint = 456 << 20
  info.pointee.ri_energy_nj = 7_000_000_000
  info.pointee.ri_neural_footprint = 8 << 20
  info.pointee.ri_lifetime_max_neural_footprint = 9 << 20
  return 0
}

public func autoreleasepool<Result>(invoking body: () throws -> Result) rethrows -> Result { try body() }

extension ProcessInfo {
  public enum ThermalState: Int, Sendable {
    case nominal = 0
    case fair = 1
    case serious = 2
    case critical = 3
  }
  public var thermalState: ProcessInfo.ThermalState { StandInMac.shared.thermalState }
  public var isLowPowerModeEnabled: Bool { StandInMac.shared.savesEnergy }
  public static var thermalStateDidChangeNotification: NSNotification.Name { NSNotification.Name("NSProcessInfoThermalStateDidChangeNotification") }
}
