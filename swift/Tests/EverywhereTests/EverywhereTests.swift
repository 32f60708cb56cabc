// What holds on every Mac and on the stand-ins alike: no model is needed, and no stand-in is named.
import CCoremlx
import Foundation
import Testing

@testable import Bridge

@Suite(.serialized) struct Everywhere {
  private func bytes(_ body: (UnsafeMutablePointer<cmlx_bytes>) -> Int32) throws -> Data {
    var bytes = cmlx_bytes()
    try #require(body(&bytes) == 0)
    defer { bytesFree(&bytes) }
    return Data(bytes: bytes.data, count: Int(bytes.size))
  }

  @Test func theLibraryKnowsItsAbiAndItsFrameworks() {
    #expect(abiVersion() == CMLX_ABI_VERSION)
    #if os(Linux)
      #expect(isApple() == 0)
    #else
      #expect(isApple() == 1)
    #endif
  }

  @Test func theMachineHasAChipAndAProcessor() throws {
    let described = try #require(JSONSerialization.jsonObject(with: bytes { deviceDescribe($0, nil) }) as? [String: Any])
    #expect(described["chip"] as? String != nil && described["osVersion"] as? String != nil)
    let devices = try #require(described["devices"] as? [[String: Any]])
    #expect(devices.contains { $0["kind"] as? String == "cpu" })
  }

  @Test func theMemoryOfTheMachineIsANumberOfEightBytes() throws {
    #expect(try bytes { sysctlRead("hw.memsize", $0, nil) }.count == 8)
  }

  @Test func thisProcessHasAFootprint() {
    var usage = cmlx_usage()
    usage.struct_size = UInt32(MemoryLayout<cmlx_usage>.size)
    #expect(usageRead(&usage, nil) == 0)
    #expect(usage.footprint_bytes > 0 && usage.footprint_peak_bytes >= usage.footprint_bytes)
  }

  @Test func theThermalStateIsOneOfFour() {
    var thermal = cmlx_thermal()
    thermal.struct_size = UInt32(MemoryLayout<cmlx_thermal>.size)
    #expect(thermalRead(&thermal, nil) == 0)
    #expect((0...3).contains(thermal.state))
  }

  @Test func aSurfaceOfHalvesCanBeWrittenAndRead() throws {
    var options = cmlx_buffer_options()
    options.struct_size = UInt32(MemoryLayout<cmlx_buffer_options>.size)
    options.kind = UInt32(CMLX_BUFFER_SURFACE)
    options.dtype = UInt32(CMLX_F16)
    options.width = 200
    options.height = 6
    var buffer: UInt64 = 0
    try #require(bufferCreate(&options, &buffer, nil) == 0)
    defer { _ = release(buffer, nil) }
    var info = cmlx_buffer_info()
    info.struct_size = UInt32(MemoryLayout<cmlx_buffer_info>.size)
    try #require(bufferBegin(buffer, 1, &info, nil) == 0)
    #expect(info.row_bytes >= 400 && info.base != nil)
    (info.base + Int(info.row_bytes)).storeBytes(of: 1.5, as: Float16.self)
    #expect((info.base + Int(info.row_bytes)).load(as: Float16.self) == 1.5)
    #expect(bufferEnd(buffer, nil) == 0)
  }

  @Test func aModelThatIsNotThereIsNotFound() {
    var model: UInt64 = 0
    #expect(modelLoad("/nowhere.mlmodelc", nil, nil, &model, nil) == Int32(CMLX_E_NOT_FOUND))
  }

  @Test func aFolderThatIsNoModelIsAnErrorOfCoreML() throws {
    let folder = NSTemporaryDirectory() + "/no-model-\(UUID().uuidString).mlmodelc"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var model: UInt64 = 0
    var error: UnsafeMutablePointer<cmlx_error>?
    #expect(modelLoad(folder, nil, nil, &model, &error) == Int32(CMLX_E_CORE_ML))
    #expect(error.map { String(cString: $0.pointee.domain) } == "com.apple.CoreML")
    errorFree(error)
  }

  /// Two gray pixels, 10 and 200, uncompressed. The stand-in reads only PGM and PPM.
  @Test(.enabled(if: isApple() == 1)) func aTiffIsDecoded() throws {
    func entry(_ tag: UInt8, _ type: UInt8, _ value: UInt8) -> [UInt8] { [tag, 1, type, 0, 1, 0, 0, 0, value, 0, 0, 0] }
    let size: [[UInt8]] = [[0, 1, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0], [1, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0]]
    let rest = [entry(2, 3, 8), entry(3, 3, 1), entry(6, 3, 1), entry(17, 4, 122), entry(21, 3, 1), entry(22, 3, 1), entry(23, 4, 2)]
    let tiff: [UInt8] = [73, 73, 42, 0, 8, 0, 0, 0, 9, 0] + (size + rest).flatMap { $0 } + [0, 0, 0, 0, 10, 200]
    var image = cmlx_image()
    image.struct_size = UInt32(MemoryLayout<cmlx_image>.size)
    try #require(imageDecode(tiff, UInt64(tiff.count), 1000, &image, nil) == 0)
    defer { bytesFree(&image.pixels) }
    #expect(image.width == 2 && image.height == 1)
  }
}
