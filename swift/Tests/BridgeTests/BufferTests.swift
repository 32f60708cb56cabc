// Buffers: pages, wrapped memory, surfaces, and who may use them when.
import CCoremlx
import CoreML
import CoreVideo
import Foundation
import Testing

@testable import Bridge

extension All {
  @Suite struct Buffers {
    let x = Floats([1, 2, 3, 4, 5, 6])
    let y = Floats(6, 0)

    @Test(arguments: [1, 4095, 4096, 1_000_003]) func aPlainBufferIsZeroAndStartsAtAPage(byteSize: Int) throws {
      let info = try Held.buffer(byteSize).info
      #expect(info.byte_size == UInt64(byteSize))
      #expect(Int(bitPattern: info.base) % Int(sysconf(Int32(_SC_PAGESIZE))) == 0)
    }

    @Test func aPlainBufferHoldsZeros() throws {
      let buffer = try Held.buffer(5000)
      #expect(buffer.numbers(UInt8.self, 5000) == [UInt8](repeating: 0, count: 5000))
    }

    @Test func impossibleBuffersAreRefused() throws {
      for byteSize in [0, -1, 1 << 41] { #expect(try failing { try Held.buffer(byteSize) }.status == Int(CMLX_E_INVALID_ARGUMENT)) }
      var options = cmlx_buffer_options()
      options.struct_size = 32
      options.kind = 7
      var handle: UInt64 = 0
      #expect(try failing { bufferCreate(&options, &handle, $0) }.message == "Cannot create a buffer: there is no kind 7")
      #expect(try failing { bufferWrap(x.base, 0, &handle, $0) }.status == Int(CMLX_E_INVALID_ARGUMENT))
      #expect(try failing { try Held.surface(f32, 4, 4) }.message == "Cannot create a surface of float32")
      #expect(try failing { try Held.surface(77, 4, 4) }.message == "Cannot create a surface: there is no dtype 77")
      #expect(try failing { try Held.surface(f16, 0, 4) }.message == "Cannot make a surface of 0 x 4")
    }

    @Test func aBufferOutlivesItsHandleWhileAPredictionUsesIt() throws {
      let model = try Model(doubling("\"delayUs\":50000"))
      let queue = try Held.queue()
      let input = try Held.buffer(24)
      input.write([1, 2, 3, 4, 5, 6] as [Float])
      var ask = Ask(model.handle, [input.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      let outputs = UnsafeMutablePointer<cmlx_tensor>.allocate(capacity: 1)
      defer { outputs.deallocate() }
      outputs.pointee = ask.outputs[0]
      var ticket: UInt64 = 0
      try ask.withPrediction { prediction in
        prediction.pointee.outputs = outputs
        try check { queuePredict(queue.handle, 5, prediction, &ticket, $0) }
      }
      try check { release(input.handle, $0) }
      input.handle = 0
      let completion = try finish(queue)
      #expect(completion.tag == 5 && completion.ticket == ticket)
      #expect(y.values == [2, 4, 6, 8, 10, 12])
    }

    @Test func anArrayBufferHoldsItsMemoryAndLetsGoOnAnyThread() throws {
      let buffer = try Held.buffer(16)
      var context: UnsafeMutableRawPointer?
      try check { bufferLend(buffer.handle, &context, $0) }
      nonisolated(unsafe) let base = buffer.info.base
      nonisolated(unsafe) let lent = context
      try check { release(buffer.handle, $0) }
      buffer.handle = 0
      memset(base!, 1, 16)
      let thread = Background { bufferDrop(base, lent) }
      #expect(eventually { thread.isFinished })
      bufferDrop(nil, nil)
    }

    @Test func wrappedMemoryIsUsedInPlaceAndStaysUntilNobodyUsesIt() throws {
      let model = try Model(doubling("\"delayUs\":1000000"))
      let page = Memory<Float>(1024, 0)
      let wrapped = try Held { bufferWrap(page.base, 4096, $0, $1) }
      #expect(wrapped.info.kind == UInt32(CMLX_BUFFER_WRAPPED))
      #expect(wrapped.info.base == UnsafeMutableRawPointer(page.base))
      nonisolated(unsafe) var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [wrapped.tensor([2, 3], f32)])
      nonisolated(unsafe) var failure: (any Error)?
      let thread = Background { do { try ask.run() } catch { failure = error } }
      #expect(eventually { wrapped.info.flags & UInt32(CMLX_BUFFER_IN_USE) != 0 })
      #expect(try failing { release(wrapped.handle, $0) }.message == "Cannot release the wrapped memory: a prediction may still touch it")
      #expect(eventually { thread.isFinished })
      #expect(failure == nil)
      #expect(Array(page.values.prefix(6)) == [2, 4, 6, 8, 10, 12])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_IN_PLACE))
      var context: UnsafeMutableRawPointer?
      #expect(try failing { bufferLend(wrapped.handle, &context, $0) }.message == "Cannot lend the buffer: it is not a plain one")
      try check { release(wrapped.handle, $0) }
      wrapped.handle = 0
    }

    @Test func aSurfaceShowsItsPaddedMemoryOnlyBetweenBeginAndEnd() throws {
      let surface = try Held.surface(f16, 200, 6)
      #expect(surface.info.base == nil)
      #expect(surface.info.row_bytes == 448 && surface.info.width == 200 && surface.info.height == 6)
      var info = surface.info
      try check { bufferBegin(surface.handle, 1, &info, $0) }
      #expect(info.base != nil && info.flags == UInt32(CMLX_BUFFER_ACCESSED))
      #expect(try failing { bufferBegin(surface.handle, 0, &info, $0) }.status == Int(CMLX_E_BUSY))
      try check { bufferEnd(surface.handle, $0) }
      #expect(surface.info.base == nil)
      #expect(try failing { bufferEnd(surface.handle, $0) }.message == "Cannot end the access: it has not begun")
    }

    @Test func aPlainBufferMayBeAccessedTheSameWay() throws {
      let buffer = try Held.buffer(8)
      var info = buffer.info
      try check { bufferBegin(buffer.handle, 0, &info, $0) }
      #expect(info.base != nil)
      let model = try Model(doubling(shape: "[2]"))
      #expect(try failing { try once(model, [buffer.tensor([2], f32)], [allocated()]) }.message == "Cannot use the buffer: it is between begin and end")
      try check { bufferEnd(buffer.handle, $0) }
    }

    @Test func surfacesCarryHalvesInAndOutWithoutACopy() throws {
      let model = try Model(doubling(shape: "[2,3,5]", dtype: "f16"))
      let input = try Held.surface(f16, 5, 6)
      let output = try Held.surface(f16, 5, 6)
      var info = input.info
      try check { bufferBegin(input.handle, 1, &info, $0) }
      for row in 0..<6 {
        for column in 0..<5 {
          info.base.storeBytes(of: Float16(row * 5 + column), toByteOffset: row * Int(info.row_bytes) + column * 2, as: Float16.self)
        }
      }
      try check { bufferEnd(input.handle, $0) }
      let ask = try once(model, [input.tensor([2, 3, 5], f16)], [output.tensor([2, 3, 5], f16)])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_IN_PLACE))
      try check { bufferBegin(output.handle, 0, &info, $0) }
      let got = (0..<30).map { info.base.load(fromByteOffset: $0 / 5 * Int(info.row_bytes) + $0 % 5 * 2, as: Float16.self) }
      try check { bufferEnd(output.handle, $0) }
      #expect(got == (0..<30).map { Float16($0 * 2) })
    }

    @Test(arguments: ["ignore", "padded", "f32"]) func surfacesAreCopiedIntoWhereCoreMLUsesItsOwnMemory(backing: String) throws {
      let model = try Model(doubling("\"backing\":\"\(backing)\"", shape: "[6,5]", dtype: "f16"))
      let input = Memory((0..<30).map { Float16($0) })
      let output = try Held.surface(f16, 5, 6)
      let ask = try once(model, [input.tensor([6, 5], f16)], [output.tensor([6, 5], f16)])
      #expect(ask.outputs[0].flags & UInt32(CMLX_T_COPIED) != 0)
      var info = output.info
      try check { bufferBegin(output.handle, 0, &info, $0) }
      let got = (0..<30).map { info.base.load(fromByteOffset: $0 / 5 * Int(info.row_bytes) + $0 % 5 * 2, as: Float16.self) }
      try check { bufferEnd(output.handle, $0) }
      #expect(got == (0..<30).map { Float16($0 * 2) })
    }

    @Test func bytesNeedMacOS26ForSurfacesToo() throws {
      #expect(try Held.surface(i8, 8, 8).info.row_bytes == 64)
      let refusal: Refusal = try pretending(150) { try failing { try Held.surface(i8, 8, 8) } }
      #expect(refusal.status == Int(CMLX_E_UNSUPPORTED))
    }

    @Test func aTensorMustFitItsSurface() throws {
      let model = try Model(doubling(shape: "[2,3]", dtype: "f16"))
      let surface = try Held.surface(f16, 3, 2)
      for output in try once(model, [surface.tensor([2, 3], f16)], [allocated(f32)]).outputs { _ = release(output.buffer, nil) }
      for tensor in [
        surface.tensor([3, 2], f16), surface.tensor([2, 3], f32), surface.tensor([2, 3], f16, strides: [8, 1]), surface.tensor([2, 3], f16, offset: 2),
        surface.tensor([2, 3], Int(CMLX_PIXEL_GRAY16F)),
      ] {
        let refusal = try failing { try once(model, [tensor], [allocated()]) }
        #expect(refusal.message.hasPrefix("Cannot use the surface"))
      }
    }

    @Test func runsOutOfSurfacesAsAnError() throws {
      StandInVideo.isOutOfSurfaces = true
      defer { StandInVideo.isOutOfSurfaces = false }
      let refusal = try failing { try Held.surface(f16, 4, 4) }
      #expect(refusal.status == Int(CMLX_E_CORE_ML))
      #expect(refusal.message == "Cannot make a surface of 4 x 4: CoreVideo says -6662")
    }
  }

  @Suite struct Tensors {
    let x = Floats([1, 2, 3, 4, 5, 6])
    let y = Floats(6, 9)

    func refused(_ tensor: cmlx_tensor) throws -> Refusal {
      let model = try Model(doubling())
      let refusal = try failing { try once(model, [tensor], [y.tensor([2, 3], f32)]) }
      #expect(y.values == [9, 9, 9, 9, 9, 9])
      #expect(model.stats.completed == 0 && model.stats.failed == 0)
      return refusal
    }
    @Test func tooLittleMemory() throws {
      #expect(try refused(makeTensor([2, 3], f32, data: x.base, byteSize: 23)).status == Int(CMLX_E_BUFFER_TOO_SMALL))
      #expect(try refused(x.tensor([2, 3], f32, strides: [4, 1])).status == Int(CMLX_E_BUFFER_TOO_SMALL))
    }
    @Test func noMemory() throws { #expect(try refused(makeTensor([2, 3], f32)).message == "Cannot go on: data of a tensor without buffer is NULL") }
    @Test(arguments: [[0, 3], [-2, 3], [1 << 39, 1 << 39], [1 << 41], [Int(Int64.max), 2]]) func impossibleShapes(shape: [Int]) throws {
      #expect(try refused(x.tensor(shape, f32)).message.hasPrefix("Cannot read a tensor of shape"))
    }
    @Test(arguments: [[-3, 1], [3, -1], [1 << 41, 1], [1 << 40, 1 << 40]]) func impossibleStrides(strides: [Int]) throws {
      let refusal = try refused(x.tensor([2, 3], f32, strides: strides))
      #expect(refusal.message.hasPrefix("Cannot read a tensor with strides") || refusal.status == Int(CMLX_E_BUFFER_TOO_SMALL))
    }
    @Test(arguments: [0, 6, 15, 20, 77]) func unknownTypes(dtype: Int) throws {
      #expect(try refused(x.tensor([2, 3], dtype)).message == "Cannot read a tensor: there is no dtype \(dtype)")
    }
    @Test(arguments: [0, 9, 1000]) func impossibleRanks(rank: Int) throws {
      var tensor = x.tensor([2, 3], f32)
      tensor.rank = UInt32(rank)
      #expect(try refused(tensor).message == "Cannot read a tensor of float32: its rank is \(rank)")
    }
    @Test func misalignedMemory() throws {
      let tensor = makeTensor([1, 3], f32, data: UnsafeMutableRawPointer(x.base) + 2, byteSize: 22)
      #expect(try refused(tensor).message == "Cannot use the memory of a tensor of float32: it is not aligned")
    }
    @Test func unknownFeatures() throws {
      #expect(try refused(x.tensor([2, 3], f32, feature: 1)).message == "Cannot predict: the model has no input 1")
      let model = try Model(doubling())
      #expect(try failing { try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32, feature: 4)]) }.message == "Cannot predict: the model has no output 4")
    }
    @Test func anotherStructSize() throws {
      var tensor = x.tensor([2, 3], f32)
      tensor.struct_size = 176
      #expect(try refused(tensor).message == "Cannot read a cmlx_tensor: its struct_size is 176, this library's is 184")
    }
    @Test func memoryAndBufferAtOnce() throws {
      let buffer = try Held.buffer(64)
      var tensor = x.tensor([2, 3], f32)
      tensor.buffer = buffer.handle
      #expect(try refused(tensor).message == "Cannot read a tensor: it has both data and buffer")
      #expect(try refused(buffer.tensor([2, 3], f32, offset: 48)).status == Int(CMLX_E_BUFFER_TOO_SMALL))
      #expect(try refused(buffer.tensor([2, 3], f32, offset: 65)).message == "Cannot use offset 65 of a buffer of 64 bytes")
      #expect(try refused(makeTensor([2, 3], f32, buffer: 12345)).status == Int(CMLX_E_BAD_HANDLE))
    }
    @Test(arguments: [[1, 1], [2, 1], [0, 1]]) func outputsWhoseElementsOverlap(strides: [Int]) throws {
      let model = try Model(doubling())
      let refusal = try failing { try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32, strides: [strides[0] == 0 ? 1 : strides[0], strides[0] == 0 ? 0 : 1])]) }
      #expect(refusal.message.hasSuffix("its elements overlap"))
    }
    @Test func allocatingIntoMemory() throws {
      let model = try Model(doubling())
      var tensor = y.tensor([2, 3], f32)
      tensor.flags = UInt32(CMLX_T_ALLOCATE)
      #expect(try failing { try once(model, [x.tensor([2, 3], f32)], [tensor]) }.message == "Cannot allocate an output that has memory")
      #expect(try failing { try once(model, [x.tensor([2, 3], f32)], [allocated(55)]) }.message == "Cannot allocate an output: there is no dtype 55")
    }
    @Test func tooManyTensors() throws {
      let model = try Model(doubling())
      let many = [cmlx_tensor](repeating: x.tensor([2, 3], f32), count: 1025)
      #expect(try failing { try once(model, many, []) }.message == "Cannot predict: more than 1024 tensors")
    }
    @Test func pixelsForAnArray() throws {
      #expect(try refused(x.tensor([2, 3], Int(CMLX_PIXEL_GRAY8))).message == "Cannot predict: input \"x\" is float32, got GRAY8")
      let model = try Model(doubling())
      #expect(try failing { try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], Int(CMLX_PIXEL_GRAY8))]) }.message == "Cannot give \"y\" as pixels: it is a multi array")
    }
  }
}

/// Takes one completion and throws its error.
func finish(_ queue: Held, _ timeoutNs: Int64 = 20_000_000_000) throws -> cmlx_completion {
  var completion = cmlx_completion()
  var count: UInt32 = 0
  try check { queueWait(queue.handle, &completion, 1, timeoutNs, &count, $0) }
  #expect(count == 1)
  guard let error = completion.error else { return completion }
  defer { errorFree(error) }
  throw Refusal(
    status: Int(completion.status), code: error.pointee.code, domain: String(cString: error.pointee.domain),
    message: String(cString: error.pointee.message), detail: String(cString: error.pointee.detail))
}
