// Deadlines, cancelling, and what becomes of calls that were given up: every hazard that a stand-in can provoke.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

/// Hangs once, `us` long, ignores everything meanwhile, and leaves 0xAB in every backing and state.
func hanging(after: Int = 0, us: Int = 2_000_000, _ more: String = "") -> String {
  doubling("\"faults\":{\"hangAfter\":\(after),\"hangUs\":\(us)}\(more.isEmpty ? "" : ","+more)")
}
private let pattern = Float(bitPattern: 0xABAB_ABAB)

extension All {
  @Suite struct Deadlines {
    let x = Floats([1, 2, 3, 4, 5, 6])
    let y = Floats(6, 9)

    @Test func aPredictionInTimeAnswersAsWithoutADeadline() throws {
      let model = try Model(doubling())
      let input = try Held.buffer(24)
      input.write(x.values)
      let output = try Held.buffer(24)
      var ask = Ask(model.handle, [input.tensor([2, 3], f32)], [output.tensor([2, 3], f32)])
      ask.timeoutMs = 20_000
      try ask.run()
      #expect(output.numbers(Float.self, 6) == [2, 4, 6, 8, 10, 12])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_IN_PLACE))
    }

    @Test func memoryByAddressIsCopiedWhereTheCallMayEndEarly() throws {
      let model = try Model(doubling())
      var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      ask.timeoutMs = 20_000
      try ask.run()
      #expect(y.values == [2, 4, 6, 8, 10, 12])
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_COPIED))
    }

    @Test func twoSecondsLateIsNeverSeenInALaterAnswer() throws {
      let model = try Model(hanging(), LoadSettings(inFlight: 4))
      let entered = quarantined().entered
      let input = try Held.buffer(24)
      input.write(x.values)
      let output = try Held.buffer(24)
      var ask = Ask(model.handle, [input.tensor([2, 3], f32)], [output.tensor([2, 3], f32)])
      ask.timeoutMs = 100
      let began = monotonicNs()
      #expect(try failing { try ask.run() }.status == Int(CMLX_E_TIMEOUT))
      #expect(monotonicNs() - began < 1_500_000_000)
      // Everything that call may touch is in quarantine.
      #expect(output.info.flags == UInt32(CMLX_BUFFER_IN_USE) | UInt32(CMLX_BUFFER_QUARANTINED))
      #expect(quarantined().calls == 1 && quarantined().bytes == 48 && quarantined().entered == entered + 1)
      #expect(try failing { try ask.run() }.message == "Cannot use the buffer: a prediction that was given up may still touch it")
      var info = output.info
      #expect(try failing { bufferBegin(output.handle, 0, &info, $0) }.status == Int(CMLX_E_QUARANTINED))
      // Answers go on, in new memory, all the while and after: none has the pattern.
      var answers = 0
      func answer() throws {
        let fresh = try once(model, [x.tensor([2, 3], f32)], [allocated()])
        #expect(fresh.outputs[0].numbers(Float.self) == [2, 4, 6, 8, 10, 12])
        try check { release(fresh.outputs[0].buffer, $0) }
        answers += 1
      }
      while quarantined().calls > 0 { try answer() }
      for _ in 0..<20 { try answer() }
      #expect(answers > 20)
      // The late one did write, into the memory that nobody else had.
      #expect(output.numbers(Float.self, 6) == [Float](repeating: pattern, count: 6))
      #expect(output.info.flags == 0)
      #expect(model.stats.given_up == 1 && model.stats.late == 1 && model.stats.quarantined == 0)
      try ask.run()
      #expect(output.numbers(Float.self, 6) == [2, 4, 6, 8, 10, 12])
    }

    @Test func aLateCompletionDoesNotTouchBorrowedMemory() throws {
      let model = try Model(hanging(us: 200_000))
      let runner = try Runner(model, timeoutMs: 20)
      #expect(runner.finish()?.status == Int(CMLX_E_TIMEOUT))
      #expect(eventually { model.stats.late == 1 })
      #expect(runner.y.values == [0, 0, 0, 0, 0, 0])
    }

    @Test func aReleasedBufferStaysAllocatedUntilTheLateCompletion() throws {
      let model = try Model(hanging(us: 200_000))
      var output: Held? = try Held.buffer(24)
      var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [output!.tensor([2, 3], f32)])
      ask.timeoutMs = 20
      #expect(try failing { try ask.run() }.status == Int(CMLX_E_TIMEOUT))
      output = nil
      // The address sanitizer sees the late write if the memory is gone.
      #expect(eventually { model.stats.late == 1 })
    }

    @Test func aHungModelRefusesAtOnceAndRecovers() throws {
      let model = try Model(hanging(us: 1_000_000))
      let hung = try Runner(model, timeoutMs: 30)
      #expect(hung.finish()?.status == Int(CMLX_E_TIMEOUT))
      #expect(model.stats.flags == UInt32(CMLX_MODEL_HUNG) && model.stats.in_flight == 1)
      let refusal = try failing { try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)]) }
      #expect(refusal.status == Int(CMLX_E_QUARANTINED))
      #expect(refusal.message == "Cannot predict: every place of the model (1) is held by a call that ran out of time")
      #expect(eventually { model.stats.flags == 0 && model.stats.in_flight == 0 })
      _ = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      #expect(y.values == [2, 4, 6, 8, 10, 12])
    }

    @Test func whoWaitsForAModelThatHangsIsToldSo() throws {
      let model = try Model(hanging(us: 2_500_000))
      let first = try Runner(model, timeoutMs: 1_000)
      #expect(eventually { model.stats.in_flight == 1 })
      let second = try Runner(model)
      #expect(first.finish()?.status == Int(CMLX_E_TIMEOUT))
      #expect(second.finish()?.status == Int(CMLX_E_QUARANTINED))
      #expect(eventually { model.stats.late == 1 })
    }

    @Test func theDeadlineCoversWaitingForATurn() throws {
      let model = try Model(doubling("\"delayUs\":1500000"))
      let first = try Runner(model)
      #expect(eventually { model.stats.in_flight == 1 })
      let second = try Runner(model, timeoutMs: 30)
      let refusal = second.finish()
      #expect(refusal?.status == Int(CMLX_E_TIMEOUT) && refusal?.message == "Waiting for the model did not end in time")
      #expect(model.stats.given_up == 0 && model.stats.waiting == 0 && quarantined().calls == 0)
      #expect(first.finish() == nil)
    }

    @Test func aStateOfAHungPredictionIsInQuarantineToo() throws {
      let model = try Model(hanging(us: 1_000_000, #""states":[{"name":"acc","shape":[2,3],"dtype":"f32"}]"#), LoadSettings(inFlight: 2))
      let state = try Held.state(model)
      var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [])
      ask.state = state.handle
      ask.timeoutMs = 30
      #expect(try failing { try ask.run() }.status == Int(CMLX_E_TIMEOUT))
      #expect(try failing { try ask.run() }.message == "Cannot use the state: a prediction that was given up may still change it")
      var tensor = y.tensor([2, 3], f32)
      #expect(try failing { stateRead(state.handle, "acc", &tensor, $0) }.status == Int(CMLX_E_QUARANTINED))
      #expect(eventually { model.stats.late == 1 })
      #expect(eventually { stateRead(state.handle, "acc", &tensor, nil) == 0 })
      #expect(y.values == [Float](repeating: pattern, count: 6))
    }

    @Test func aFullQuarantineRefusesEverything() throws {
      let model = try Model(doubling("\"faults\":{\"hangAfter\":0,\"hangCount\":2,\"hangUs\":1500000}"), LoadSettings(inFlight: 4))
      try check { quarantineLimit(1, 1 << 30, $0) }
      defer { _ = quarantineLimit(16, 1 << 30, nil) }
      for _ in 0..<2 { #expect(try Runner(model, timeoutMs: 20).finish()?.status == Int(CMLX_E_TIMEOUT)) }
      #expect(quarantined().flags == UInt32(CMLX_QUARANTINE_IS_FULL))
      let refusal = try failing { try once(model, [x.tensor([2, 3], f32)], []) }
      #expect(refusal.status == Int(CMLX_E_QUARANTINE_FULL))
      #expect(refusal.message == "Cannot predict: 2 calls that were given up have not ended, with 96 bytes")
      #expect(eventually { quarantined().calls == 0 })
      _ = try once(model, [x.tensor([2, 3], f32)], [])
    }

    @Test func theQuarantineCountsBytesToo() throws {
      let model = try Model(hanging(us: 1_000_000), LoadSettings(inFlight: 2))
      try check { quarantineLimit(16, 8, $0) }
      defer { _ = quarantineLimit(16, 1 << 30, nil) }
      #expect(try Runner(model, timeoutMs: 20).finish()?.status == Int(CMLX_E_TIMEOUT))
      #expect(quarantined().limit_bytes == 8 && quarantined().limit_calls == 16)
      #expect(try failing { try once(model, [x.tensor([2, 3], f32)], []) }.status == Int(CMLX_E_QUARANTINE_FULL))
      #expect(eventually { quarantined().calls == 0 })
    }

    @Test(arguments: [1, 3]) func neverMoreThanAskedForAreInsideAtOnce(limit: Int) throws {
      let model = try Model(doubling("\"delayUs\":3000"), LoadSettings(inFlight: limit))
      _ = StandInML.takeMostAtOnce()
      let runners = try (0..<12).map { try Runner(model, timeoutMs: $0 % 2 == 0 ? 20_000 : 0) }
      for runner in runners {
        #expect(runner.finish() == nil)
        #expect(runner.y.values == [2, 4, 6, 8, 10, 12])
      }
      let most = StandInML.takeMostAtOnce()
      #expect(limit == 1 ? most == 1 : most <= 3 && most > 1)
      #expect(StandInML.takeBrokenRules() == [])
    }
  }

  @Suite struct Cancelling {
    let x = Floats([1, 2, 3, 4, 5, 6])

    @Test func aCancelledCallEndsAtOnceThoughCoreMLGoesOn() throws {
      let model = try Model(hanging(us: 1_000_000))
      let canceller = try Held.canceller()
      let runner = try Runner(model, canceller: canceller)
      #expect(eventually { StandInML.runningCount == 1 })
      try check { cancellerCancel(canceller.handle, $0) }
      #expect(runner.finish()?.status == Int(CMLX_E_CANCELLED))
      #expect(model.stats.quarantined == 1)
      #expect(eventually { model.stats.late == 1 })
    }

    @Test func aCancellerStaysCancelledUntilItIsReset() throws {
      let model = try Model(doubling())
      let canceller = try Held.canceller()
      try check { cancellerCancel(canceller.handle, $0) }
      #expect(try Runner(model, canceller: canceller).finish()?.status == Int(CMLX_E_CANCELLED))
      #expect(model.stats.given_up == 0 && model.stats.in_flight == 0)
      try check { cancellerReset(canceller.handle, $0) }
      #expect(try Runner(model, canceller: canceller).finish() == nil)
    }

    @Test func oneCancellerEndsEveryCallThatHasIt() throws {
      let model = try Model(doubling("\"delayUs\":2000000"), LoadSettings(inFlight: 2))
      let canceller = try Held.canceller()
      let runners = try (0..<4).map { _ in try Runner(model, canceller: canceller) }
      let other = try Model(doubling())
      #expect(eventually { StandInML.runningCount == 2 && model.stats.waiting == 2 })
      try check { cancellerCancel(canceller.handle, $0) }
      for runner in runners { #expect(runner.finish()?.status == Int(CMLX_E_CANCELLED)) }
      #expect(try Runner(other).finish() == nil)
      #expect(model.stats.given_up == 2)
      #expect(eventually { model.stats.late == 2 && model.stats.in_flight == 0 })
    }

    @Test func cancellingAtAnyMomentLosesNothing() throws {
      let model = try Model(doubling("\"delayUs\":200"), LoadSettings(inFlight: 2))
      var generator = SystemRandomNumberGenerator()
      for _ in 0..<100 {
        let canceller = try Held.canceller()
        let runners = try (0..<3).map { _ in try Runner(model, canceller: canceller) }
        usleep(UInt32.random(in: 0..<600, using: &generator))
        try check { cancellerCancel(canceller.handle, $0) }
        for runner in runners {
          if let refusal = runner.finish() { #expect(refusal.status == Int(CMLX_E_CANCELLED)) } else { #expect(runner.y.values[5] == 12) }
        }
      }
      #expect(eventually { model.stats.in_flight == 0 && model.stats.quarantined == 0 })
      #expect(quarantined().calls == 0 && model.stats.waiting == 0)
      _ = try once(model, [x.tensor([2, 3], f32)], [])
    }
  }

  @Suite struct Hazards {
    let x = Floats([1, 2, 3, 4, 5, 6])
    let y = Floats(6, 0)
    func run(_ model: Model, timeoutMs: Int64 = 0) throws {
      var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      ask.timeoutMs = timeoutMs
      try ask.run()
    }

    @Test(arguments: [0, 20_000] as [Int64]) func anErrorAfterSoManyComesWithWhatIsBeneath(timeoutMs: Int64) throws {
      let model = try Model(doubling(#""faults":{"errorAfter":3}"#))
      for _ in 0..<3 { try run(model, timeoutMs: timeoutMs) }
      for _ in 0..<2 {
        let refusal = try failing { try run(model, timeoutMs: timeoutMs) }
        #expect(refusal.status == Int(CMLX_E_CORE_ML) && refusal.domain == "com.apple.CoreML" && refusal.code == 0)
        #expect(refusal.detail == #"{"underlying":[{"code":-6,"domain":"com.apple.appleneuralengine.espresso","message":"Could not create an IOSurface."}]}"#)
      }
      #expect(model.stats.completed == 3 && model.stats.failed == 2)
      // A fresh instance works.
      let fresh = try Held { modelLoad(model.folder.path, nil, nil, $0, $1) }
      var ask = Ask(fresh.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      try ask.run()
    }

    @Test func faultsCanCountOverAllInstances() throws {
      let model = try Model(doubling(#""faults":{"errorAfter":1,"scope":"process"}"#))
      try run(model)
      let fresh = try Held { modelLoad(model.folder.path, nil, nil, $0, $1) }
      var ask = Ask(fresh.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      #expect(try failing { try ask.run() }.status == Int(CMLX_E_CORE_ML))
    }

    @Test func anExceptionPoisonsTheModelForEveryHandle() throws {
      let model = try Model(doubling(#""faults":{"raiseAfter":1}"#))
      let shared = try Held { modelShare(model.handle, $0, $1) }
      try run(model)
      #expect(try failing { try run(model) }.domain == "NSException")
      var ask = Ask(shared.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      #expect(try failing { try ask.run() }.message == "Cannot use the model: Core ML raised an exception inside it")
      #expect(model.stats.in_flight == 0)
    }

    @Test func anExceptionAtTheStartOfAnAsynchronousCallIsCaught() throws {
      let model = try Model(doubling(#""faults":{"raiseOnStart":true}"#))
      let input = try Held.buffer(24)
      var ask = Ask(model.handle, [input.tensor([2, 3], f32)], [])
      ask.timeoutMs = 20_000
      #expect(try failing { try ask.run() }.message == "NSInvalidArgumentException: No such engine.")
      #expect(input.info.flags == 0 && model.stats.in_flight == 0 && model.stats.flags == UInt32(CMLX_MODEL_POISONED))
    }

    @Test func anAnswerWithNeitherResultNorErrorIsAnError() throws {
      let model = try Model(doubling(#""faults":{"emptyAnswer":true}"#))
      #expect(try failing { try run(model, timeoutMs: 20_000) }.message == "Core ML gave neither a result nor an error")
    }

    @Test func changedResultsAreThoseOfTheModel() throws {
      let model = try Model(doubling(#""faults":{"driftAfter":1,"drift":0.5}"#))
      try run(model)
      #expect(y.values == [2, 4, 6, 8, 10, 12])
      try run(model)
      #expect(y.values == [2.5, 4.5, 6.5, 8.5, 10.5, 12.5])
    }

    @Test func aCrashEndsTheProcess() throws {
      if ProcessInfo.processInfo.environment["COREMLX_TEST_CRASH"] != nil { return }
      // In a process of its own: this test program, asked for only this. (Foundation's Process leaks.)
      let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
      var arguments = (CommandLine.arguments + ["--filter", "crashesWhenItIsAskedTo"]).map { strdup($0) } + [nil]
      let environment = ProcessInfo.processInfo.environment.merging(["COREMLX_TEST_CRASH": "1"]) { $1 }
      var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      for descriptor: Int32 in [1, 2] { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0) }
      defer {
        for text in arguments + variables { free(text) }
        posix_spawn_file_actions_destroy(&actions)
      }
      var child: pid_t = 0
      #expect(posix_spawn(&child, program, &actions, nil, &arguments, &variables) == 0)
      var status: Int32 = 0
      #expect(waitpid(child, &status, 0) == child)
      #expect(status & 0x7F == SIGABRT)
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["COREMLX_TEST_CRASH"] != nil)) func crashesWhenItIsAskedTo() throws {
      try run(Model(doubling(#""faults":{"crashAfter":0}"#)))
    }
  }
}
