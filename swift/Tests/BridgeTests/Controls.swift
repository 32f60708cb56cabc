// Deliberate faults, only on request: COREMLX_CONTROL=race, useAfterFree or leak. A sanitizer that does not report them
// is asleep, and everything else it did not report means nothing.
import CCoremlx
import Foundation
import Testing

@testable import Bridge

nonisolated(unsafe) private var lost: UnsafeMutableRawPointer?

extension All {
  @Suite(.enabled(if: ProcessInfo.processInfo.environment["COREMLX_CONTROL"] != nil)) struct Controls {
    var control: String { ProcessInfo.processInfo.environment["COREMLX_CONTROL"] ?? "" }

    @Test func misbehavesAsAskedFor() throws {
      let models = [try Model(doubling()), try Model(doubling())]
      let y = Floats(6, 0)
      switch control {
      case "race":
        // Two models write the same memory at once.
        let threads = models.map { model in
          Background {
            let x = Floats([1, 2, 3, 4, 5, 6])
            // Made once: making them takes a lock, and that would order the threads.
            let tensors = (x.tensor([2, 3], f32), y.tensor([2, 3], f32))
            for _ in 0..<2000 { _ = try? once(model, [tensors.0], [tensors.1]) }
          }
        }
        #expect(eventually { threads.allSatisfy { $0.isFinished } })
      case "useAfterFree":
        let gone = UnsafeMutablePointer<Float>.allocate(capacity: 6)
        let tensor = makeTensor([2, 3], f32, data: gone, byteSize: 24)
        gone.deallocate()
        let x = Floats(6, 1)
        _ = try once(models[0], [x.tensor([2, 3], f32)], [tensor])
      case "leak":
        lost = try makeBytes("lost").data.map { UnsafeMutableRawPointer($0) }
        lost = nil
      default:
        Issue.record("There is no control \(control)")
      }
    }
  }
}
