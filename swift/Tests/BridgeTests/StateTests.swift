// States: kept between predictions, apart from each other, read and written, one call at a time.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

let accumulating = doubling(#""states":[{"name":"acc","shape":[2,3],"dtype":"f16"}]"#)

extension All {
  @Suite struct States {
    let x = Floats([1, 1, 1, 1, 1, 2])
    let y = Floats(6, 0)

    func step(_ model: Model, _ state: Held) throws {
      var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      ask.state = state.handle
      try ask.run()
    }

    @Test func aStateIsKeptBetweenPredictionsAndApartFromOthers() throws {
      let model = try Model(accumulating)
      let a = try Held.state(model)
      let b = try Held.state(model)
      try step(model, a)
      try step(model, a)
      #expect(y.values == [4, 4, 4, 4, 4, 8])
      try step(model, b)
      #expect(y.values == [2, 2, 2, 2, 2, 4])
      #expect(StandInML.takeBrokenRules() == [])
    }

    @Test func withoutAStateEveryCallStartsFromZero() throws {
      let model = try Model(accumulating)
      for _ in 0..<2 {
        _ = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
        #expect(y.values == [2, 2, 2, 2, 2, 4])
      }
    }

    @Test func aStateIsReadInItsTypeOrAnother() throws {
      let model = try Model(accumulating)
      let state = try Held.state(model)
      try step(model, state)
      var tensor = y.tensor([2, 3], f32)
      try check { stateRead(state.handle, "acc", &tensor, $0) }
      #expect(y.values == [1, 1, 1, 1, 1, 2])
      #expect(tensor.flags == UInt32(CMLX_T_COPIED) | UInt32(CMLX_T_CONVERTED))
      var new = allocated()
      try check { stateRead(state.handle, "acc", &new, $0) }
      #expect(new.axes == [2, 3] && new.dtype == UInt32(f16) && new.numbers(Float16.self) == [1, 1, 1, 1, 1, 2])
      try check { release(new.buffer, $0) }
    }

    @Test func aStateTakesOverWhatIsWritten() throws {
      let model = try Model(accumulating)
      let state = try Held.state(model)
      let buffer = try Held.buffer(12)
      buffer.write([5, 0, 0, 0, 0, 1] as [Float16])
      var tensor = buffer.tensor([2, 3], f16)
      try check { stateWrite(state.handle, "acc", &tensor, $0) }
      try step(model, state)
      #expect(y.values == [12, 2, 2, 2, 2, 6])
    }

    @Test func wrongNamesAndShapesAreRefused() throws {
      let model = try Model(accumulating)
      let state = try Held.state(model)
      var tensor = y.tensor([3, 2], f32)
      #expect(try failing { stateRead(state.handle, "acc", &tensor, $0) }.message == "Cannot read state \"acc\" into another shape: it has [2, 3]")
      #expect(tensor.axes == [2, 3] && tensor.byte_size == 24)
      tensor = y.tensor([6], f32)
      #expect(try failing { stateWrite(state.handle, "acc", &tensor, $0) }.message == "Cannot write state \"acc\" from shape [6]: it has [2, 3]")
      #expect(try failing { stateRead(state.handle, "nope", &tensor, $0) }.message == "Cannot find state \"nope\": the model has \"acc\"")
      let none = try Model(doubling())
      let empty = try Held.state(none)
      #expect(try failing { stateWrite(empty.handle, "acc", &tensor, $0) }.message == "Cannot find state \"acc\": the model has none")
      #expect(try failing { stateWrite(empty.handle, "acc", &tensor, $0) }.status == Int(CMLX_E_NOT_FOUND))
    }

    @Test func aStateBelongsToItsModel() throws {
      let model = try Model(accumulating)
      let other = try Model(accumulating)
      let state = try Held.state(other)
      #expect(try failing { try step(model, state) }.message == "Cannot predict: the state belongs to another model")
      // A shared handle is the same model.
      let shared = try Held { modelShare(other.handle, $0, $1) }
      var ask = Ask(shared.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      ask.state = state.handle
      try ask.run()
    }

    @Test func oneCallAtATimeUsesAState() throws {
      let model = try Model(doubling(#""states":[{"name":"acc","shape":[2,3],"dtype":"f32"}],"delayUs":1000000"#), LoadSettings(inFlight: 4))
      let state = try Held.state(model)
      let runner = try Runner(model, state: state)
      #expect(eventually { model.stats.in_flight == 1 })
      #expect(try failing { try step(model, state) }.message == "Cannot use the state: another call does")
      var tensor = y.tensor([2, 3], f32)
      #expect(try failing { stateRead(state.handle, "acc", &tensor, $0) }.status == Int(CMLX_E_BUSY))
      #expect(runner.finish() == nil)
      try check { stateRead(state.handle, "acc", &tensor, $0) }
      #expect(y.values == [1, 2, 3, 4, 5, 6])
      #expect(StandInML.takeBrokenRules() == [])
    }

    @Test func aStateOutlivesItsModelsHandle() throws {
      let state: Held
      do {
        let model = try Model(accumulating)
        state = try Held.state(model)
      }
      var tensor = y.tensor([2, 3], f32)
      try check { stateRead(state.handle, "acc", &tensor, $0) }
      #expect(y.values == [0, 0, 0, 0, 0, 0])
    }

    @Test func statesNeedMacOS15() throws {
      try pretending(144) {
        let model = try Model(accumulating)
        #expect(try failing { try Held.state(model) }.message == "Cannot make a state: states need macOS 15")
        #expect((try model.describe()["states"] as? [Any])?.count == 0)
      }
    }

    @Test func anExceptionPoisonsModelAndState() throws {
      let model = try Model(doubling(#""states":[{"name":"acc","shape":[2,3],"dtype":"f16"}],"faults":{"raiseAfter":1}"#))
      let state = try Held.state(model)
      try step(model, state)
      let refusal = try failing { try step(model, state) }
      #expect(refusal.domain == "NSException" && refusal.message == "NSGenericException: The engine has no such method.")
      #expect(refusal.status == Int(CMLX_E_CORE_ML))
      #expect(try failing { try step(model, state) }.status == Int(CMLX_E_POISONED))
      var tensor = y.tensor([2, 3], f32)
      #expect(try failing { stateRead(state.handle, "acc", &tensor, $0) }.message == "Cannot use the state: Core ML raised an exception on it")
      #expect(try failing { try Held.state(model) }.status == Int(CMLX_E_POISONED))
      #expect(model.stats.flags == UInt32(CMLX_MODEL_POISONED) && model.stats.in_flight == 0)
    }

    @Test func aStateThatCannotBeMadePoisonsTheModel() throws {
      let model = try Model(doubling(#""faults":{"stateRaises":true}"#))
      #expect(try failing { try Held.state(model) }.message == "NSGenericException: The engine keeps no states.")
      #expect(model.stats.flags == UInt32(CMLX_MODEL_POISONED))
    }
  }
}
