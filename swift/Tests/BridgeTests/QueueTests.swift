// The completion queue: one completion for every ticket, the descriptor, cancelling, shutting down.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

/// Submitted predictions of a model that doubles [2, 3], with memory that stays.
final class Submissions: @unchecked Sendable {
  let queue: Held
  let inputs: [Floats]
  let results: [Floats]
  let outputs: UnsafeMutablePointer<cmlx_tensor>

  init(_ queue: Held, _ count: Int) {
    self.queue = queue
    inputs = (0..<count).map { Floats([Float](repeating: Float($0), count: 6)) }
    results = (0..<count).map { _ in Floats(6, -1) }
    outputs = UnsafeMutablePointer<cmlx_tensor>.allocate(capacity: count)
    for (i, result) in results.enumerated() { (outputs + i).initialize(to: result.tensor([2, 3], f32)) }
  }
  deinit { outputs.deallocate() }

  func submit(_ model: Model, _ index: Int, _ change: (inout Ask) -> Void = { _ in }) throws -> UInt64 {
    var ask = Ask(model.handle, [inputs[index].tensor([2, 3], f32)], [outputs[index]])
    change(&ask)
    var ticket: UInt64 = 0
    try ask.withPrediction { prediction in
      prediction.pointee.outputs = outputs + index
      try check { queuePredict(queue.handle, UInt64(index), prediction, &ticket, $0) }
    }
    return ticket
  }
}

extension All {
  @Suite struct Queues {
    @Test(arguments: [1, 4]) func everyTicketHasOneCompletion(limit: Int) throws {
      let model = try Model(doubling("\"delayUs\":500"), LoadSettings(inFlight: limit))
      let queue = try Held.queue()
      let submissions = Submissions(queue, 60)
      _ = StandInML.takeMostAtOnce()
      var tickets = Set(try (0..<60).map { try submissions.submit(model, $0) })
      #expect(tickets.count == 60)
      for _ in 0..<60 {
        let completion = try finish(queue)
        #expect(tickets.remove(completion.ticket) != nil && completion.op == UInt32(CMLX_OP_PREDICT) && completion.run_ns >= 500_000)
        let index = Int(completion.tag)
        #expect(submissions.results[index].values == [Float](repeating: Float(index) * 2, count: 6))
      }
      #expect(StandInML.takeMostAtOnce() <= limit)
      #expect(try failing { try finish(queue, 0) }.status == Int(CMLX_E_TIMEOUT))
      #expect(model.stats.completed == 60 && model.stats.in_flight == 0)
    }

    @Test func severalCompletionsAreTakenAtOnce() throws {
      let model = try Model(doubling(), LoadSettings(inFlight: 8))
      let queue = try Held.queue()
      let submissions = Submissions(queue, 10)
      for i in 0..<10 { _ = try submissions.submit(model, i) }
      #expect(eventually { model.stats.completed == 10 })
      var taken: Set<UInt64> = []
      var completions = [cmlx_completion](repeating: cmlx_completion(), count: 4)
      while taken.count < 10 {
        var count: UInt32 = 0
        try check { queueWait(queue.handle, &completions, 4, -1, &count, $0) }
        #expect(count >= 1 && count <= 4)
        for completion in completions.prefix(Int(count)) { taken.insert(completion.tag) }
      }
      var count: UInt32 = 7
      #expect(try failing { queueWait(queue.handle, &completions, 0, 0, &count, $0) }.message == "Cannot take completions into no room")
      #expect(count == 0)
    }

    @Test func theDescriptorIsReadableExactlyWhileCompletionsWait() throws {
      let model = try Model(doubling())
      let queue = try Held.queue()
      let submissions = Submissions(queue, 1)
      let descriptor = queueFd(queue.handle)
      func isReadable(_ timeoutMs: Int32) -> Bool {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&poller, 1, timeoutMs) == 1
      }
      #expect(!isReadable(0))
      for _ in 0..<30 {
        _ = try submissions.submit(model, 0)
        #expect(isReadable(20_000))
        _ = try finish(queue, 0)
        #expect(!isReadable(0))
      }
      try check { queueShutdown(queue.handle, $0) }
      #expect(isReadable(0))
      var byte: UInt8 = 0
      #expect(read(descriptor, &byte, 1) == 0)
    }

    @Test func loadsPlansAndCompilesWithoutBlocking() throws {
      let source = try Folder(doubling(#""operations":[{"op":"relu","name":"r","device":"ane"}]"#), ending: "mlpackage")
      let queue = try Held.queue()
      var ticket: UInt64 = 0
      try check { queueCompile(queue.handle, 1, source.path, nil, &ticket, $0) }
      var completion = try finish(queue)
      #expect(completion.op == UInt32(CMLX_OP_COMPILE) && completion.ticket == ticket && completion.tag == 1)
      let compiled = String(cString: completion.bytes.data)
      bytesFree(&completion.bytes)
      defer { try? FileManager.default.removeItem(atPath: compiled) }
      try check { queueLoad(queue.handle, 2, compiled, nil, &ticket, $0) }
      completion = try finish(queue)
      #expect(completion.op == UInt32(CMLX_OP_LOAD) && completion.result != 0)
      try check { release(completion.result, $0) }
      try check { queuePlan(queue.handle, 3, compiled, nil, &ticket, $0) }
      completion = try finish(queue)
      #expect(completion.op == UInt32(CMLX_OP_PLAN) && String(cString: completion.bytes.data).contains("\"preferred\":\"ane\""))
      bytesFree(&completion.bytes)
    }

    @Test func whatFailsLaterComesAsACompletion() throws {
      let queue = try Held.queue()
      let folder = try Folder(doubling(#""faults":{"loadError":"no"}"#))
      var ticket: UInt64 = 0
      try check { queueLoad(queue.handle, 2, folder.path, nil, &ticket, $0) }
      #expect(try failing { try finish(queue) }.message == "no")
      let raising = try Folder(doubling(#""faults":{"loadRaises":true}"#))
      #expect(try failing { queueLoad(queue.handle, 2, raising.path, nil, &ticket, $0) }.domain == "NSException")
      let model = try Model(doubling(#""faults":{"raiseOnStart":true}"#))
      let submissions = Submissions(queue, 1)
      _ = try submissions.submit(model, 0)
      #expect(try failing { try finish(queue) }.domain == "NSException")
      #expect(model.stats.in_flight == 0)
      let values = try Model(#"{"inputs":[{"name":"s","type":"string"}],"outputs":[{"name":"s","type":"string"}],"program":[]}"#)
      var ask = Ask(values.handle, values: #"{"s":{"type":"string","value":"hi"}}"#)
      try ask.withPrediction { prediction in try check { queuePredict(queue.handle, 9, prediction, &ticket, $0) } }
      var completion = try finish(queue)
      #expect(String(cString: completion.bytes.data) == #"{"s":{"type":"string","value":"hi"}}"#)
      bytesFree(&completion.bytes)
    }

    @Test func aWrongPredictionIsRefusedAtOnceAndHoldsNothing() throws {
      let model = try Model(doubling())
      let queue = try Held.queue()
      let buffer = try Held.buffer(24)
      var ask = Ask(model.handle, [buffer.tensor([2, 3], f32)], [], values: #"{"z":{"type":"string","value":""}}"#)
      var ticket: UInt64 = 0
      #expect(try ask.withPrediction { prediction in try failing { queuePredict(queue.handle, 0, prediction, &ticket, $0) } }.status == Int(CMLX_E_INVALID_ARGUMENT))
      #expect(buffer.info.flags == 0)
    }

    @Test func aCancelledPredictionCompletesAtOnceAndStaysInQuarantine() throws {
      let model = try Model(hanging(us: 1_000_000))
      let queue = try Held.queue()
      let submissions = Submissions(queue, 2)
      let first = try submissions.submit(model, 0)
      #expect(eventually { StandInML.runningCount == 1 })
      let second = try submissions.submit(model, 1)
      try check { queueCancel(queue.handle, second, $0) }
      #expect(try failing { try finish(queue) }.status == Int(CMLX_E_CANCELLED))
      try check { queueCancel(queue.handle, first, $0) }
      #expect(try failing { try finish(queue) }.status == Int(CMLX_E_CANCELLED))
      #expect(try failing { queueCancel(queue.handle, first, $0) }.status == Int(CMLX_E_NOT_FOUND))
      #expect(eventually { model.stats.late == 1 && model.stats.in_flight == 0 })
      #expect(submissions.results[0].values == [Float](repeating: -1, count: 6))
      #expect(try failing { try finish(queue, 0) }.status == Int(CMLX_E_TIMEOUT))
    }

    @Test func aSubmittedPredictionHasADeadline() throws {
      let model = try Model(hanging(us: 1_000_000))
      let queue = try Held.queue()
      let submissions = Submissions(queue, 2)
      _ = try submissions.submit(model, 0) { $0.timeoutMs = 20 }
      #expect(try failing { try finish(queue) }.message == "The prediction did not end in time")
      // The model is hung: whoever comes is refused at once.
      #expect(try failing { _ = try submissions.submit(model, 1) }.status == Int(CMLX_E_QUARANTINED))
      #expect(eventually { model.stats.late == 1 })
      _ = try submissions.submit(model, 1) { $0.timeoutMs = 20_000 }
      #expect(try finish(queue).tag == 1)
    }

    @Test func shuttingDownEndsEverythingAndFreesWhatNobodyTakes() throws {
      let handles = liveHandles()
      expectNothingAlive()
      do {
        let model = try Model(doubling("\"delayUs\":50000"), LoadSettings(inFlight: 2))
        let queue = try Held.queue()
        let submissions = Submissions(queue, 6)
        for i in 0..<6 { _ = try submissions.submit(model, i) }
        let folder = try Folder(doubling())
        var ticket: UInt64 = 0
        try check { queueLoad(queue.handle, 9, folder.path, nil, &ticket, $0) }
        #expect(eventually { liveHandles() == handles + 3 })
        let waiter = Background { [handle = queue.handle] in
          var completions = [cmlx_completion](repeating: cmlx_completion(), count: 1)
          var count: UInt32 = 0
          while queueWait(handle, &completions, 1, -1, &count, nil) == 0 {
            if completions[0].result != 0 { _ = release(completions[0].result, nil) }
            errorFree(completions[0].error)
          }
        }
        try check { queueShutdown(queue.handle, $0) }
        try check { queueShutdown(queue.handle, $0) }
        #expect(eventually { waiter.isFinished })
        #expect(try failing { _ = try submissions.submit(model, 0) }.status == Int(CMLX_E_CLOSED))
        #expect(try failing { try finish(queue, -1) }.status == Int(CMLX_E_CLOSED))
        #expect(eventually { model.stats.in_flight == 0 && quarantined().calls == 0 })
      }
      #expect(liveHandles() == handles)
      expectNothingAlive()
    }

    @Test func aReleasedQueueShutsItselfDown() throws {
      let handles = liveHandles()
      let model = try Model(doubling())
      do {
        let queue = try Held.queue()
        let folder = try Folder(doubling())
        var ticket: UInt64 = 0
        try check { queueLoad(queue.handle, 9, folder.path, nil, &ticket, $0) }
        #expect(eventually { liveHandles() == handles + 3 })
      }
      #expect(eventually { liveHandles() == handles + 1 })
      _ = model.handle
    }
  }
}
