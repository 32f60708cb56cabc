// Stands in for the part of IOKit that coremlx uses, on Linux only: one GPU that knows its cores, and a power source.
import Foundation

public typealias io_object_t = UInt32
public typealias io_service_t = io_object_t
public typealias io_registry_entry_t = io_object_t
public typealias mach_port_t = UInt32
public typealias kern_return_t = Int32
public typealias IOOptionBits = UInt32
public typealias CFAllocator = NSObject
public typealias CFString = NSString
public typealias CFDictionary = NSDictionary
public typealias CFMutableDictionary = NSMutableDictionary
public typealias CFTypeRef = AnyObject

public let kIOMainPortDefault: mach_port_t = 0

/// What only tests of the library set and read.
public enum StandInKit {
  /// NSNumber or NSData, as different drivers have it; nil: no such GPU.
  nonisolated(unsafe) public static var gpuCoreCount: AnyObject? = NSNumber(value: 10)
  nonisolated(unsafe) public static var powerSource: NSString = "AC Power"
  nonisolated(unsafe) public static var openObjects = 0
}

public func IOServiceMatching(_ name: UnsafePointer<CChar>!) -> CFMutableDictionary! {
  NSMutableDictionary(object: NSString(string: String(cString: name)), forKey: NSString(string: "IOProviderClass"))
}
public func IOServiceGetMatchingService(_ mainPort: mach_port_t, _ matching: CFDictionary!) -> io_service_t {
  if StandInKit.gpuCoreCount == nil { return 0 }
  StandInKit.openObjects += 1
  return 7
}
public func IORegistryEntryCreateCFProperty(_ entry: io_registry_entry_t, _ key: CFString!, _ allocator: CFAllocator!, _ options: IOOptionBits) -> Unmanaged<CFTypeRef>! {
  guard key == "gpu-core-count", let value = StandInKit.gpuCoreCount else { return nil }
  return Unmanaged.passRetained(value)
}
@discardableResult public func IOObjectRelease(_ object: io_object_t) -> kern_return_t {
  StandInKit.openObjects -= 1
  return 0
}
public func IOPSCopyPowerSourcesInfo() -> Unmanaged<CFTypeRef>! {
  Unmanaged.passRetained(NSObject())
}
public func IOPSGetProvidingPowerSourceType(_ snapshot: CFTypeRef!) -> Unmanaged<CFString>! {
  Unmanaged.passUnretained(StandInKit.powerSource)
}
