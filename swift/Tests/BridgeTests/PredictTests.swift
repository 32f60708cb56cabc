// Predictions of arrays: what comes back, in which memory, and what is refused before anything runs.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

extension All {
  @Suite struct Predicting {
    let x = Floats([1, 2, 3, 4, 5, 6])
    let y = Floats(6, 9)

    @Test(arguments: [
      ("honour", Int(CMLX_T_IN_PLACE)), ("ignore", Int(CMLX_T_COPIED)), ("padded", Int(CMLX_T_COPIED)),
      ("f16", Int(CMLX_T_COPIED) | Int(CMLX_T_CONVERTED)), ("f64", Int(CMLX_T_COPIED) | Int(CMLX_T_CONVERTED)),
      ("i32", Int(CMLX_T_COPIED) | Int(CMLX_T_CONVERTED)),
    ])
    func givesTheSameNumbersHoweverTheyComeBack(backing: String, flags: Int) throws {
      let model = try Model(doubling("\"backing\":\"\(backing)\""))
      let ask = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      #expect(y.values == [2, 4, 6, 8, 10, 12])
      #expect(ask.outputs[0].flags == UInt32(flags))
    }

    @Test func padsNothingIntoTheCallersMemoryWhenRowsArePadded() throws {
      // 200 elements to a row, as the Neural Engine pads them to 224.
      let model = try Model(doubling("\"backing\":\"padded\"", shape: "[3,200]"))
      let wide = Floats((0..<600).map { Float($0) })
      let out = Floats(600, -1)
      _ = try once(model, [wide.tensor([3, 200], f32)], [out.tensor([3, 200], f32)])
      #expect(out.values == (0..<600).map { Float($0) * 2 })
    }

    @Test(arguments: [0, 60_000]) func countsWhatItTookAndWaited(delayUs: Int) throws {
      let model = try Model(doubling("\"delayUs\":\(delayUs)"))
      let ask = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      #expect(ask.runNs >= UInt64(delayUs) * 1000)
      #expect(model.stats.completed == 1)
    }

    @Test func readsAndWritesStridedMemory() throws {
      let model = try Model(doubling())
      let wide = Floats([1, 2, 3, -7, 4, 5, 6, -7])
      let out = Floats(10, 9)
      let ask = try once(model, [wide.tensor([2, 3], f32, strides: [4, 1])], [out.tensor([2, 3], f32, strides: [5, 1])])
      #expect(out.values == [2, 4, 6, 9, 9, 8, 10, 12, 9, 9])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_COPIED))
    }

    @Test func readsTransposedMemory() throws {
      let model = try Model(doubling())
      let columns = Floats([1, 4, 2, 5, 3, 6])
      _ = try once(model, [columns.tensor([2, 3], f32, strides: [1, 2])], [y.tensor([2, 3], f32)])
      #expect(y.values == [2, 4, 6, 8, 10, 12])
    }

    @Test func takesAZeroFirstStrideForDense() throws {
      let model = try Model(doubling())
      let row = Floats([1, 2, 3])
      let refusal = try failing { try once(model, [row.tensor([2, 3], f32, strides: [0, 1])], [y.tensor([2, 3], f32)]) }
      #expect(refusal.status == Int(CMLX_E_BUFFER_TOO_SMALL))
      #expect(refusal.message == "Cannot use the memory of a tensor of float32 [2, 3]: it has 12 bytes, 24 are needed")
    }

    @Test func readsARepeatedColumn() throws {
      let model = try Model(doubling())
      let column = Floats([1, 4])
      _ = try once(model, [column.tensor([2, 3], f32, strides: [1, 0])], [y.tensor([2, 3], f32)])
      #expect(y.values == [2, 2, 2, 8, 8, 8])
    }

    @Test func givesANewBufferInPlaceWhereTheShapeIsKnown() throws {
      let model = try Model(doubling())
      let before = liveHandles()
      let ask = try once(model, [x.tensor([2, 3], f32)], [allocated()])
      let out = ask.outputs[0]
      #expect(out.axes == [2, 3])
      #expect(out.dtype == UInt32(f32))
      #expect(out.byte_size == 24)
      #expect(out.numbers(Float.self) == [2, 4, 6, 8, 10, 12])
      #expect(out.flags == UInt32(CMLX_T_IN_PLACE))
      #expect(liveHandles() == before + 1)
      try check { release(out.buffer, $0) }
    }

    @Test func givesANewBufferForAShapeThatOnlyTheRunKnows() throws {
      let model = try Model(
        #"{"inputs":[{"name":"x","shape":[1,3],"ranges":[[1,-1],[3,3]]}],"outputs":[{"name":"y","shape":[1,3],"ranges":[[1,-1],[3,3]]}],"scale":2}"#)
      let ask = try once(model, [x.tensor([2, 3], f32)], [allocated()])
      #expect(ask.outputs[0].axes == [2, 3])
      #expect(ask.outputs[0].numbers(Float.self) == [2, 4, 6, 8, 10, 12])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_COPIED))
      try check { release(ask.outputs[0].buffer, $0) }
    }

    @Test func saysWhatAnOutputOfAnotherShapeNeeds() throws {
      let flexible = try Model(
        #"{"inputs":[{"name":"x","shape":[1,3],"ranges":[[1,-1],[3,3]]}],"outputs":[{"name":"y","shape":[1,3],"ranges":[[1,-1],[3,3]]}],"scale":2}"#)
      for model in [flexible, try Model(doubling())] {
        var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [y.tensor([1, 6], f32)])
        let refusal = try failing { try ask.run() }
        #expect(refusal.status == Int(CMLX_E_BUFFER_TOO_SMALL))
        #expect(refusal.message == "Cannot give \"y\" in shape [1, 6]: it has [2, 3]")
        #expect(ask.outputs[0].axes == [2, 3])
        #expect(ask.outputs[0].byte_size == 24)
        #expect(y.values == [9, 9, 9, 9, 9, 9])
      }
    }

    @Test func takesMemoryOfBuffersWithOffsets() throws {
      let model = try Model(doubling())
      let buffer = try Held.buffer(128)
      buffer.write([0, 0, 1, 2, 3, 4, 5, 6] as [Float])
      let ask = try once(model, [buffer.tensor([2, 3], f32, offset: 8)], [buffer.tensor([2, 3], f32, offset: 64)])
      #expect(buffer.numbers(Float.self, 24).suffix(8) == [2, 4, 6, 8, 10, 12, 0, 0])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_IN_PLACE))
    }

    @Test func letsOutputsBeASubsetInAnyOrder() throws {
      let model = try Model(
        #"{"inputs":[{"name":"x","shape":[2,3]}],"outputs":[{"name":"a","shape":[2,3]},{"name":"b","shape":[2,3]},{"name":"c","shape":[2,3]}],"program":[{"op":"scale","inputs":["x"],"output":"a","by":1},{"op":"scale","inputs":["x"],"output":"b","by":2},{"op":"scale","inputs":["x"],"output":"c","by":3}]}"#)
      let z = Floats(6, 0)
      _ = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32, feature: 2), z.tensor([2, 3], f32, feature: 0)])
      #expect(y.values == [3, 6, 9, 12, 15, 18])
      #expect(z.values == [1, 2, 3, 4, 5, 6])
    }

    @Test func ordersFeaturesByTheirBytes() throws {
      let names = ["b", "a", "Z", "\u{e9}", "\u{10000}", "_"]
      let features = names.map { "{\"name\":\"\($0)\",\"shape\":[1],\"optional\":true}" }.joined(separator: ",")
      let model = try Model("{\"inputs\":[\(features)],\"outputs\":[{\"name\":\"y\",\"shape\":[1]}]}")
      let inputs = try #require(try model.describe()["inputs"] as? [[String: Any]])
      #expect(inputs.compactMap { $0["name"] as? String } == ["Z", "_", "a", "b", "\u{e9}", "\u{10000}"])
    }

    @Test func leavesOptionalInputsOutAndMissesRequiredOnes() throws {
      let model = try Model(
        #"{"inputs":[{"name":"w","shape":[2,3],"optional":true},{"name":"x","shape":[2,3]}],"outputs":[{"name":"y","shape":[2,3]}],"scale":2}"#)
      _ = try once(model, [x.tensor([2, 3], f32, feature: 1)], [y.tensor([2, 3], f32)])
      #expect(y.values == [2, 4, 6, 8, 10, 12])
      let refusal = try failing { try once(model, [x.tensor([2, 3], f32, feature: 0)], [y.tensor([2, 3], f32)]) }
      #expect(refusal == Refusal(status: Int(CMLX_E_CORE_ML), code: 1, domain: "com.apple.CoreML", message: "Feature x is required but not specified.", detail: "{}"))
    }

    @Test func passesOnWhatTheFrameworkSaysAboutAShape() throws {
      let model = try Model(doubling())
      let refusal = try failing { try once(model, [x.tensor([3, 2], f32)], [y.tensor([2, 3], f32)]) }
      #expect(refusal.status == Int(CMLX_E_CORE_ML))
      #expect(refusal.message.contains("[3, 2]"))
      #expect(model.stats.failed == 1)
    }

    @Test func refusesAnOutputThatTheModelDoesNotGive() throws {
      let model = try Model(doubling("\"faults\":{\"missingOutput\":\"y\"}"))
      let refusal = try failing { try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)]) }
      #expect(refusal.message == "Core ML gave no array or image \"y\"")
    }

    @Test func refusesTensorsForFeaturesThatAreNone() throws {
      let model = try Model(
        #"{"inputs":[{"name":"s","type":"string"},{"name":"x","shape":[2,3]}],"outputs":[{"name":"s","type":"string"},{"name":"y","shape":[2,3]}],"scale":2}"#)
      let first = try failing { try once(model, [x.tensor([2, 3], f32, feature: 0)], [y.tensor([2, 3], f32, feature: 1)]) }
      #expect(first.message == "Cannot predict: input \"s\" is a string, got a tensor")
      let second = try failing { try once(model, [x.tensor([2, 3], f32, feature: 1)], [y.tensor([2, 3], f32, feature: 0)]) }
      #expect(second.message == "Cannot give \"s\" as a tensor: it is a string")
    }

    @Test func refusesAnInputGivenTwice() throws {
      let model = try Model(doubling())
      let refusal = try failing { try once(model, [x.tensor([2, 3], f32), x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)]) }
      #expect(refusal.message == "Cannot predict: input \"x\" is given twice")
    }

    @Test func freesEveryArrayWhenItIsDone() throws {
      expectNothingAlive()
      do {
        let model = try Model(doubling())
        for _ in 0..<50 { _ = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)]) }
      }
      expectNothingAlive()
    }
  }

  @Suite struct ElementTypes {
    func run<Number: Equatable>(_ name: String, _ dtype: Int, _ input: [Number], _ zero: Number) throws -> [Number] {
      let model = try Model(doubling(shape: "[3]", dtype: name))
      let x = Memory(input)
      let y = Memory([Number](repeating: zero, count: 3))
      _ = try once(model, [x.tensor([3], dtype)], [y.tensor([3], dtype)])
      return y.values
    }
    @Test func doubles() throws { #expect(try run("f64", f64, [0.5, 1, -1e300], 0.0) == [1, 2, -2e300]) }
    @Test func singles() throws { #expect(try run("f32", f32, [0.5, 1, -2] as [Float], 0) == [1, 2, -4]) }
    @Test func halves() throws { #expect(try run("f16", f16, [0.5, 1, -2] as [Float16], 0) == [1, 2, -4]) }
    @Test func integers() throws { #expect(try run("i32", i32, [1, 1 << 29, -7] as [Int32], 0) == [2, 1 << 30, -14]) }
    @Test func bytes() throws { #expect(try run("i8", i8, [1, 63, -64] as [Int8], 0) == [2, 126, -128]) }

    @Test func refusesBytesBeforeMacOS26() throws {
      let model = try Model(doubling(shape: "[3]"))
      let x = Memory([1, 2, 3] as [Int8])
      let y = Floats(3, 0)
      try pretending(150) {
        let refusal = try failing { try once(model, [x.tensor([3], i8)], [y.tensor([3], f32)]) }
        #expect(refusal.status == Int(CMLX_E_INVALID_ARGUMENT))
        #expect(refusal.message.contains("\"x\" is float32, got int8"))
      }
    }

    @Test(arguments: ["f32", "f64", "f16", "i32", "i8"], [f64, f32, f16, i32, i8])
    func convertsEveryResultToEveryType(from: String, to: Int) throws {
      let dtypes = ["f32": f32, "f64": f64, "f16": f16, "i32": i32, "i8": i8]
      let model = try Model(doubling(shape: "[4]", dtype: from))
      let values: [Double] = [1, -3, 50, 0]
      let dtype = try #require(dtypes[from])
      let x = try Held.buffer(64)
      let element = try #require(Element(rawValue: UInt32(dtype)))
      for (i, value) in values.enumerated() {
        switch element {
        case .f64: x.info.base.storeBytes(of: value, toByteOffset: i * 8, as: Double.self)
        case .f32: x.info.base.storeBytes(of: Float(value), toByteOffset: i * 4, as: Float.self)
        case .f16: x.info.base.storeBytes(of: Float16(value), toByteOffset: i * 2, as: Float16.self)
        case .i32: x.info.base.storeBytes(of: Int32(value), toByteOffset: i * 4, as: Int32.self)
        default: x.info.base.storeBytes(of: Int8(value), toByteOffset: i, as: Int8.self)
        }
      }
      let ask = try once(model, [x.tensor([4], dtype)], [allocated(to)])
      let out = ask.outputs[0]
      defer { _ = release(out.buffer, nil) }
      let got: [Double]
      switch to {
      case f64: got = out.numbers(Double.self)
      case f32: got = out.numbers(Float.self).map { Double($0) }
      case f16: got = out.numbers(Float16.self).map { Double($0) }
      case i32: got = out.numbers(Int32.self).map { Double($0) }
      default: got = out.numbers(Int8.self).map { Double($0) }
      }
      #expect(got == [2, -6, 100, 0])
      #expect((out.flags & UInt32(CMLX_T_CONVERTED) != 0) == (dtype != to))
    }

    @Test(arguments: [(Double.nan, i32), (Double.infinity, i32), (3e9, i32), (100.0, i8), (-65.0, i8)] as [(Double, Int)])
    func refusesNumbersThatTheTypeCannotHold(number: Double, dtype: Int) throws {
      let model = try Model(doubling(shape: "[1]"))
      let x = Floats([Float(number)])
      let refusal = try failing { _ = try once(model, [x.tensor([1], f32)], [allocated(dtype)]) }
      #expect(refusal.status == Int(CMLX_E_INVALID_ARGUMENT))
      #expect(refusal.message.contains("does not fit"))
    }

    @Test func roundsHalvesToEven() throws {
      let model = try Model(doubling(shape: "[3]"))
      let x = Floats([0.25, 0.75, 1.25])
      let y = Memory([0, 0, 0] as [Int32])
      _ = try once(model, [x.tensor([3], f32)], [y.tensor([3], i32)])
      #expect(y.values == [0, 2, 2])
    }

    @Test func namesAnElementTypeThatItDoesNotKnow() throws {
      let model = try Model(doubling(shape: "[3]", dtype: "new"))
      let described = try #require((try model.describe()["inputs"] as? [[String: Any]])?.first?["dtype"] as? String)
      #expect(described == "unknown 196615")
      let x = Floats([1, 2, 3])
      let refusal = try failing { _ = try once(model, [x.tensor([3], f32)], []) }
      #expect(refusal.message.contains("\"x\" is unknown, got float32"))
    }
  }
}

func failing<R>(_ body: () throws -> R) throws -> Refusal { try failing(of: { _ = try body() }) }
