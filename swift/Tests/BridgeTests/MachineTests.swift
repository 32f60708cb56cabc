// The machine, its usage and heat, and pictures that only the system can decode.
import CCoremlx
import CoreML
import DarwinStandIn
import Foundation
import IOKit
import Testing

@testable import Bridge

extension All {
  @Suite struct Machine {
    @Test func describesTheMac() throws {
      #expect(
        try text { deviceDescribe($0, $1) }
          == #"{"aneAvailable":true,"chip":"Apple M4","cores":10,"devices":[{"kind":"cpu"},{"kind":"gpu","name":"Apple M4","registryID":"4294968001"},{"cores":16,"kind":"ane"}],"efficiencyCores":6,"gpuCores":10,"isLowPowerMode":false,"isVirtual":false,"memoryBytes":17179869184,"model":"Mac16,1","osBuild":"24F74","osVersion":"15.5","performanceCores":4,"powerSource":"ac","product":"Mac16,1","thermalState":0}"#)
      #expect(StandInKit.openObjects == 0)
    }

    @Test func leavesOutWhatTheSystemDoesNotTell() throws {
      StandInMac.shared.setText("hw.product", nil)
      StandInMac.shared.setNumber("kern.hv_vmm_present", 1)
      StandInMac.shared.saveEnergy(true)
      StandInKit.gpuCoreCount = nil
      StandInKit.powerSource = "Pedals"
      defer {
        StandInMac.shared.setText("hw.product", "Mac16,1")
        StandInMac.shared.setNumber("kern.hv_vmm_present", 0)
        StandInMac.shared.saveEnergy(false)
        StandInKit.gpuCoreCount = NSNumber(value: 10)
        StandInKit.powerSource = "AC Power"
      }
      let described = try json { deviceDescribe($0, $1) }
      #expect(described["product"] == nil && described["gpuCores"] == nil && described["powerSource"] == nil)
      #expect(described["isVirtual"] as? Bool == true && described["isLowPowerMode"] as? Bool == true)
    }

    @Test(arguments: [("Battery Power", "battery"), ("UPS Power", "ups")]) func namesThePowerSource(source: String, name: String) throws {
      StandInKit.powerSource = NSString(string: source)
      defer { StandInKit.powerSource = "AC Power" }
      #expect(try json { deviceDescribe($0, $1) }["powerSource"] as? String == name)
    }

    @Test func readsGpuCoresThatAreStoredAsBytes() throws {
      defer { StandInKit.gpuCoreCount = NSNumber(value: 10) }
      StandInKit.gpuCoreCount = NSData(bytes: [38, 0, 0, 0] as [UInt8], length: 4)
      #expect(try json { deviceDescribe($0, $1) }["gpuCores"] as? Int == 38)
      StandInKit.gpuCoreCount = NSString(string: "many")
      #expect(try json { deviceDescribe($0, $1) }["gpuCores"] == nil)
    }

    @Test func readsSysctlAsTheSystemStoresIt() throws {
      #expect(try newBytes { sysctlRead("hw.model", $0, $1) } == Array("Mac16,1".utf8) + [0])
      #expect(try newBytes { sysctlRead("hw.memsize", $0, $1) } == [0, 0, 0, 0, 4, 0, 0, 0])
      #expect(try newBytes { sysctlRead("hw.physicalcpu", $0, $1) } == [10, 0, 0, 0])
      var bytes = cmlx_bytes()
      let refusal = try failing { sysctlRead("hw.nothing", &bytes, $0) }
      #expect(refusal.status == Int(CMLX_E_NOT_FOUND) && refusal.message == "Cannot read sysctl \"hw.nothing\": there is none")
    }

    @Test func readsMemoryOfTheNeuralEngineAndEnergy() throws {
      var usage = cmlx_usage()
      usage.struct_size = UInt32(MemoryLayout<cmlx_usage>.size)
      try check { usageRead(&usage, $0) }
      #expect(usage.footprint_bytes == 123 << 20 && usage.footprint_peak_bytes == 456 << 20)
      #expect(usage.neural_footprint_bytes == 8 << 20 && usage.neural_footprint_peak_bytes == 9 << 20 && usage.energy_nj == 7_000_000_000)
      StandInMac.shared.refuseUsage(true)
      defer { StandInMac.shared.refuseUsage(false) }
      #expect(try failing { usageRead(&usage, $0) }.status == Int(CMLX_E_UNSUPPORTED))
    }

    @Test func countsChangesOfTheThermalState() throws {
      var thermal = cmlx_thermal()
      thermal.struct_size = UInt32(MemoryLayout<cmlx_thermal>.size)
      try check { thermalRead(&thermal, $0) }
      let before = thermal.changes
      #expect(thermal.state == 0)
      StandInMac.shared.heat(.serious)
      defer { StandInMac.shared.heat(.nominal) }
      try check { thermalRead(&thermal, $0) }
      #expect(thermal.state == 2 && thermal.changes == before + 1)
      #expect(thermal.changed_at_ns > 0 && thermal.changed_at_ns <= monotonicNs())
    }

    @Test func tellsAQueueOfEveryChangeUntilItIsCancelled() throws {
      let queue = try Held.queue()
      var ticket: UInt64 = 0
      try check { queueWatchThermal(queue.handle, 77, &ticket, $0) }
      StandInMac.shared.heat(.fair)
      StandInMac.shared.heat(.critical)
      defer { StandInMac.shared.heat(.nominal) }
      for state: UInt64 in [1, 3] {
        let completion = try finish(queue, 0)
        #expect(completion.result == state && completion.tag == 77 && completion.ticket == ticket && completion.op == UInt32(CMLX_OP_THERMAL))
      }
      try check { queueCancel(queue.handle, ticket, $0) }
      #expect(try failing { try finish(queue, 0) }.status == Int(CMLX_E_CANCELLED))
      StandInMac.shared.heat(.fair)
      #expect(try failing { try finish(queue, 0) }.status == Int(CMLX_E_TIMEOUT))
      // One that goes with its queue.
      let other = try Held.queue()
      try check { queueWatchThermal(other.handle, 1, &ticket, $0) }
      try check { queueShutdown(other.handle, $0) }
      StandInMac.shared.heat(.critical)
    }
  }

  @Suite struct Pictures {
    func decode(_ bytes: [UInt8], most: UInt64 = 1000) throws -> (cmlx_image, [UInt8]) {
      var image = cmlx_image()
      image.struct_size = UInt32(MemoryLayout<cmlx_image>.size)
      try check { imageDecode(bytes, UInt64(bytes.count), most, &image, $0) }
      defer { bytesFree(&image.pixels) }
      return (image, Array(UnsafeBufferPointer(start: image.pixels.data, count: Int(image.pixels.size))))
    }
    func file(_ kind: String, _ width: Int, _ height: Int, _ pixels: [UInt8], orientation: Int? = nil) -> [UInt8] {
      Array("\(kind)\n\(orientation.map { "# orientation \($0)\n" } ?? "")\(width) \(height)\n255\n".utf8) + pixels
    }

    @Test func givesColorsAsRgb() throws {
      let pixels = (0..<18).map { UInt8($0) }
      let (image, got) = try decode(file("P6", 3, 2, pixels))
      #expect(image.dtype == UInt32(CMLX_PIXEL_RGB8) && image.width == 3 && image.height == 2)
      #expect(got == pixels)
    }

    // The six numbers of a 3 x 2 picture, as a viewer must show them for each orientation of EXIF.
    @Test(arguments: [
      (1, [3, 2, 1, 2, 3, 4, 5, 6]), (2, [3, 2, 3, 2, 1, 6, 5, 4]), (3, [3, 2, 6, 5, 4, 3, 2, 1]), (4, [3, 2, 4, 5, 6, 1, 2, 3]),
      (5, [2, 3, 1, 4, 2, 5, 3, 6]), (6, [2, 3, 4, 1, 5, 2, 6, 3]), (7, [2, 3, 6, 3, 5, 2, 4, 1]), (8, [2, 3, 3, 6, 2, 5, 1, 4]), (9, [3, 2, 1, 2, 3, 4, 5, 6]),
    ])
    func turnsPicturesUpright(orientation: Int, expected: [UInt8]) throws {
      let (image, got) = try decode(file("P5", 3, 2, [1, 2, 3, 4, 5, 6], orientation: orientation))
      #expect(image.dtype == UInt32(CMLX_PIXEL_GRAY8))
      #expect([UInt8(image.width), UInt8(image.height)] + got == expected)
    }

    @Test func turnsColorsToo() throws {
      let (image, got) = try decode(file("P6", 2, 1, [1, 2, 3, 4, 5, 6], orientation: 6))
      #expect(image.width == 1 && image.height == 2 && got == [1, 2, 3, 4, 5, 6])
    }

    @Test func refusesWhatItCannotDecode() throws {
      #expect(try failing { try decode([1, 2, 3]) }.message == "Cannot decode the picture: ImageIO does not know its format")
      #expect(try failing { try decode(file("P6", 3, 2, [1, 2])) }.message == "Cannot decode the picture: its data is damaged or incomplete")
      #expect(try failing { try decode(file("P5", 50_000, 50_000, [])) }.message == "Cannot decode the picture: it has 2500000000 pixels, the most are 1000")
      #expect(try failing { try decode([]) }.message == "Cannot decode a picture of 0 bytes")
    }
  }

  @Suite struct Locks {
    @Test func aMonitorWakesWhoWaits() {
      let monitor = Monitor(0)
      let thread = Background { for _ in 0..<5 { monitor.change { $0 += 1 } } }
      #expect(monitor.wait(until: nil) { $0 == 5 ? true : nil } == true)
      #expect(monitor.read { $0 } == 5)
    }

    @Test func aMonitorStopsWaitingAtItsDeadline() {
      let monitor = Monitor(0)
      let began = cmlx_clock_ns()
      #expect(monitor.wait(until: began + 5_000_000) { $0 > 0 ? true : nil } == nil)
      #expect(cmlx_clock_ns() >= began + 5_000_000)
      #expect(monitor.wait(until: 1) { $0 > 0 ? true : nil } == nil)
      // As good as for ever, without overflow.
      #expect(monitor.wait(until: .max) { $0 == 0 ? true : nil } == true)
    }

    @Test func countersLoseNothing() {
      let counter = Counter()
      let threads = (0..<4).map { _ in Background { for _ in 0..<10_000 { counter.add(1) } } }
      #expect(eventually { threads.allSatisfy { $0.isFinished } })
      #expect(counter.value == 40_000)
      #expect(counter.exchange(from: 40_000, to: 1) && !counter.exchange(from: 40_000, to: 2) && counter.value == 1)
    }

    /// Many threads, every kind of call, one model.
    @Test func everythingAtOnce() throws {
      let model = try Model(doubling(#""states":[{"name":"acc","shape":[2,3],"dtype":"f32"}]"#), LoadSettings(inFlight: 4))
      let handles = liveHandles()
      let wrong = Counter()
      let threads = (0..<4).map { n in
        Background {
          let x = Floats([1, 2, 3, 4, 5, 6])
          let y = Floats(6, 0)
          for k in 0..<150 {
            do {
              var ask = Ask(model.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
              switch (k + n) % 5 {
              case 0: try ask.run()
              case 1:
                ask.timeoutMs = 20_000
                try ask.run()
              case 2:
                let state = try Held.state(model)
                ask.state = state.handle
                try ask.run()
                var tensor = y.tensor([2, 3], f32)
                try check { stateRead(state.handle, "acc", &tensor, $0) }
                if y.values != [1, 2, 3, 4, 5, 6] { wrong.add(1) }
                continue
              case 3:
                let buffer = try Held.buffer(24)
                buffer.write(x.values)
                ask.inputs = [buffer.tensor([2, 3], f32)]
                ask.timeoutMs = 20_000
                try ask.run()
              default:
                let shared = try Held { modelShare(model.handle, $0, $1) }
                ask.model = shared.handle
                try ask.run()
              }
              if y.values != [2, 4, 6, 8, 10, 12] { wrong.add(1) }
            } catch {
              wrong.add(1)
            }
          }
        }
      }
      let queue = try Held.queue()
      let submissions = Submissions(queue, 100)
      for i in 0..<100 { _ = try submissions.submit(model, i) }
      for _ in 0..<100 {
        let completion = try finish(queue)
        #expect(submissions.results[Int(completion.tag)].values[0] == Float(completion.tag) * 2)
      }
      #expect(eventually { threads.allSatisfy { $0.isFinished } })
      #expect(wrong.value == 0)
      #expect(liveHandles() == handles + 1)
      #expect(StandInML.takeBrokenRules() == [])
    }
  }
}
