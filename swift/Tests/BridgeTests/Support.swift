// What the tests share: model folders, checked calls, memory with known contents.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

/// Handles and the stand-ins' counters are one for the process: nothing runs side by side.
@Suite(.serialized) enum All {}

struct Refusal: Error, Equatable {
  var status: Int
  var code: Int64 = 0
  var domain = ""
  var message = ""
  var detail = ""
}

/// A call that must succeed.
func check(_ body: (UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32) throws {
  var error: UnsafeMutablePointer<cmlx_error>?
  let status = body(&error)
  guard status != 0 else {
    #expect(error == nil)
    return
  }
  let block = try #require(error)
  defer { errorFree(block) }
  #expect(block.pointee.status == status)
  throw Refusal(
    status: Int(status), code: block.pointee.code, domain: String(cString: block.pointee.domain),
    message: String(cString: block.pointee.message), detail: String(cString: block.pointee.detail))
}

/// What a call that must fail says.
func failing(_ body: (UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32) throws -> Refusal {
  do { try check(body) } catch let refusal as Refusal { return refusal }
  Issue.record("It did not fail")
  return Refusal(status: 0)
}
func failing(of body: () throws -> Void) throws -> Refusal {
  do { try body() } catch let refusal as Refusal { return refusal }
  Issue.record("It did not fail")
  return Refusal(status: 0)
}

func eventually(_ condition: () -> Bool) -> Bool {
  let until = Date().addingTimeInterval(20)
  while !condition() {
    if Date() > until { return false }
    usleep(500)
  }
  return true
}

/// A thread. Whoever sees that it is finished sees everything it did.
final class Background: @unchecked Sendable {
  private let done = Monitor(false)
  init(_ body: @escaping @Sendable () -> Void) {
    let done = done
    Thread {
      body()
      done.change { $0 = true }
    }.start()
  }
  var isFinished: Bool { done.read { $0 } }
}

/// Waits until nothing of an earlier test is alive: Core ML lets go of what it answered with on its own threads.
func expectNothingAlive() { #expect(eventually { StandInML.liveModels == 0 && StandInML.liveArrays == 0 }) }

/// A folder that a stand-in model lies in; gone with this object.
final class Folder: Sendable {
  let path: String
  init(_ spec: String, ending: String = "mlmodelc") throws {
    path = NSTemporaryDirectory() + "/bridge-\(UUID().uuidString).\(ending)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try spec.write(toFile: path + "/standin.json", atomically: true, encoding: .utf8)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// x -> y, both float32 [2, 3], y = 2x. `more` are members that replace or join these.
func doubling(_ more: String = "", shape: String = "[2,3]", dtype: String = "f32") -> String {
  """
  {"inputs":[{"name":"x","shape":\(shape),"dtype":"\(dtype)"}],"outputs":[{"name":"y","shape":\(shape),"dtype":"\(dtype)"}],
   "scale":2\(more.isEmpty ? "" : ","+more)}
  """
}

struct LoadSettings {
  var units = 0
  var inFlight = 0
  var flags = 0
  var reshape = 0
  var specialization = 0
  var gpu: UInt64 = 0
  var function: String?
  var displayName: String?

  func withOptions<R>(_ body: (UnsafePointer<cmlx_load_options>) throws -> R) rethrows -> R {
    var options = cmlx_load_options()
    options.struct_size = UInt32(MemoryLayout<cmlx_load_options>.size)
    options.compute_units = UInt32(units)
    options.max_in_flight = UInt32(inFlight)
    options.flags = UInt32(flags)
    options.reshape_frequency = UInt32(reshape)
    options.specialization = UInt32(specialization)
    options.gpu_registry_id = gpu
    let function = function.map { strdup($0) } ?? nil
    let name = displayName.map { strdup($0) } ?? nil
    defer {
      free(function)
      free(name)
    }
    options.function_name = UnsafePointer(function)
    options.display_name = UnsafePointer(name)
    return try body(&options)
  }
}

/// A loaded model with its folder; released with this object.
final class Model: @unchecked Sendable {
  let folder: Folder
  let handle: UInt64
  init(_ spec: String, _ settings: LoadSettings = LoadSettings()) throws {
    folder = try Folder(spec)
    var handle: UInt64 = 0
    let path = folder.path
    try settings.withOptions { options in try check { modelLoad(path, options, nil, &handle, $0) } }
    self.handle = handle
  }
  deinit { _ = release(handle, nil) }

  var stats: cmlx_model_stats {
    var stats = cmlx_model_stats()
    stats.struct_size = UInt32(MemoryLayout<cmlx_model_stats>.size)
    _ = modelReadStats(handle, &stats, nil)
    return stats
  }
  func describe() throws -> [String: Any] { try json { modelDescribe(self.handle, $0, $1) } }
}

func newBytes(_ body: (UnsafeMutablePointer<cmlx_bytes>, UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32) throws -> [UInt8] {
  var bytes = cmlx_bytes()
  try check { body(&bytes, $0) }
  defer { bytesFree(&bytes) }
  #expect(bytes.data[Int(bytes.size)] == 0)
  return Array(UnsafeBufferPointer(start: bytes.data, count: Int(bytes.size)))
}
func text(_ body: (UnsafeMutablePointer<cmlx_bytes>, UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32) throws -> String {
  String(decoding: try newBytes(body), as: UTF8.self)
}
func json(_ body: (UnsafeMutablePointer<cmlx_bytes>, UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32) throws -> [String: Any] {
  try #require(JSONSerialization.jsonObject(with: Data(try newBytes(body))) as? [String: Any])
}
/// JSON with sorted keys, to compare as a whole.
func sorted(_ value: Any) throws -> String {
  String(decoding: try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .fragmentsAllowed, .withoutEscapingSlashes]), as: UTF8.self)
}

/// Memory of exactly so many bytes: what writes past it is caught by the address sanitizer.
final class Memory<Number: Equatable>: @unchecked Sendable {
  let count: Int
  let base: UnsafeMutablePointer<Number>
  init(_ values: [Number]) {
    count = values.count
    base = UnsafeMutablePointer<Number>.allocate(capacity: max(1, count))
    base.initialize(from: values, count: count)
  }
  convenience init(_ count: Int, _ value: Number) { self.init([Number](repeating: value, count: count)) }
  deinit { base.deallocate() }
  var values: [Number] { Array(UnsafeBufferPointer(start: base, count: count)) }
  var byteSize: Int { count * MemoryLayout<Number>.size }

  /// The memory stays from now on: optimised code lets go of an object after its last use, and a tensor is none.
  func tensor(_ shape: [Int], _ dtype: Int, strides: [Int] = [], feature: Int = 0) -> cmlx_tensor {
    lentMemories.withLock { $0.append(self) }
    return makeTensor(shape, dtype, data: base, byteSize: byteSize, strides: strides, feature: feature)
  }
}
typealias Floats = Memory<Float>
private let lentMemories = Lock([AnyObject]())

let f64 = Int(CMLX_F64)
let f32 = Int(CMLX_F32)
let f16 = Int(CMLX_F16)
let i32 = Int(CMLX_I32)
let i8 = Int(CMLX_I8)

func makeTensor(
  _ shape: [Int], _ dtype: Int, data: UnsafeMutableRawPointer? = nil, byteSize: Int = 0, strides: [Int] = [], feature: Int = 0,
  buffer: UInt64 = 0, offset: Int = 0, flags: Int = 0
) -> cmlx_tensor {
  var tensor = cmlx_tensor()
  tensor.struct_size = UInt32(MemoryLayout<cmlx_tensor>.size)
  tensor.feature = UInt32(feature)
  tensor.dtype = UInt32(dtype)
  tensor.flags = UInt32(flags)
  tensor.data = data
  tensor.byte_size = UInt64(byteSize)
  tensor.buffer = buffer
  tensor.offset = UInt64(offset)
  withUnsafeMutablePointer(to: &tensor) {
    $0.writeShape(shape)
    $0.writeStrides(strides)
  }
  return tensor
}
func allocated(_ dtype: Int = 0, feature: Int = 0) -> cmlx_tensor {
  var tensor = makeTensor([], dtype, feature: feature, flags: Int(CMLX_T_ALLOCATE))
  tensor.rank = 0
  return tensor
}
extension cmlx_tensor {
  var axes: [Int] {
    var copy = self
    return withUnsafeBytes(of: &copy.shape) { raw in (0..<Int(rank)).map { Int(raw.load(fromByteOffset: $0 * 8, as: Int64.self)) } }
  }
  func numbers<Number>(_ type: Number.Type) -> [Number] {
    let count = axes.reduce(1, *)
    return (0..<count).map { data.load(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self) }
  }
}

/// A prediction with everything that may belong to it.
struct Ask {
  var model: UInt64
  var inputs: [cmlx_tensor] = []
  var outputs: [cmlx_tensor] = []
  var values: String?
  var state: UInt64 = 0
  var canceller: UInt64 = 0
  var timeoutMs: Int64 = 0
  /// Of the last run.
  var outputValues: String?
  var runNs: UInt64 = 0
  var queuedNs: UInt64 = 0

  init(_ model: UInt64, _ inputs: [cmlx_tensor] = [], _ outputs: [cmlx_tensor] = [], values: String? = nil) {
    self.model = model
    self.inputs = inputs
    self.outputs = outputs
    self.values = values
  }

  mutating func withPrediction<R>(_ body: (UnsafeMutablePointer<cmlx_prediction>) throws -> R) rethrows -> R {
    var prediction = cmlx_prediction()
    prediction.struct_size = UInt32(MemoryLayout<cmlx_prediction>.size)
    prediction.model = model
    prediction.state = state
    prediction.canceller = canceller
    prediction.timeout_ns = timeoutMs * 1_000_000
    prediction.input_count = UInt32(inputs.count)
    prediction.output_count = UInt32(outputs.count)
    let text = Array((values ?? "").utf8CString)
    return try text.withUnsafeBufferPointer { text in
      if values != nil {
        prediction.values = text.baseAddress
        prediction.values_size = UInt64(text.count - 1)
      }
      return try inputs.withUnsafeBufferPointer { given in
        try outputs.withUnsafeMutableBufferPointer { wanted in
          prediction.inputs = given.baseAddress
          prediction.outputs = wanted.baseAddress
          defer {
            runNs = prediction.run_ns
            queuedNs = prediction.queued_ns
          }
          return try body(&prediction)
        }
      }
    }
  }
  mutating func run() throws {
    var found: String?
    try withPrediction { prediction in
      try check { predict(prediction, $0) }
      if prediction.pointee.output_values.data != nil {
        found = String(cString: prediction.pointee.output_values.data)
        bytesFree(&prediction.pointee.output_values)
      }
    }
    outputValues = found
  }
}

func once(_ model: Model, _ inputs: [cmlx_tensor], _ outputs: [cmlx_tensor], values: String? = nil) throws -> Ask {
  var ask = Ask(model.handle, inputs, outputs, values: values)
  try ask.run()
  return ask
}

/// A handle that is released with this object.
final class Held: @unchecked Sendable {
  var handle: UInt64 = 0
  init(_ make: (UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32) throws {
    try check { make(&self.handle, $0) }
  }
  deinit { _ = release(handle, nil) }
  static func buffer(_ byteSize: Int) throws -> Held {
    var options = cmlx_buffer_options()
    options.struct_size = UInt32(MemoryLayout<cmlx_buffer_options>.size)
    options.byte_size = UInt64(bitPattern: Int64(byteSize))
    return try Held { bufferCreate(&options, $0, $1) }
  }
  static func surface(_ dtype: Int, _ width: Int, _ height: Int) throws -> Held {
    var options = cmlx_buffer_options()
    options.struct_size = UInt32(MemoryLayout<cmlx_buffer_options>.size)
    options.kind = UInt32(CMLX_BUFFER_SURFACE)
    options.dtype = UInt32(dtype)
    options.width = UInt32(width)
    options.height = UInt32(height)
    return try Held { bufferCreate(&options, $0, $1) }
  }
  static func canceller() throws -> Held { try Held { cancellerCreate($0, $1) } }
  static func state(_ model: Model) throws -> Held { try Held { stateCreate(model.handle, $0, $1) } }
  static func queue() throws -> Held { try Held { queueCreate($0, $1) } }

  var info: cmlx_buffer_info {
    var info = cmlx_buffer_info()
    info.struct_size = UInt32(MemoryLayout<cmlx_buffer_info>.size)
    _ = bufferRead(handle, &info, nil)
    return info
  }
  func tensor(_ shape: [Int], _ dtype: Int, strides: [Int] = [], feature: Int = 0, offset: Int = 0) -> cmlx_tensor {
    makeTensor(shape, dtype, strides: strides, feature: feature, buffer: handle, offset: offset)
  }
  /// Plain memory as numbers.
  func numbers<Number>(_ type: Number.Type, _ count: Int) -> [Number] {
    (0..<count).map { info.base.load(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self) }
  }
  func write<Number>(_ values: [Number]) {
    for (i, value) in values.enumerated() { info.base.storeBytes(of: value, toByteOffset: i * MemoryLayout<Number>.size, as: Number.self) }
  }
}

func quarantined() -> cmlx_quarantine {
  var out = cmlx_quarantine()
  out.struct_size = UInt32(MemoryLayout<cmlx_quarantine>.size)
  _ = quarantineRead(&out, nil)
  return out
}

/// Runs `body` as on an older macOS: 140 is 14.0.
func pretending<R>(_ system: UInt64, _ body: () throws -> R) throws -> R {
  pretendedSystem.value = system
  defer { pretendedSystem.value = 0 }
  return try body()
}
