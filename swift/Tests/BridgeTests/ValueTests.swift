// Values that are no arrays: in every form that coremlx.h names, out again, and malformed.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

private let echo = #"""
  {"inputs":[{"name":"d","type":"double"},{"name":"i","type":"int64"},{"name":"m","type":"dictionary","key":"string"},{"name":"n","type":"dictionary","key":"int64"},
   {"name":"q","type":"sequence","element":"string"},{"name":"r","type":"sequence","element":"int64"},{"name":"s","type":"string"}],
   "outputs":[{"name":"d","type":"double"},{"name":"i","type":"int64"},{"name":"m","type":"dictionary","key":"string"},{"name":"n","type":"dictionary","key":"int64"},
   {"name":"q","type":"sequence","element":"string"},{"name":"r","type":"sequence","element":"int64"},{"name":"s","type":"string"}],
   "program":[]}
  """#
private let all = #"""
  {"d":{"type":"double","value":0.1},"i":{"type":"int64","value":"-9223372036854775808"},
   "m":{"type":"dictionary","key":"string","entries":[["a",1],["b",-2.5]]},"n":{"type":"dictionary","key":"int64","entries":[["-7",0.25],["9007199254740993",3]]},
   "q":{"type":"sequence","element":"string","values":["x","","é"]},"r":{"type":"sequence","element":"int64","values":["1","9223372036854775807"]},
   "s":{"type":"string","value":"say \"hi\"\n\u0001 ∑"}}
  """#

extension All {
  @Suite struct Values {
    @Test func everyKindGoesInAndOutUnchanged() throws {
      let model = try Model(echo)
      let ask = try once(model, [], [], values: all)
      let got = try JSONSerialization.jsonObject(with: Data(try #require(ask.outputValues).utf8))
      let given = try JSONSerialization.jsonObject(with: Data(all.utf8))
      #expect(try sorted(got) == sorted(given))
    }

    @Test(arguments: ["nan", "inf", "-inf"]) func numbersThatJsonLacksAreText(number: String) throws {
      let model = try Model(#"{"inputs":[{"name":"d","type":"double"}],"outputs":[{"name":"d","type":"double"}],"program":[]}"#)
      let ask = try once(model, [], [], values: "{\"d\":{\"type\":\"double\",\"value\":\"\(number)\"}}")
      #expect(ask.outputValues == "{\"d\":{\"type\":\"double\",\"value\":\"\(number)\"}}")
    }

    @Test(arguments: [
      #"{"i":{"type":"int64","value":7}}"#, #"{"i":{"type":"int64","value":"7.5"}}"#, #"{"i":{"type":"int64","value":"9223372036854775808"}}"#,
      #"{"i":{"type":"int64"}}"#, #"{"d":{"type":"double","value":"1"}}"#, #"{"d":{"type":"double","value":null}}"#, #"{"s":{"type":"string","value":1}}"#,
      #"{"s":"text"}"#, #"{"s":{"value":"x"}}"#, #"{"s":{"type":"tensor"}}"#, #"{"m":{"type":"dictionary","key":"string"}}"#,
      #"{"m":{"type":"dictionary","key":"float","entries":[["a",1]]}}"#, #"{"m":{"type":"dictionary","key":"string","entries":[["a"]]}}"#,
      #"{"m":{"type":"dictionary","key":"string","entries":[[1,1]]}}"#, #"{"n":{"type":"dictionary","key":"int64","entries":[["x",1]]}}"#,
      #"{"m":{"type":"dictionary","key":"string","entries":[["a","b"]]}}"#, #"{"q":{"type":"sequence","element":"string","values":["a",1]}}"#,
      #"{"q":{"type":"sequence","element":"float","values":[]}}"#, #"{"r":{"type":"sequence","element":"int64","values":["x"]}}"#, #"{"q":{"type":"sequence"}}"#,
    ])
    func malformedValuesAreRefusedByName(text: String) throws {
      let model = try Model(echo)
      let refusal = try failing { try once(model, [], [], values: text) }
      #expect(refusal.status == Int(CMLX_E_INVALID_ARGUMENT))
      #expect(refusal.message.hasPrefix("Cannot read the value \"\(text.dropFirst(2).prefix(1))\""))
    }

    @Test(arguments: ["", "[]", "{", "7", "{\"a\" 1}"]) func whatIsNoObjectIsRefused(text: String) throws {
      let model = try Model(#"{"inputs":[],"outputs":[],"program":[]}"#)
      if text.isEmpty {
        _ = try once(model, [], [], values: text)
      } else {
        #expect(try failing { try once(model, [], [], values: text) }.message == "Cannot read values: they are no JSON object")
      }
    }

    @Test func valuesHaveALimit() throws {
      let model = try Model(echo)
      var ask = Ask(model.handle, values: "{}")
      let refusal = try ask.withPrediction { prediction in
        prediction.pointee.values_size = 1 << 40
        return try failing { Bridge.predict(prediction, $0) }
      }
      #expect(refusal.message == "Cannot read values: 1099511627776 bytes, the most are 67108864")
    }

    @Test func unknownNamesAndWrongKindsAreRefused() throws {
      let model = try Model(echo)
      #expect(try failing { try once(model, [], [], values: #"{"z":{"type":"string","value":""}}"#) }.message == "Cannot predict: the model has no input \"z\"")
      let wrong = all.replacingOccurrences(of: #""s":{"type":"string""#, with: #""s":{"type":"double""#).replacingOccurrences(of: #""value":"say \"hi\"\n\u0001 ∑""#, with: #""value":1"#)
      #expect(try failing { try once(model, [], [], values: wrong) }.domain == "com.apple.CoreML")
    }

    @Test func aClassifierGivesLabelAndProbabilities() throws {
      let x = Floats([0.25, 0.5, 0.25])
      let model = try Model(
        #"{"inputs":[{"name":"x","shape":[3]}],"outputs":[{"name":"label","type":"string"},{"name":"probs","type":"dictionary"}],"classLabels":["cat","dog","eel"],"predictedFeatureName":"label","predictedProbabilitiesName":"probs","program":[{"op":"classify","inputs":["x"]}]}"#)
      let ask = try once(model, [x.tensor([3], f32)], [])
      #expect(
        ask.outputValues
          == #"{"label":{"type":"string","value":"dog"},"probs":{"entries":[["cat",0.25],["dog",0.5],["eel",0.25]],"key":"string","type":"dictionary"}}"#)
      let described = try model.describe()
      #expect(described["predictedFeatureName"] as? String == "label" && described["predictedProbabilitiesName"] as? String == "probs")
      #expect(try sorted(#require(described["classLabels"])) == #"{"kind":"string","values":["cat","dog","eel"]}"#)
    }

    @Test func integerLabelsStayIntegers() throws {
      let x = Floats([0.25, 0.5, 0.25])
      let model = try Model(
        #"{"inputs":[{"name":"x","shape":[3]}],"outputs":[{"name":"label","type":"int64"},{"name":"probs","type":"dictionary","key":"int64"}],"intLabels":[-5,9007199254740993,10],"predictedFeatureName":"label","predictedProbabilitiesName":"probs","program":[{"op":"classify","inputs":["x"]}]}"#)
      let ask = try once(model, [x.tensor([3], f32)], [])
      #expect(
        ask.outputValues
          == #"{"label":{"type":"int64","value":"9007199254740993"},"probs":{"entries":[["-5",0.25],["10",0.25],["9007199254740993",0.5]],"key":"int64","type":"dictionary"}}"#)
      #expect(try sorted(#require(model.describe()["classLabels"])) == #"{"kind":"int64","values":["-5","9007199254740993","10"]}"#)
    }

    @Test func arraysAndValuesComeTogether() throws {
      let model = try Model(
        #"{"inputs":[{"name":"k","type":"double"},{"name":"x","shape":[2]}],"outputs":[{"name":"k","type":"double"},{"name":"y","shape":[2]}],"scale":3}"#)
      let x = Floats([1, 2])
      let y = Floats(2, 0)
      let ask = try once(model, [x.tensor([2], f32, feature: 1)], [y.tensor([2], f32, feature: 1)], values: #"{"k":{"type":"double","value":-0.0}}"#)
      #expect(y.values == [3, 6])
      #expect(ask.outputValues == #"{"k":{"type":"double","value":-0.0}}"#)
    }

    @Test func jsonIsWrittenSortedAndEscaped() {
      let json: Json = ["b": [.integer(.max), .number(1e300), .number(0.1), .flag(true), .flag(false), .null], "a\"\\": "\u{1}/é\u{7f}"]
      #expect(json.text == "{\"a\\\"\\\\\":\"\\u0001/é\u{7f}\",\"b\":[9223372036854775807,1e+300,0.1,true,false,null]}")
    }
  }

  @Suite struct Batches: Sendable {
    let xs = (0..<5).map { k in Floats((0..<6).map { Float(k * 10 + $0) }) }

    func run(_ model: UInt64, _ asks: inout [Ask], _ change: (inout [cmlx_prediction]) -> Void = { _ in }) throws {
      // Each prediction's arrays live as long as this call.
      let inputs = asks.map { ask in
        let memory = UnsafeMutablePointer<cmlx_tensor>.allocate(capacity: max(1, ask.inputs.count))
        memory.initialize(from: ask.inputs, count: ask.inputs.count)
        return memory
      }
      let outputs = asks.map { ask in
        let memory = UnsafeMutablePointer<cmlx_tensor>.allocate(capacity: max(1, ask.outputs.count))
        memory.initialize(from: ask.outputs, count: ask.outputs.count)
        return memory
      }
      defer {
        for (i, memory) in outputs.enumerated() { asks[i].outputs = (0..<asks[i].outputs.count).map { memory[$0] } }
        for memory in inputs + outputs { memory.deallocate() }
      }
      var predictions = asks.indices.map { i in
        var prediction = cmlx_prediction()
        prediction.struct_size = UInt32(MemoryLayout<cmlx_prediction>.size)
        prediction.model = asks[i].model
        prediction.canceller = asks[i].canceller
        prediction.timeout_ns = asks[i].timeoutMs * 1_000_000
        prediction.inputs = UnsafePointer(inputs[i])
        prediction.outputs = outputs[i]
        prediction.input_count = UInt32(asks[i].inputs.count)
        prediction.output_count = UInt32(asks[i].outputs.count)
        return prediction
      }
      change(&predictions)
      try predictions.withUnsafeMutableBufferPointer { all in try check { predictBatch(all.baseAddress, UInt32(all.count), $0) } }
      for i in asks.indices where predictions[i].output_values.data != nil {
        asks[i].outputValues = String(cString: predictions[i].output_values.data)
        bytesFree(&predictions[i].output_values)
      }
      asks[0].runNs = predictions[0].run_ns
    }

    @Test(arguments: [0, 5000]) func givesEveryAnswerToItsOwn(timeoutMs: Int) throws {
      let model = try Model(doubling("\"delayUs\":1000"))
      let ys = xs.map { _ in Floats(6, 0) }
      var asks = zip(xs, ys).map { Ask(model.handle, [$0.tensor([2, 3], f32)], [$1.tensor([2, 3], f32)]) }
      asks[0].timeoutMs = Int64(timeoutMs)
      try run(model.handle, &asks)
      for (x, y) in zip(xs, ys) { #expect(y.values == x.values.map { $0 * 2 }) }
      #expect(asks.allSatisfy { $0.outputs[0].flags == UInt32(CMLX_T_COPIED) })
      #expect(asks[0].runNs >= 5_000_000)
      #expect(model.stats.completed == 5)
      #expect(StandInML.takeBrokenRules() == [])
    }

    @Test func givesNewBuffersAndValues() throws {
      let model = try Model(
        #"{"inputs":[{"name":"x","shape":[3]}],"outputs":[{"name":"label","type":"string"},{"name":"y","shape":[3]}],"classLabels":["a","b","c"],"predictedFeatureName":"label","program":[{"op":"classify","inputs":["x"]},{"op":"scale","inputs":["x"],"output":"y","by":2}]}"#)
      let kept = [Floats([1, 0, 0]), Floats([0, 0, 1])]
      var asks = kept.map { Ask(model.handle, [$0.tensor([3], f32)], [allocated(feature: 1)]) }
      try run(model.handle, &asks)
      #expect(asks.map { $0.outputs[0].numbers(Float.self) } == [[2, 0, 0], [0, 0, 2]])
      #expect(asks[1].outputValues == #"{"label":{"type":"string","value":"c"}}"#)
      for ask in asks { try check { release(ask.outputs[0].buffer, $0) } }
    }

    @Test func allSucceedOrNone() throws {
      let model = try Model(
        #"{"inputs":[{"name":"x","shape":[1],"ranges":[[1,-1]]}],"outputs":[{"name":"y","shape":[1],"ranges":[[1,-1]]}],"scale":2}"#)
      let before = liveHandles()
      let y = Floats(2, 9)
      var asks = [
        Ask(model.handle, [xs[0].tensor([6], f32)], [allocated()]), Ask(model.handle, [xs[1].tensor([6], f32)], [y.tensor([2], f32)]),
      ]
      #expect(try failing { try run(model.handle, &asks) }.status == Int(CMLX_E_BUFFER_TOO_SMALL))
      #expect(liveHandles() == before)
      #expect(asks[0].outputs[0].buffer == 0 && asks[0].outputs[0].data == nil)
      #expect(asks[1].outputs[0].axes == [6])
    }

    @Test func aWrongBatchIsRefused() throws {
      let model = try Model(doubling())
      let other = try Model(doubling())
      let many = try Model(doubling(), LoadSettings(inFlight: 2))
      var asks = [Ask(model.handle, [xs[0].tensor([2, 3], f32)]), Ask(other.handle, [xs[1].tensor([2, 3], f32)])]
      #expect(try failing { try run(model.handle, &asks) }.message == "Cannot predict a batch of several models")
      asks = [Ask(many.handle, [xs[0].tensor([2, 3], f32)])]
      #expect(try failing { try run(many.handle, &asks) }.message == "Cannot predict a batch: the model was loaded with max_in_flight 2, batches need 1")
      asks = [Ask(model.handle, [xs[0].tensor([2, 3], f32)])]
      #expect(try failing { try run(model.handle, &asks) { $0[0].state = 77 } }.message == "Cannot predict a batch with states")
      var none = cmlx_prediction()
      #expect(try failing { predictBatch(&none, 0, $0) }.message == "Cannot predict a batch of 0")
      #expect(model.stats.completed == 0)
    }

    @Test func aBatchThatFailsCounts() throws {
      let model = try Model(doubling("\"faults\":{\"errorAfter\":1}"))
      var asks = xs.map { Ask(model.handle, [$0.tensor([2, 3], f32)]) }
      #expect(try failing { try run(model.handle, &asks) }.message == "Unable to compute the prediction using ML Program.")
      asks[0].timeoutMs = 10_000
      #expect(try failing { try run(model.handle, &asks) }.message == "Unable to compute the prediction using ML Program.")
      #expect(model.stats.failed == 2 && model.stats.completed == 0)
    }

    @Test func aBatchThatIsGivenUpStaysInQuarantineUntilItEnds() throws {
      let model = try Model(doubling("\"delayUs\":400000"))
      let buffer = try Held.buffer(24)
      var asks = [Ask(model.handle, [buffer.tensor([2, 3], f32)]), Ask(model.handle, [xs[1].tensor([2, 3], f32)])]
      asks[0].timeoutMs = 30
      #expect(try failing { try run(model.handle, &asks) }.status == Int(CMLX_E_TIMEOUT))
      #expect(buffer.info.flags == UInt32(CMLX_BUFFER_IN_USE) | UInt32(CMLX_BUFFER_QUARANTINED))
      #expect(model.stats.flags == UInt32(CMLX_MODEL_HUNG) && model.stats.quarantined == 1)
      #expect(eventually { model.stats.late == 1 && buffer.info.flags == 0 })
      #expect(eventually { quarantined().calls == 0 })
      asks[0].timeoutMs = 0
      try run(model.handle, &asks)
    }

    @Test func aBatchWaitingForItsTurnCanBeCancelled() throws {
      let model = try Model(doubling("\"delayUs\":1500000"))
      let canceller = try Held.canceller()
      let first = try Runner(model)
      #expect(eventually { model.stats.in_flight == 1 })
      nonisolated(unsafe) var refusal: Refusal?
      let handle = canceller.handle
      let x = xs[0]
      let suite = self
      let waiting = Background {
        var asks = [Ask(model.handle, [x.tensor([2, 3], f32)])]
        asks[0].canceller = handle
        refusal = try? failing { try suite.run(model.handle, &asks) }
      }
      #expect(eventually { model.stats.waiting == 1 })
      try check { cancellerCancel(canceller.handle, $0) }
      #expect(eventually { waiting.isFinished })
      #expect(refusal?.status == Int(CMLX_E_CANCELLED))
      #expect(first.finish() == nil)
      #expect(model.stats.in_flight == 0 && model.stats.waiting == 0)
    }
  }
}

/// A prediction on a thread of its own, of a model that doubles [2, 3].
final class Runner: @unchecked Sendable {
  private let x = Floats([1, 2, 3, 4, 5, 6])
  let y = Floats(6, 0)
  private var ask: Ask
  private var failure: Refusal?
  private var thread: Background!

  init(_ model: Model, timeoutMs: Int64 = 0, canceller: Held? = nil, state: Held? = nil, _ change: (inout Ask) -> Void = { _ in }) throws {
    ask = Ask(model.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
    ask.timeoutMs = timeoutMs
    ask.canceller = canceller?.handle ?? 0
    ask.state = state?.handle ?? 0
    change(&ask)
    thread = Background { [unowned self] in
      do { try self.ask.run() } catch { self.failure = error as? Refusal }
    }
  }
  /// Waits for its end.
  func finish() -> Refusal? {
    #expect(eventually { thread.isFinished })
    return failure
  }
}
