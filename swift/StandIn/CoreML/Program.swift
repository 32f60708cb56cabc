// What a stand-in model computes: a few steps over named values, in double precision.
import CoreVideo
import Foundation

/// One prediction's values.
final class ProgramRun {
  enum Value {
    /// Arrays, and images as [height, width, channels] or [height, width].
    case numbers([Double], [Int])
    case other(MLFeatureValue)
  }
  private(set) var values: [String: Value] = [:]
  private let spec: Spec
  private let features: any MLFeatureProvider
  private let state: MLState?
  private var fresh: [String: [Double]] = [:]

  init(_ spec: Spec, _ features: any MLFeatureProvider, _ state: MLState?) {
    self.spec = spec
    self.features = features
    self.state = state
    for input in spec.inputs {
      guard let value = features.featureValue(for: input.name) else { continue }
      if let array = value.multiArrayValue {
        values[input.name] = .numbers(array.numbers, array.sizes)
      } else if let pixels = value.imageBufferValue {
        values[input.name] = readPixels(pixels)
      } else {
        values[input.name] = .other(value)
      }
    }
    for described in spec.states ?? [] {
      values[described.name] = .numbers(readState(described), described.shape ?? [])
    }
  }

  func compute() throws {
    if let program = spec.program {
      for step in program { try run(step) }
    } else {
      runDefault()
    }
  }

  func drift(_ by: Double) {
    for output in spec.outputs {
      if case .numbers(let numbers, let shape) = values[output.name] { values[output.name] = .numbers(numbers.map { $0 + by }, shape) }
    }
  }

  /// Every array and image is the first one times `scale`, or the first state after that one was added to it; everything
  /// else is the first input of its type.
  private func runDefault() {
    let scale = spec.scale ?? 1
    let first = spec.inputs.lazy.compactMap { input -> ([Double], [Int])? in
      guard case .numbers(let numbers, let shape) = self.values[input.name] else { return nil }
      return (numbers, shape)
    }.first
    var source = first
    if let held = spec.states?.first, let first {
      let sum = zip(readState(held), first.0).map { $0 + $1 }
      writeState(held, sum)
      source = (readState(held), held.shape ?? [])
    }
    for output in spec.outputs {
      if output.isArray || output.type == "image" {
        guard let (numbers, shape) = source else { continue }
        let isFlexible = spec.inputs.contains { $0.ranges != nil || $0.shapes != nil || $0.widths != nil || $0.sizes != nil }
        let declared = output.type == "image" ? [output.height ?? shape[0], output.width ?? shape[1]] : output.shape ?? shape
        values[output.name] = .numbers(numbers.map { $0 * scale }, isFlexible || declared.isEmpty ? shape : declared)
      } else if let same = spec.inputs.first(where: { $0.type == output.type }), let value = values[same.name] {
        values[output.name] = value
      }
    }
  }

  private func run(_ step: Spec.Step) throws {
    let names = step.inputs ?? []
    func numbers(_ index: Int) throws -> ([Double], [Int]) {
      guard index < names.count, case .numbers(let numbers, let shape) = values[names[index]] else {
        throw failure(.generic, "Step \(step.op) has no numbers at input \(index).")
      }
      return (numbers, shape)
    }
    func second() throws -> [Double] { try step.values ?? numbers(1).0 }
    let output = step.output ?? ""
    switch step.op {
    case "scale":
      let (x, shape) = try numbers(0)
      values[output] = .numbers(x.map { $0 * (step.by ?? 1) + (step.offset ?? 0) }, step.shape ?? shape)
    case "add", "multiply":
      let (x, shape) = try numbers(0)
      let y = try second()
      values[output] = .numbers(x.indices.map { step.op == "add" ? x[$0] + y[$0 % y.count] : x[$0] * y[$0 % y.count] }, shape)
    case "store":
      guard let held = spec.states?.first(where: { $0.name == step.state }) else { throw failure(.generic, "No state to store in.") }
      writeState(held, try numbers(0).0)
      values[held.name] = .numbers(readState(held), held.shape ?? [])
    case "echo":
      values[output] = values[names[0]]
    case "answer":
      let (x, shape) = try numbers(0)
      guard let answer = step.answers?[fingerprint(x, names[0])] else {
        throw failure(.generic, "No recorded answer for \(fingerprint(x, names[0])).")
      }
      values[output] = .numbers(answer, step.shape ?? shape)
    case "classify":
      try classify(try numbers(0).0)
    default:
      throw failure(.generic, "Unknown step \(step.op).")
    }
  }

  private func classify(_ probabilities: [Double]) throws {
    var best = 0
    for i in probabilities.indices where probabilities[i] > probabilities[best] { best = i }
    var dictionary: [AnyHashable: NSNumber] = [:]
    let label: MLFeatureValue
    if let labels = spec.intLabels {
      for (i, label) in labels.enumerated() { dictionary[AnyHashable(label)] = NSNumber(value: probabilities[i]) }
      label = MLFeatureValue(int64: labels[best])
    } else {
      for (i, label) in (spec.classLabels ?? []).enumerated() { dictionary[label] = NSNumber(value: probabilities[i]) }
      label = MLFeatureValue(string: spec.classLabels?[best] ?? "")
    }
    values[spec.predictedFeatureName ?? "label"] = .other(label)
    values[spec.predictedProbabilitiesName ?? "probabilities"] = .other(try MLFeatureValue(dictionary: dictionary))
  }

  private func fingerprint(_ numbers: [Double], _ name: String) -> String {
    let input = spec.inputs.first { $0.name == name }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ bytes: some Collection<UInt8>) {
      for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
    for number in numbers {
      if input?.type == "image" {
        add([UInt8(number)])
      } else {
        switch dataType(input?.dtype) {
        case .double: add(withUnsafeBytes(of: number) { Array($0) })
        case .float16: add(withUnsafeBytes(of: Float16(number)) { Array($0) })
        case .int32: add(withUnsafeBytes(of: Int32(number)) { Array($0) })
        default: add(withUnsafeBytes(of: Float(number)) { Array($0) })
        }
      }
    }
    let text = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  /// Without a state every call starts from zero.
  private func readState(_ described: Spec.Feature) -> [Double] {
    if let array = state?.arrays[described.name] { return array.numbers }
    return fresh[described.name] ?? [Double](repeating: 0, count: (described.shape ?? []).reduce(1, *))
  }
  private func writeState(_ described: Spec.Feature, _ numbers: [Double]) {
    guard let array = state?.arrays[described.name] else {
      fresh[described.name] = numbers
      return
    }
    for i in 0..<array.count { array.set(i, numbers[i % numbers.count]) }
  }
}

extension Spec {
  /// The framework's own checks of what it is given.
  func check(_ features: any MLFeatureProvider) throws {
    for input in inputs {
      guard let value = features.featureValue(for: input.name) else {
        if input.optional == true { continue }
        throw failure(.featureType, "Feature \(input.name) is required but not specified.")
      }
      guard value.type == input.description.type else {
        throw failure(.featureType, "Feature \(input.name) has type \(value.type.rawValue), not \(input.description.type.rawValue).")
      }
      if let array = value.multiArrayValue {
        guard array.dataType == dataType(input.dtype) else { throw failure(.featureType, "Feature \(input.name) has another data type.") }
        let declared = input.shape ?? []
        let isAllowed = input.ranges.map { zip($0, array.sizes).allSatisfy { $0[0] <= $1 && ($0[1] < 0 || $1 <= $0[1]) } && $0.count == array.sizes.count }
          ?? (input.shapes ?? [declared]).contains(array.sizes)
        guard isAllowed || input.constraint == "unspecified" else {
          throw failure(.generic, "MultiArray shape \(array.sizes) does not match the shape \(declared) specified in the model description.")
        }
      }
      if let pixels = value.imageBufferValue {
        guard CVPixelBufferGetPixelFormatType(pixels) == input.pixelFormat else { throw failure(.featureType, "Image \(input.name) has another pixel format.") }
        let size = [CVPixelBufferGetHeight(pixels), CVPixelBufferGetWidth(pixels)]
        let isFlexible = input.widths != nil || input.heights != nil || input.sizes != nil
        guard isFlexible || size == [input.height, input.width] else { throw failure(.featureType, "Image \(input.name) has another size.") }
      }
    }
  }
}

private func eachPixelByte(_ pixels: CVPixelBuffer, _ body: (UnsafeMutableRawPointer, Int, Int) -> Void) {
  CVPixelBufferLockBaseAddress(pixels, [])
  defer { CVPixelBufferUnlockBaseAddress(pixels, []) }
  let element = StandInVideo.elementBytes(CVPixelBufferGetPixelFormatType(pixels))!
  let base = CVPixelBufferGetBaseAddress(pixels)!
  for y in 0..<CVPixelBufferGetHeight(pixels) {
    let row = base + y * CVPixelBufferGetBytesPerRow(pixels)
    for x in 0..<CVPixelBufferGetWidth(pixels) { body(row + x * element, y, x) }
  }
}

/// BGRA in the order red, green, blue.
private func readPixels(_ pixels: CVPixelBuffer) -> ProgramRun.Value {
  var numbers: [Double] = []
  let format = CVPixelBufferGetPixelFormatType(pixels)
  eachPixelByte(pixels) { at, _, _ in
    switch format {
    case kCVPixelFormatType_32BGRA: for channel in [2, 1, 0] { numbers.append(Double(at.load(fromByteOffset: channel, as: UInt8.self))) }
    case kCVPixelFormatType_OneComponent16Half: numbers.append(Double(at.load(as: Float16.self)))
    default: numbers.append(Double(at.load(as: UInt8.self)))
    }
  }
  let size = [CVPixelBufferGetHeight(pixels), CVPixelBufferGetWidth(pixels)]
  return .numbers(numbers, format == kCVPixelFormatType_32BGRA ? size + [3] : size)
}

func writePixels(_ pixels: CVPixelBuffer, _ numbers: [Double]) {
  let format = CVPixelBufferGetPixelFormatType(pixels)
  let width = CVPixelBufferGetWidth(pixels)
  eachPixelByte(pixels) { at, y, x in
    let pixel = y * width + x
    func byte(_ index: Int) -> UInt8 { UInt8(clamping: Int(numbers[index % numbers.count])) }
    switch format {
    case kCVPixelFormatType_32BGRA:
      for channel in 0..<3 { at.storeBytes(of: byte(pixel * 3 + channel), toByteOffset: 2 - channel, as: UInt8.self) }
      at.storeBytes(of: 255, toByteOffset: 3, as: UInt8.self)
    case kCVPixelFormatType_OneComponent16Half: at.storeBytes(of: Float16(numbers[pixel % numbers.count]), as: Float16.self)
    default: at.storeBytes(of: byte(pixel), as: UInt8.self)
    }
  }
}

func fillPixels(_ pixels: CVPixelBuffer, _ byte: UInt8) {
  let element = StandInVideo.elementBytes(CVPixelBufferGetPixelFormatType(pixels))!
  eachPixelByte(pixels) { at, _, _ in memset(at, Int32(byte), element) }
}
