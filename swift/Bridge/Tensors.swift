// cmlx_tensor, checked: after this nothing about it can be wrong but its contents.
import CCoremlx
import CoreML
import CoreVideo
import Foundation

private let mostElements = 1 << 40

struct TensorRef: @unchecked Sendable {  // the memory is the caller's, or `owner`'s
  let feature: Int
  let element: Element
  let shape: [Int]
  let strides: [Int]
  /// Nil for a surface.
  let data: UnsafeMutableRawPointer?
  let owner: BufferObject?

  var count: Int { shape.reduce(1, *) }
  var byteSize: Int { count * element.bytes }
  var isDense: Bool { strides == Self.dense(shape) }

  static func dense(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for i in Swift.stride(from: shape.count - 2, through: 0, by: -1) { strides[i] = strides[i + 1] * shape[i + 1] }
    return strides
  }

  init(_ tensor: UnsafePointer<cmlx_tensor>) throws {
    let given = tensor.pointee
    try checkSize(given.struct_size, of: cmlx_tensor.self)
    guard let element = Element(rawValue: given.dtype) else { throw invalid("Cannot read a tensor: there is no dtype \(given.dtype)") }
    let rank = Int(given.rank)
    guard rank >= 1, rank <= Int(CMLX_MAX_RANK), !element.isPixel || rank == 2 else {
      throw invalid("Cannot read a tensor of \(element.label): its rank is \(rank)")
    }
    feature = Int(given.feature)
    self.element = element
    shape = withUnsafeBytes(of: given.shape) { Self.integers($0, rank) }
    try Self.checkShape(shape)
    strides = try Self.readStrides(withUnsafeBytes(of: given.strides) { Self.integers($0, rank) }, shape, element)
    if given.buffer == 0 {
      owner = nil
      data = try require(given.data, "data of a tensor without buffer")
      try checkMemory(Int(clamping: given.byte_size))
    } else {
      guard given.data == nil else { throw invalid("Cannot read a tensor: it has both data and buffer") }
      let buffer = try handles.get(given.buffer, as: BufferObject.self)
      owner = buffer
      if case .surface(let pixels, let type) = buffer.memory {
        data = nil
        guard given.offset == 0, isDense, type == element || type.pixelFormat == element.pixelFormat && type.isPixel == element.isPixel,
          shape.last == CVPixelBufferGetWidth(pixels), shape.dropLast().reduce(1, *) == CVPixelBufferGetHeight(pixels)
        else { throw invalid("Cannot use the surface: a tensor of \(element.label) \(shape) does not fit it") }
      } else {
        guard given.offset <= UInt64(buffer.byteSize) else { throw invalid("Cannot use offset \(given.offset) of a buffer of \(buffer.byteSize) bytes") }
        data = buffer.base! + Int(given.offset)
        try checkMemory(buffer.byteSize - Int(given.offset))
      }
    }
  }

  /// Dense memory of the library's.
  init(feature: Int, element: Element, shape: [Int], owner: BufferObject) {
    self.feature = feature
    self.element = element
    self.shape = shape
    strides = Self.dense(shape)
    self.owner = owner
    data = owner.base
  }

  private static func integers(_ raw: UnsafeRawBufferPointer, _ rank: Int) -> [Int] {
    (0..<rank).map { Int(raw.load(fromByteOffset: $0 * 8, as: Int64.self)) }
  }

  private static func checkShape(_ shape: [Int]) throws {
    var count = 1
    for axis in shape {
      guard axis >= 1, axis <= mostElements else { throw invalid("Cannot read a tensor of shape \(shape)") }
      let (product, overflows) = count.multipliedReportingOverflow(by: axis)
      guard !overflows, product <= mostElements else { throw invalid("Cannot read a tensor of shape \(shape): it has too many elements") }
      count = product
    }
  }

  private static func readStrides(_ given: [Int], _ shape: [Int], _ element: Element) throws -> [Int] {
    if given[0] == 0 { return dense(shape) }
    guard given.allSatisfy({ $0 >= 0 && $0 <= mostElements }) else { throw invalid("Cannot read a tensor with strides \(given)") }
    guard element.isPixel else { return given }
    guard given[0] >= shape[1], given[1] <= 1 else { throw invalid("Cannot read an image with strides \(given)") }
    return [given[0], 1]
  }

  private func checkMemory(_ available: Int) throws {
    // Factors are at most 2^40: one product fits, the sum of eight is checked step by step.
    var last = 0
    for (axis, stride) in zip(shape, strides) {
      let (product, overflows) = (axis - 1).multipliedReportingOverflow(by: stride)
      guard !overflows, product <= 1 << 50 else { throw invalid("Cannot read a tensor with strides \(strides)") }
      last += product
    }
    let needed = (last + 1) * element.bytes
    guard needed <= available else {
      throw Failure(.bufferTooSmall, "Cannot use the memory of a tensor of \(element.label) \(shape): it has \(available) bytes, \(needed) are needed")
    }
    guard Int(bitPattern: data) % element.alignment == 0 else { throw invalid("Cannot use the memory of a tensor of \(element.label): it is not aligned") }
  }

  /// True where two indices may reach the same element: nothing may be written through such strides.
  var overlaps: Bool {
    let axes = zip(shape, strides).filter { $0.0 > 1 }.sorted { $0.1 < $1.1 }
    var reach = 0
    for (axis, stride) in axes {
      if stride <= reach { return true }
      reach += (axis - 1) * stride
    }
    return false
  }

  /// Runs `body` with the memory and its strides; a surface is locked meanwhile.
  func withMemory<R>(_ access: CVPixelBufferLockFlags, _ body: (UnsafeMutableRawPointer, [Int]) throws -> R) throws -> R {
    if let data { return try body(data, strides) }
    guard let owner, case .surface(let pixels, _) = owner.memory else { throw Failure(.inside, "Cannot reach the memory of a tensor") }
    return try withPixels(pixels, access) { base, rowBytes in
      var padded = strides
      for axis in 0..<(shape.count - 1) { padded[axis] = padded[axis] / shape[shape.count - 1] * (rowBytes / element.bytes) }
      return try body(base, padded)
    }
  }

  /// The same elements in memory of the library's, dense.
  func copied() throws -> TensorRef {
    let buffer = try BufferObject(byteSize: byteSize)
    let copy = TensorRef(feature: feature, element: element, shape: shape, owner: buffer)
    try withMemory(.readOnly) { copyBytes(from: $0, $1, to: copy.data!, copy.strides, shape, elementBytes: element.bytes) }
    return copy
  }

  /// A multi array over this memory. Core ML keeps `owner` alive as long as it keeps the array.
  func makeArray() throws -> MLMultiArray {
    let numbers = shape.map { NSNumber(value: $0) }
    if let owner, case .surface(let pixels, _) = owner.memory {
      let list = NSArray(array: numbers)
      return try attempt { cmlx_try_surface_array(lend(pixels), lend(list), $0) } as! MLMultiArray
    }
    let owner = owner
    return try MLMultiArray(
      dataPointer: data!, shape: numbers, dataType: element.arrayType(), strides: strides.map { NSNumber(value: $0) },
      deallocator: { _ in withExtendedLifetime(owner) {} })
  }
}

extension UnsafeMutablePointer<cmlx_tensor> {
  func writeShape(_ shape: [Int]) {
    pointee.rank = UInt32(shape.count)
    withUnsafeMutableBytes(of: &pointee.shape) { raw in
      for (i, axis) in shape.prefix(8).enumerated() { raw.storeBytes(of: Int64(axis), toByteOffset: i * 8, as: Int64.self) }
    }
  }
  func writeStrides(_ strides: [Int]) {
    withUnsafeMutableBytes(of: &pointee.strides) { raw in
      for (i, stride) in strides.prefix(8).enumerated() { raw.storeBytes(of: Int64(stride), toByteOffset: i * 8, as: Int64.self) }
    }
  }
}
