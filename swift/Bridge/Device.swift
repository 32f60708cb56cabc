// The machine: what sysctl, IOKit and the frameworks say about it.
import CCoremlx
import CoreML
import Foundation
import IOKit
import Metal

#if os(Linux)
  import DarwinStandIn
#else
  import Darwin
  import IOKit.ps
#endif

/// The value as the system stores it; nil where there is no such name.
func readSysctl(_ name: String) -> [UInt8]? {
  var count = 0
  guard sysctlbyname(name, nil, &count, nil, 0) == 0, count > 0 else { return nil }
  var bytes = [UInt8](repeating: 0, count: count)
  guard sysctlbyname(name, &bytes, &count, nil, 0) == 0 else { return nil }
  return Array(bytes.prefix(count))
}

private func readText(_ name: String) -> Json? {
  readSysctl(name).map { .text(String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)) }
}
/// Counts are 4 or 8 bytes wide, little endian.
private func readNumber(_ name: String) -> Int64? {
  guard let bytes = readSysctl(name), bytes.count == 4 || bytes.count == 8 else { return nil }
  return bytes.reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
}

private func gpuCores() -> Int64? {
  let service = IOServiceGetMatchingService(kIOMainPortDefault, IOServiceMatching("AGXAccelerator"))
  guard service != 0 else { return nil }
  defer { IOObjectRelease(service) }
  guard let value = IORegistryEntryCreateCFProperty(service, "gpu-core-count" as CFString, nil, 0)?.takeRetainedValue() else { return nil }
  if let number = value as? NSNumber { return number.int64Value }
  // Some drivers store its bytes.
  guard let data = value as? NSData, data.length <= 8 else { return nil }
  return Data(referencing: data).reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
}

private func powerSource() -> Json? {
  guard let snapshot = IOPSCopyPowerSourcesInfo()?.takeRetainedValue(),
    let source = IOPSGetProvidingPowerSourceType(snapshot)?.takeUnretainedValue()
  else { return nil }
  switch String(describing: source) {
  case "AC Power": return "ac"
  case "Battery Power": return "battery"
  case "UPS Power": return "ups"
  default: return nil
  }
}

private func describe(_ device: MLComputeDevice) -> Json {
  switch device {
  case .gpu(let gpu): return ["kind": "gpu", "name": .text(gpu.metalDevice.name), "registryID": .text("\(gpu.metalDevice.registryID)")]
  case .neuralEngine(let engine): return ["kind": "ane", "cores": .integer(Int64(engine.totalCoreCount))]
  default: return ["kind": .text(label(device))]
  }
}

private func describeDevice() -> Json {
  let devices = MLModel.availableComputeDevices
  var members: [String: Json] = [
    "isLowPowerMode": .flag(ProcessInfo.processInfo.isLowPowerModeEnabled),
    "thermalState": .integer(Int64(ProcessInfo.processInfo.thermalState.rawValue)),
    "aneAvailable": .flag(devices.contains { if case .neuralEngine = $0 { true } else { false } }),
    "devices": .array(devices.map(describe)),
  ]
  let texts = [
    "model": "hw.model", "product": "hw.product", "chip": "machdep.cpu.brand_string", "osVersion": "kern.osproductversion",
    "osBuild": "kern.osversion",
  ]
  for (member, name) in texts { members[member] = readText(name) }
  let numbers = [
    "memoryBytes": "hw.memsize", "cores": "hw.physicalcpu", "performanceCores": "hw.perflevel0.physicalcpu",
    "efficiencyCores": "hw.perflevel1.physicalcpu",
  ]
  for (member, name) in numbers { members[member] = readNumber(name).map { .integer($0) } }
  members["isVirtual"] = readNumber("kern.hv_vmm_present").map { .flag($0 != 0) }
  members["gpuCores"] = gpuCores().map { .integer($0) }
  members["powerSource"] = powerSource()
  return .object(members)
}

@_cdecl("cmlx_device_describe")
public func deviceDescribe(
  _ json: UnsafeMutablePointer<cmlx_bytes>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) { try require(json, "json").pointee = makeBytes(describeDevice().text) }
}

@_cdecl("cmlx_sysctl_read")
public func sysctlRead(
  _ name: UnsafePointer<CChar>?, _ out: UnsafeMutablePointer<cmlx_bytes>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    let name = try requireText(name, "name")
    guard let bytes = readSysctl(name) else { throw Failure(.notFound, "Cannot read sysctl \"\(name)\": there is none") }
    out.pointee = try makeBytes(bytes)
  }
}

/// proc_pid_rusage, not task_info: `mach_task_self_` is a mutable global, which Swift 6 refuses.
@_cdecl("cmlx_usage_read")
public func usageRead(
  _ out: UnsafeMutablePointer<cmlx_usage>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    try checkSize(out.pointee.struct_size, of: cmlx_usage.self)
    var info = rusage_info_v6()
    let status = withUnsafeMutablePointer(to: &info) {
      $0.withMemoryRebound(to: rusage_info_t?.self, capacity: 1) { proc_pid_rusage(getpid(), RUSAGE_INFO_V6, $0) }
    }
    guard status == 0 else { throw Failure(.unsupported, "Cannot read the usage of this process: \(String(cString: strerror(errno)))") }
    out.pointee.footprint_bytes = info.ri_phys_footprint
    out.pointee.footprint_peak_bytes = info.ri_lifetime_max_phys_footprint
    out.pointee.neural_footprint_bytes = info.ri_neural_footprint
    out.pointee.neural_footprint_peak_bytes = info.ri_lifetime_max_neural_footprint
    out.pointee.energy_nj = info.ri_energy_nj
  }
}
