// Copies between strided memories, with a change of element type where asked for. Core ML pads rows: a flat copy of its
// arrays is wrong.
import CoreML
import Foundation

/// Calls `body` with the offsets (in elements) of every run that is dense on both sides, and the runs' length.
@inline(__always)
private func eachRun(
  _ fromStrides: [Int], _ toStrides: [Int], _ shape: [Int], _ body: (_ from: Int, _ to: Int, _ count: Int) throws -> Void
) rethrows {
  var run = 1
  var outer = shape.count
  while outer > 0, shape[outer - 1] == 1 || fromStrides[outer - 1] == run && toStrides[outer - 1] == run {
    run *= shape[outer - 1]
    outer -= 1
  }
  var index = [Int](repeating: 0, count: outer)
  var from = 0
  var to = 0
  while true {
    try body(from, to, run)
    var axis = outer - 1
    while axis >= 0 {
      index[axis] += 1
      from += fromStrides[axis]
      to += toStrides[axis]
      if index[axis] < shape[axis] { break }
      from -= fromStrides[axis] * shape[axis]
      to -= toStrides[axis] * shape[axis]
      index[axis] = 0
      axis -= 1
    }
    if axis < 0 { return }
  }
}

func copyBytes(
  from: UnsafeRawPointer, _ fromStrides: [Int], to: UnsafeMutableRawPointer, _ toStrides: [Int], _ shape: [Int], elementBytes: Int
) {
  eachRun(fromStrides, toStrides, shape) { a, b, count in
    memcpy(to + b * elementBytes, from + a * elementBytes, count * elementBytes)
  }
}

/// Throws where a number does not fit the new type.
func copyElements(
  from: UnsafeRawPointer, _ fromElement: Element, _ fromStrides: [Int], to: UnsafeMutableRawPointer, _ toElement: Element,
  _ toStrides: [Int], _ shape: [Int]
) throws {
  if fromElement == toElement {
    copyBytes(from: from, fromStrides, to: to, toStrides, shape, elementBytes: fromElement.bytes)
    return
  }
  try eachRun(fromStrides, toStrides, shape) { a, b, count in
    if fromElement == .f16, toElement == .f32 {
      // The one that every float16 model needs for every result.
      let source = (from + a * 2).assumingMemoryBound(to: Float16.self)
      let target = (to + b * 4).assumingMemoryBound(to: Float.self)
      for i in 0..<count { target[i] = Float(source[i]) }
    } else {
      for i in 0..<count { try store(load(from, a + i, fromElement), to, b + i, toElement) }
    }
  }
}

private func load(_ memory: UnsafeRawPointer, _ index: Int, _ element: Element) -> Double {
  switch element {
  case .f64: memory.load(fromByteOffset: index * 8, as: Double.self)
  case .f32: Double(memory.load(fromByteOffset: index * 4, as: Float.self))
  case .f16: Double(memory.load(fromByteOffset: index * 2, as: Float16.self))
  case .i32: Double(memory.load(fromByteOffset: index * 4, as: Int32.self))
  default: Double(memory.load(fromByteOffset: index, as: Int8.self))
  }
}

private func store(_ value: Double, _ memory: UnsafeMutableRawPointer, _ index: Int, _ element: Element) throws {
  func whole<Integer: FixedWidthInteger>(_ type: Integer.Type) throws -> Integer {
    guard value.isFinite, let whole = Integer(exactly: value.rounded(.toNearestOrEven)) else {
      throw invalid("Cannot convert a result: \(value) does not fit \(element.label)")
    }
    return whole
  }
  switch element {
  case .f64: memory.storeBytes(of: value, toByteOffset: index * 8, as: Double.self)
  case .f32: memory.storeBytes(of: Float(value), toByteOffset: index * 4, as: Float.self)
  case .f16: memory.storeBytes(of: Float16(value), toByteOffset: index * 2, as: Float16.self)
  case .i32: memory.storeBytes(of: try whole(Int32.self), toByteOffset: index * 4, as: Int32.self)
  default: memory.storeBytes(of: try whole(Int8.self), toByteOffset: index, as: Int8.self)
  }
}

extension MLMultiArray {
  /// What this library calls its element type. Throws for one that it does not know.
  func element() throws -> Element {
    guard let element = Element(dataType) else {
      throw Failure(.unsupported, "Cannot read a multi array: its element type \(dataType.rawValue) is unknown")
    }
    return element
  }
  var sizes: [Int] { shape.map { $0.intValue } }

  /// The shapes are known to be the same. Throws UNSUPPORTED, INVALID_ARGUMENT.
  func copyOut(to tensor: TensorRef) throws {
    let element = try element()
    let from = strides.map { $0.intValue }
    try withUnsafeBytes { raw in
      try tensor.withMemory([]) { try copyElements(from: raw.baseAddress!, element, from, to: $0, tensor.element, $1, tensor.shape) }
    }
  }

  func copyIn(from tensor: TensorRef) throws {
    let element = try element()
    // The strides that come with the memory: it may not be the memory from before.
    try withUnsafeMutableBytes { raw, to in
      try tensor.withMemory(.readOnly) { try copyElements(from: $0, tensor.element, $1, to: raw.baseAddress!, element, to, tensor.shape) }
    }
  }
}
