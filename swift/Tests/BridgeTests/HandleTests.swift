// Handles, the header, and what every call checks first.
import CCoremlx
import CoreML
import Foundation
import Testing

@testable import Bridge

extension All {
  @Suite struct Handles {
    @Test func theHeaderAndSwiftHaveTheSameFunctions() {
      func same<A, B>(_ header: A, _ own: B, _ name: String) { #expect(A.self == B.self, "\(name): header \(A.self), Swift \(B.self)") }
      same(cmlx_abi_version, abiVersion, "abi_version")
      same(cmlx_is_apple, isApple, "is_apple")
      same(cmlx_error_free, errorFree, "error_free")
      same(cmlx_bytes_free, bytesFree, "bytes_free")
      same(cmlx_release, release, "release")
      same(cmlx_live_handles, liveHandles, "live_handles")
      same(cmlx_monotonic_ns, monotonicNs, "monotonic_ns")
      same(cmlx_buffer_create, bufferCreate, "buffer_create")
      same(cmlx_buffer_wrap, bufferWrap, "buffer_wrap")
      same(cmlx_buffer_read, bufferRead, "buffer_read")
      same(cmlx_buffer_begin, bufferBegin, "buffer_begin")
      same(cmlx_buffer_end, bufferEnd, "buffer_end")
      same(cmlx_buffer_lend, bufferLend, "buffer_lend")
      same(cmlx_buffer_drop, bufferDrop, "buffer_drop")
      same(cmlx_canceller_create, cancellerCreate, "canceller_create")
      same(cmlx_canceller_cancel, cancellerCancel, "canceller_cancel")
      same(cmlx_canceller_reset, cancellerReset, "canceller_reset")
      same(cmlx_model_compile, modelCompile, "model_compile")
      same(cmlx_model_load, modelLoad, "model_load")
      same(cmlx_model_share, modelShare, "model_share")
      same(cmlx_model_describe, modelDescribe, "model_describe")
      same(cmlx_asset_describe, assetDescribe, "asset_describe")
      same(cmlx_model_read_stats, modelReadStats, "model_read_stats")
      same(cmlx_plan_read, planRead, "plan_read")
      same(cmlx_state_create, stateCreate, "state_create")
      same(cmlx_state_read, stateRead, "state_read")
      same(cmlx_state_write, stateWrite, "state_write")
      same(cmlx_predict, predict, "predict")
      same(cmlx_predict_batch, predictBatch, "predict_batch")
      same(cmlx_queue_create, queueCreate, "queue_create")
      same(cmlx_queue_fd, queueFd, "queue_fd")
      same(cmlx_queue_wait, queueWait, "queue_wait")
      same(cmlx_queue_shutdown, queueShutdown, "queue_shutdown")
      same(cmlx_queue_compile, queueCompile, "queue_compile")
      same(cmlx_queue_load, queueLoad, "queue_load")
      same(cmlx_queue_plan, queuePlan, "queue_plan")
      same(cmlx_queue_predict, queuePredict, "queue_predict")
      same(cmlx_queue_watch_thermal, queueWatchThermal, "queue_watch_thermal")
      same(cmlx_queue_cancel, queueCancel, "queue_cancel")
      same(cmlx_quarantine_read, quarantineRead, "quarantine_read")
      same(cmlx_quarantine_limit, quarantineLimit, "quarantine_limit")
      same(cmlx_image_decode, imageDecode, "image_decode")
      same(cmlx_device_describe, deviceDescribe, "device_describe")
      same(cmlx_sysctl_read, sysctlRead, "sysctl_read")
      same(cmlx_usage_read, usageRead, "usage_read")
      same(cmlx_thermal_read, thermalRead, "thermal_read")
    }

    @Test func theHeaderAndSwiftHaveTheSameNumbers() {
      let statuses: [(Status, Int)] = [
        (.invalidArgument, Int(CMLX_E_INVALID_ARGUMENT)), (.badHandle, Int(CMLX_E_BAD_HANDLE)), (.coreML, Int(CMLX_E_CORE_ML)),
        (.bufferTooSmall, Int(CMLX_E_BUFFER_TOO_SMALL)), (.busy, Int(CMLX_E_BUSY)), (.cancelled, Int(CMLX_E_CANCELLED)), (.closed, Int(CMLX_E_CLOSED)),
        (.unsupported, Int(CMLX_E_UNSUPPORTED)), (.timeout, Int(CMLX_E_TIMEOUT)), (.inside, Int(CMLX_E_INTERNAL)), (.notFound, Int(CMLX_E_NOT_FOUND)),
        (.quarantined, Int(CMLX_E_QUARANTINED)), (.quarantineFull, Int(CMLX_E_QUARANTINE_FULL)), (.poisoned, Int(CMLX_E_POISONED)),
      ]
      for (status, number) in statuses { #expect(Int(status.rawValue) == number) }
      let elements: [(Element, Int)] = [
        (.f64, f64), (.f32, f32), (.f16, f16), (.i32, i32), (.i8, i8), (.bgra8, Int(CMLX_PIXEL_BGRA8)), (.gray8, Int(CMLX_PIXEL_GRAY8)),
        (.gray16f, Int(CMLX_PIXEL_GRAY16F)), (.rgb8, Int(CMLX_PIXEL_RGB8)),
      ]
      for (element, number) in elements { #expect(Int(element.rawValue) == number) }
      #expect(abiVersion() == 2)
      #expect(isApple() == 0)
    }

    @Test func aReleasedHandleIsNoLongerOne() throws {
      let before = liveHandles()
      let model = try Model(doubling())
      let extra = try Held.canceller()
      #expect(liveHandles() == before + 2)
      let stale = extra.handle
      try check { release(stale, $0) }
      #expect(try failing { release(stale, $0) }.status == Int(CMLX_E_BAD_HANDLE))
      #expect(try failing { cancellerCancel(stale, $0) }.message == "Cannot find a canceller: handle \(stale) is not one")
      // The slot is used again, the number is another.
      let next = try Held.canceller()
      #expect(next.handle != stale && next.handle & 0xFF_FFFF == stale & 0xFF_FFFF)
      #expect(try failing { cancellerCancel(stale, $0) }.status == Int(CMLX_E_BAD_HANDLE))
      #expect(model.handle < 1 << 48)
    }

    @Test func aHandleOfAnotherKindIsRefused() throws {
      let model = try Model(doubling())
      let queue = try Held.queue()
      var bytes = cmlx_bytes()
      #expect(try failing { modelDescribe(queue.handle, &bytes, $0) }.status == Int(CMLX_E_BAD_HANDLE))
      #expect(try failing { queueShutdown(model.handle, $0) }.status == Int(CMLX_E_BAD_HANDLE))
      for handle: UInt64 in [0, 1, .max, model.handle ^ 1 << 30] {
        #expect(try failing { modelDescribe(handle, &bytes, $0) }.status == Int(CMLX_E_BAD_HANDLE))
      }
      #expect(queueFd(model.handle) == -1)
    }

    @Test func errorsAreOptionalForTheCaller() {
      #expect(release(12345, nil) == Int32(CMLX_E_BAD_HANDLE))
      errorFree(nil)
      bytesFree(nil)
    }

    @Test func missingPointersAreRefused() throws {
      let refusals: [(UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32] = [
        { bufferCreate(nil, nil, $0) }, { bufferWrap(nil, 8, nil, $0) }, { bufferRead(0, nil, $0) }, { bufferBegin(0, 1, nil, $0) },
        { bufferLend(0, nil, $0) }, { cancellerCreate(nil, $0) }, { modelCompile(nil, nil, nil, nil, $0) }, { modelLoad(nil, nil, nil, nil, $0) },
        { modelShare(0, nil, $0) }, { modelDescribe(0, nil, $0) }, { assetDescribe(nil, nil, nil, nil, $0) }, { modelReadStats(0, nil, $0) },
        { planRead(nil, nil, nil, nil, $0) }, { stateCreate(0, nil, $0) }, { stateRead(0, nil, nil, $0) }, { stateWrite(0, nil, nil, $0) },
        { Bridge.predict(nil, $0) }, { predictBatch(nil, 1, $0) }, { queueCreate(nil, $0) }, { queueWait(0, nil, 1, 0, nil, $0) },
        { queueCompile(0, 0, nil, nil, nil, $0) }, { queueLoad(0, 0, nil, nil, nil, $0) }, { queuePlan(0, 0, nil, nil, nil, $0) },
        { queuePredict(0, 0, nil, nil, $0) }, { queueWatchThermal(0, 0, nil, $0) }, { quarantineRead(nil, $0) },
        { imageDecode(nil, 1, 1, nil, $0) }, { deviceDescribe(nil, $0) }, { sysctlRead(nil, nil, $0) }, { usageRead(nil, $0) }, { thermalRead(nil, $0) },
      ]
      for call in refusals {
        let refusal = try failing(call)
        #expect(refusal.status == Int(CMLX_E_INVALID_ARGUMENT))
        #expect(refusal.message.contains("NULL"))
      }
    }

    @Test func structsOfAnotherSizeAreRefused() throws {
      var info = cmlx_buffer_info()
      let buffer = try Held.buffer(8)
      #expect(try failing { bufferRead(buffer.handle, &info, $0) }.message == "Cannot read a cmlx_buffer_info: its struct_size is 0, this library's is 48")
      var options = cmlx_buffer_options()
      var handle: UInt64 = 0
      var stats = cmlx_model_stats()
      var quarantine = cmlx_quarantine()
      var usage = cmlx_usage()
      var thermal = cmlx_thermal()
      var image = cmlx_image()
      var prediction = cmlx_prediction()
      var control = cmlx_control()
      var load = cmlx_load_options()
      let model = try Model(doubling())
      let byte: [UInt8] = [1]
      for call: (UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>) -> Int32 in [
        { bufferCreate(&options, &handle, $0) }, { bufferBegin(buffer.handle, 0, &info, $0) }, { modelReadStats(model.handle, &stats, $0) },
        { quarantineRead(&quarantine, $0) }, { usageRead(&usage, $0) }, { thermalRead(&thermal, $0) }, { imageDecode(byte, 1, 1, &image, $0) },
        { Bridge.predict(&prediction, $0) }, { modelLoad(model.folder.path, nil, &control, &handle, $0) },
        { modelLoad(model.folder.path, &load, nil, &handle, $0) },
      ] {
        #expect(try failing(call).message.contains("struct_size is 0"))
      }
    }

    @Test func textThatIsNoUtf8OrEmptyIsRefused() throws {
      var handle: UInt64 = 0
      let broken: [CChar] = [-61, 40, 0]
      #expect(try failing { modelLoad(broken, nil, nil, &handle, $0) }.message == "Cannot read path: it is not UTF-8")
      #expect(try failing { modelLoad("", nil, nil, &handle, $0) }.message == "Cannot go on: path is empty")
    }

    @Test func aSharedModelLivesAsLongAsItsLastHandle() throws {
      let x = Floats([1, 2, 3, 4, 5, 6])
      let y = Floats(6, 0)
      expectNothingAlive()
      let shared: Held
      do {
        let model = try Model(doubling())
        shared = try Held { modelShare(model.handle, $0, $1) }
        #expect(shared.handle != model.handle)
      }
      var ask = Ask(shared.handle, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      try ask.run()
      #expect(y.values == [2, 4, 6, 8, 10, 12])
      #expect(StandInML.liveModels == 1)
      try check { release(shared.handle, $0) }
      #expect(eventually { StandInML.liveModels == 0 })
      shared.handle = 0
    }
  }
}
