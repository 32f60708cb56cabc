// swift-tools-version: 6.0
// libcoremlx: Core ML behind a C ABI. On a Mac the frameworks are Apple's. On Linux modules of the same names stand in
// for them, so that the same sources compile, run and are tested there.
import PackageDescription

#if os(Linux)
  let standIns: [Target] = [
    .target(name: "CoreVideo", path: "swift/StandIn/CoreVideo"),
    .target(name: "Metal", path: "swift/StandIn/Metal"),
    .target(name: "IOKit", path: "swift/StandIn/IOKit"),
    .target(name: "CoreGraphics", path: "swift/StandIn/CoreGraphics"),
    .target(name: "ImageIO", dependencies: ["CoreGraphics"], path: "swift/StandIn/ImageIO"),
    // Not "Darwin": the test runner that SwiftPM generates asks canImport(Darwin).
    .target(name: "DarwinStandIn", path: "swift/StandIn/DarwinStandIn"),
    .target(name: "CoreML", dependencies: ["CCoremlx", "CoreVideo", "Metal"], path: "swift/StandIn/CoreML"),
  ]
  let frameworks: [Target.Dependency] = [
    "CoreML", "CoreVideo", "CoreGraphics", "ImageIO", "Metal", "IOKit", "DarwinStandIn",
  ]
  let links: [LinkerSetting] = []
  // Their models are JSON files that only the stand-in runs.
  let standInTests: [Target] = [
    .testTarget(
      name: "BridgeTests", dependencies: ["Bridge", "CCoremlx"] + frameworks, path: "swift/Tests/BridgeTests"),
  ]
#else
  let standIns: [Target] = []
  let frameworks: [Target.Dependency] = []
  let links: [LinkerSetting] = ["CoreML", "CoreVideo", "CoreGraphics", "ImageIO", "Metal", "IOKit"].map {
    .linkedFramework($0)
  }
  let standInTests: [Target] = []
#endif

let package = Package(
  name: "coremlx",
  platforms: [.macOS(.v14)],
  products: [.library(name: "coremlx", type: .dynamic, targets: ["Bridge"])],
  targets: standIns + [
    .target(name: "CCoremlx", path: "swift/CCoremlx"),
    .target(
      name: "Bridge", dependencies: ["CCoremlx"] + frameworks, path: "swift/Bridge", linkerSettings: links),
    .testTarget(
      name: "EverywhereTests", dependencies: ["Bridge", "CCoremlx"] + frameworks, path: "swift/Tests/EverywhereTests"),
  ] + standInTests,
  swiftLanguageModes: [.v6]
)
