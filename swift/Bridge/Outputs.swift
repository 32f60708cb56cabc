// Where one output goes: into the caller's tensor or a new buffer, in place or by a copy.
import CCoremlx
import CoreML
import CoreVideo
import Foundation

/// One cmlx_tensor that a result is written to. Nothing of it is written before `settle`, but its needs.
final class OutputTarget {
  let out: UnsafeMutablePointer<cmlx_tensor>
  let feature: Int
  /// Nil where a new buffer is asked for.
  private(set) var ref: TensorRef?
  private let wanted: Element?
  private var backing: AnyObject?
  private var flags = 0
  /// What a new buffer holds, once it is known.
  private var made: TensorRef?

  init(_ out: UnsafeMutablePointer<cmlx_tensor>) throws {
    self.out = out
    let given = out.pointee
    try checkSize(given.struct_size, of: cmlx_tensor.self)
    feature = Int(given.feature)
    guard given.flags & UInt32(CMLX_T_ALLOCATE) != 0 else {
      let ref = try TensorRef(out)
      if ref.overlaps { throw invalid("Cannot write a tensor with strides \(ref.strides): its elements overlap") }
      self.ref = ref
      wanted = ref.element
      return
    }
    guard given.data == nil, given.buffer == 0 else { throw invalid("Cannot allocate an output that has memory") }
    wanted = given.dtype == 0 ? nil : Element(rawValue: given.dtype)
    if given.dtype != 0, wanted == nil { throw invalid("Cannot allocate an output: there is no dtype \(given.dtype)") }
  }

  /// The buffer that a prediction must hold, once it is known.
  var owner: BufferObject? { ref?.owner }

  /// What Core ML may write into directly: memory of the library's that has exactly the declared form. Memory by address
  /// is offered only where the call cannot end before Core ML does. Throws BUFFER_TOO_SMALL where the form is known and
  /// another.
  func propose(_ description: MLFeatureDescription, canInterrupt: Bool) throws -> AnyObject? {
    if let constraint = description.multiArrayConstraint {
      if wanted?.isPixel == true { throw invalid("Cannot give \"\(description.name)\" as pixels: it is a multi array") }
      guard let shape = constraint.fixedShape else { return nil }
      try checkFit(description.name, shape, Element(constraint.dataType))
      guard let declared = Element(constraint.dataType), wanted == nil || wanted == declared else { return nil }
      if ref == nil {
        // The shape is known: Core ML can write into the new buffer at once.
        ref = TensorRef(feature: feature, element: declared, shape: shape, owner: try BufferObject(byteSize: shape.reduce(1, *) * declared.bytes))
        made = ref
      }
      guard let ref, ref.isDense, ref.owner != nil || !canInterrupt else { return nil }
      backing = try ref.makeArray()
    } else if let constraint = description.imageConstraint {
      if wanted?.isPixel == false { throw invalid("Cannot give \"\(description.name)\" as \(wanted!.label): it is an image") }
      guard constraint.sizeConstraint.type == .unspecified else { return nil }
      try checkFit(description.name, [constraint.pixelsHigh, constraint.pixelsWide], Element(pixelFormat: constraint.pixelFormatType))
      guard let ref, case .surface(let pixels, let element) = ref.owner?.memory, element.pixelFormat == constraint.pixelFormatType else { return nil }
      backing = pixels
    } else {
      throw invalid("Cannot give \"\(description.name)\" as a tensor: it is a \(description.type.label)")
    }
    return backing
  }

  private func checkFit(_ name: String, _ shape: [Int], _ element: Element?) throws {
    if fits(shape) { return }
    writeNeeds(shape, element)
    throw Failure(.bufferTooSmall, "Cannot give \"\(name)\" in shape \(ref?.shape ?? []): it has \(shape)")
  }

  func fits(_ shape: [Int]) -> Bool { ref == nil || ref!.shape == shape }

  func writeNeeds(_ shape: [Int], _ element: Element?) {
    out.writeShape(shape)
    out.pointee.byte_size = UInt64(shape.reduce(1, *) * (wanted ?? element ?? .f64).bytes)
  }

  /// The shape of a result. Throws where it is none.
  func shape(of value: MLFeatureValue?, _ name: String) throws -> [Int] {
    if let array = value?.multiArrayValue { return array.sizes }
    if let pixels = value?.imageBufferValue { return pixels.heightAndWidth }
    throw Failure(.coreML, "Core ML gave no array or image \"\(name)\"")
  }

  func element(of value: MLFeatureValue) throws -> Element {
    if let array = value.multiArrayValue { return try array.element() }
    return try value.imageBufferValue!.element()
  }

  /// Takes over a result whose shape fits.
  func take(_ value: MLFeatureValue) throws {
    if let array = value.multiArrayValue { try take(array) } else { try take(value.imageBufferValue!) }
  }

  func take(_ array: MLMultiArray) throws {
    if array === backing {
      flags = Int(CMLX_T_IN_PLACE)
    } else {
      let element = try array.element()
      let target = try target(array.sizes, wanted ?? element)
      try array.copyOut(to: target)
      flags = Int(CMLX_T_COPIED) | (target.element == element ? 0 : Int(CMLX_T_CONVERTED))
    }
  }

  private func take(_ pixels: CVPixelBuffer) throws {
    if pixels === backing {
      flags = Int(CMLX_T_IN_PLACE)
    } else {
      let element = try pixels.element()
      let target = try target(pixels.heightAndWidth, wanted ?? (element == .bgra8 ? .rgb8 : element))
      flags = Int(CMLX_T_COPIED) | (try target.copyIn(pixels) ? Int(CMLX_T_CONVERTED) : 0)
    }
  }

  private func target(_ shape: [Int], _ element: Element) throws -> TensorRef {
    if let ref { return ref }
    let new = TensorRef(feature: feature, element: element, shape: shape, owner: try BufferObject(byteSize: shape.reduce(1, *) * element.bytes))
    made = new
    return new
  }

  /// The result is complete: writes flags, and the new buffer under a handle of its own, to the caller. Throws only
  /// where there is no handle left.
  func settle() throws {
    let handle = try made.map { try handles.insert($0.owner!) } ?? 0
    out.pointee.flags = UInt32(flags)
    guard let made else { return }
    out.pointee.dtype = made.element.rawValue
    out.pointee.buffer = handle
    out.pointee.data = made.data
    out.pointee.offset = 0
    out.pointee.byte_size = UInt64(made.byteSize)
    out.writeShape(made.shape)
    out.writeStrides(made.strides)
  }

  /// Takes a new buffer back from the caller.
  func revoke() {
    guard made != nil, out.pointee.buffer != 0 else { return }
    try? handles.remove(out.pointee.buffer)
    out.pointee.buffer = 0
    out.pointee.data = nil
  }
}
