// Loading, compiling, describing and planning, on the newest macOS and on older ones.
import CCoremlx
import CoreML
import Foundation
import Metal
import Testing

@testable import Bridge

func control(timeoutMs: Int64 = 0, canceller: Held? = nil) -> cmlx_control {
  var control = cmlx_control()
  control.struct_size = UInt32(MemoryLayout<cmlx_control>.size)
  control.timeout_ns = timeoutMs * 1_000_000
  control.canceller = canceller?.handle ?? 0
  return control
}

extension All {
  @Suite struct Loading {
    let x = Floats([1, 2, 3, 4, 5, 6])
    let y = Floats(6, 0)

    @Test(arguments: [0, 1, 2, 3], ["all", "cpu", "cpuAndGpu", "cpuAndAne"]) func asksForComputeUnits(units: Int, label: String) throws {
      let labels = ["all", "cpu", "cpuAndGpu", "cpuAndAne"]
      let model = try Model(doubling(), LoadSettings(units: units))
      #expect((try model.describe()["computeUnits"] as? String == label) == (labels[units] == label))
      let asked: [MLComputeUnits] = [.all, .cpuOnly, .cpuAndGPU, .cpuAndNeuralEngine]
      #expect(StandInML.configuration?.computeUnits == asked[units])
    }

    @Test func passesOnHintsNameAndPrecision() throws {
      let model = try Model(doubling(), LoadSettings(flags: 1, reshape: 2, specialization: 1, displayName: "my model"))
      let configuration = try #require(StandInML.configuration)
      #expect(configuration.allowLowPrecisionAccumulationOnGPU && configuration.modelDisplayName == "my model")
      #expect(configuration.optimizationHints.reshapeFrequency == .infrequent)
      #expect(configuration.optimizationHints.specializationStrategy == .fastPrediction)
      #expect(try model.describe()["ignoredHints"] as? [String] == [])
      _ = try Model(doubling(), LoadSettings(reshape: 1))
      #expect(StandInML.configuration?.optimizationHints.reshapeFrequency == .frequent)
    }

    @Test func namesTheHintsThatAnOlderSystemIgnores() throws {
      let settings = LoadSettings(reshape: 2, specialization: 1)
      try pretending(140) {
        let ignored = try Model(doubling(), settings).describe()["ignoredHints"] as? [String]
        #expect(ignored == ["reshapeFrequency", "specialization"])
        #expect(StandInML.configuration?.optimizationHints == MLOptimizationHints())
      }
      try pretending(144) {
        let ignored = try Model(doubling(), settings).describe()["ignoredHints"] as? [String]
        #expect(ignored == ["specialization"])
        #expect(StandInML.configuration?.optimizationHints.reshapeFrequency == .infrequent)
      }
    }

    @Test func prefersAGpuByItsRegistryId() throws {
      let gpu = try #require(MTLCopyAllDevices().last)
      _ = try Model(doubling(), LoadSettings(gpu: gpu.registryID))
      #expect(StandInML.configuration?.preferredMetalDevice?.registryID == gpu.registryID)
      let refusal = try failing { try Model(doubling(), LoadSettings(gpu: 5)) }
      #expect(refusal.status == Int(CMLX_E_NOT_FOUND) && refusal.message == "Cannot prefer GPU 5: there is none")
    }

    @Test func choosesAFunction() throws {
      let spec = doubling(#""functions":{"big":{"scale":10},"small":{"scale":0.5}}"#)
      let model = try Model(spec, LoadSettings(function: "big"))
      _ = try once(model, [x.tensor([2, 3], f32)], [y.tensor([2, 3], f32)])
      #expect(y.values == [10, 20, 30, 40, 50, 60])
      #expect(try model.describe()["function"] as? String == "big")
      #expect(try failing { try Model(spec, LoadSettings(function: "none")) }.message == "The model has no function \"none\".")
      try pretending(144) {
        let refusal = try failing { try Model(spec, LoadSettings(function: "big")) }
        #expect(refusal.status == Int(CMLX_E_UNSUPPORTED) && refusal.message == "Cannot choose function \"big\": functions need macOS 15")
      }
    }

    @Test func unknownOptionsAreRefused() throws {
      for settings in [LoadSettings(units: 4), LoadSettings(flags: 2), LoadSettings(reshape: 3), LoadSettings(specialization: 2)] {
        #expect(try failing { try Model(doubling(), settings) }.message == "Cannot load: an option has a number that nobody knows")
      }
      #expect(try failing { try Model(doubling(), LoadSettings(inFlight: 257)) }.message == "Cannot load: max_in_flight is 257, the most is 256")
    }

    @Test func whatIsNotThereIsNotFound() throws {
      var handle: UInt64 = 0
      let refusal = try failing { modelLoad("/nowhere.mlmodelc", nil, nil, &handle, $0) }
      #expect(refusal.status == Int(CMLX_E_NOT_FOUND) && refusal.message == "Cannot load \"/nowhere.mlmodelc\": there is no such file")
    }

    @Test func theFrameworksErrorsKeepDomainCodeAndWhatIsBeneath() throws {
      let empty = NSTemporaryDirectory() + "/empty-\(UUID().uuidString).mlmodelc"
      try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: empty) }
      var handle: UInt64 = 0
      let refusal = try failing { modelLoad(empty, nil, nil, &handle, $0) }
      #expect(refusal.status == Int(CMLX_E_CORE_ML) && refusal.domain == "com.apple.CoreML" && refusal.code == 3)
      let detail = try #require(JSONSerialization.jsonObject(with: Data(refusal.detail.utf8)) as? [String: [[String: Any]]])
      #expect(detail["underlying"]?.first?["domain"] as? String == "NSCocoaErrorDomain")
      #expect(detail["underlying"]?.first?["code"] as? Int == 260)
    }

    @Test func whatIsNotCompiledIsRefused() throws {
      let source = try Folder(doubling(), ending: "mlpackage")
      var handle: UInt64 = 0
      #expect(try failing { modelLoad(source.path, nil, nil, &handle, $0) }.message.hasSuffix("is no compiled model."))
    }

    @Test func loadingCanTakeLongOnceAndThenNot() throws {
      let folder = try Folder(doubling(#""faults":{"firstLoadUs":80000}"#))
      let times = try (0..<2).map { _ in
        var limits = control()
        _ = try Held { modelLoad(folder.path, nil, &limits, $0, $1) }.handle
        return limits.run_ns
      }
      #expect(times[0] >= 80_000_000)
      #expect(times[1] < times[0])
    }

    @Test func loadingThatTakesTooLongIsGivenUpAndLeavesNothing() throws {
      expectNothingAlive()
      let handles = liveHandles()
      let folder = try Folder(doubling(#""faults":{"loadUs":100000}"#))
      var limits = control(timeoutMs: 20)
      var handle: UInt64 = 0
      let refusal = try failing { modelLoad(folder.path, nil, &limits, &handle, $0) }
      #expect(refusal.status == Int(CMLX_E_TIMEOUT) && refusal.message == "Loading \"\(folder.path)\" did not end in time")
      #expect(limits.run_ns >= 20_000_000)
      #expect(liveHandles() == handles)
      // The model that comes late belongs to nobody.
      expectNothingAlive()
    }

    @Test func aLoadErrorOrExceptionIsReported() throws {
      #expect(try failing { try Model(doubling(#""faults":{"loadError":"Failed to build the model execution plan."}"#)) }.message == "Failed to build the model execution plan.")
      #expect(try failing { try Model(doubling(#""faults":{"loadRaises":true}"#)) }.domain == "NSException")
    }
  }

  @Suite struct Compiling {
    @Test func compilesToATemporaryPlaceOrAChosenOne() throws {
      let source = try Folder(doubling(), ending: "mlpackage")
      let temporary = try text { modelCompile(source.path, nil, nil, $0, $1) }
      defer { try? FileManager.default.removeItem(atPath: temporary) }
      #expect(temporary.hasSuffix(".mlmodelc") && FileManager.default.fileExists(atPath: temporary + "/standin.json"))
      let wanted = NSTemporaryDirectory() + "/wanted-\(UUID().uuidString).mlmodelc"
      defer { try? FileManager.default.removeItem(atPath: wanted) }
      var limits = control(timeoutMs: 20_000)
      #expect(try text { modelCompile(source.path, wanted, &limits, $0, $1) } == wanted)
      #expect(limits.run_ns > 0)
      let held = try Held { modelLoad(wanted, nil, nil, $0, $1) }
      #expect(held.handle != 0)
      var bytes = cmlx_bytes()
      #expect(try failing { modelCompile(source.path, wanted, nil, &bytes, $0) }.message == "Cannot compile to \"\(wanted)\": it exists")
    }

    @Test func aMissingSourceOrFolderIsNotFound() throws {
      let source = try Folder(doubling(), ending: "mlpackage")
      var bytes = cmlx_bytes()
      #expect(try failing { modelCompile("/nowhere.mlpackage", nil, nil, &bytes, $0) }.message == "Cannot compile \"/nowhere.mlpackage\": there is no such file")
      #expect(try failing { modelCompile(source.path, "/nowhere/at/all.mlmodelc", nil, &bytes, $0) }.message == "Cannot compile to \"/nowhere/at/all.mlmodelc\": its folder does not exist")
    }

    @Test func aDestinationThatAppearsMeanwhileFailsAndLeavesNothingBehind() throws {
      let source = try Folder(doubling(#""faults":{"compileUs":1000000}"#), ending: "mlpackage")
      let wanted = NSTemporaryDirectory() + "/late-\(UUID().uuidString).mlmodelc"
      defer { try? FileManager.default.removeItem(atPath: wanted) }
      let queue = try Held.queue()
      var ticket: UInt64 = 0
      try check { queueCompile(queue.handle, 1, source.path, wanted, &ticket, $0) }
      try FileManager.default.createDirectory(atPath: wanted, withIntermediateDirectories: true)
      #expect(try failing { try finish(queue) }.domain == "NSCocoaErrorDomain")
      #expect(try FileManager.default.contentsOfDirectory(atPath: wanted) == [])
    }

    @Test func aCompilationThatIsGivenUpRemovesItsResult() throws {
      let source = try Folder(doubling(#""faults":{"compileUs":60000}"#), ending: "mlpackage")
      let canceller = try Held.canceller()
      try check { cancellerCancel(canceller.handle, $0) }
      var limits = control(canceller: canceller)
      var bytes = cmlx_bytes()
      #expect(try failing { modelCompile(source.path, nil, &limits, &bytes, $0) }.status == Int(CMLX_E_CANCELLED))
      limits = control(timeoutMs: 10)
      let names = { Set((try? FileManager.default.contentsOfDirectory(atPath: NSTemporaryDirectory())) ?? []).filter { $0.hasSuffix(".mlmodelc") } }
      let before = names()
      #expect(try failing { modelCompile(source.path, nil, &limits, &bytes, $0) }.status == Int(CMLX_E_TIMEOUT))
      let next = try text { modelCompile(source.path, nil, nil, $0, $1) }
      try FileManager.default.removeItem(atPath: next)
      #expect(eventually { names() == before })
    }
  }

  @Suite struct Describing {
    let spec = #"""
      {"inputs":[{"name":"a","shape":[1,3,4]},{"name":"b","shape":[1,8],"dtype":"f16","ranges":[[1,1],[1,-1]],"optional":true},
        {"name":"c","shape":[1],"dtype":"i32","shapes":[[1],[2],[4]]},{"name":"d","constraint":"unspecified"},
        {"name":"e","type":"image","format":"BGRA","width":3,"height":2},{"name":"f","type":"image","format":"gray16f","width":3,"height":2,"widths":[1,10]},
        {"name":"g","type":"image","format":"gray8","width":3,"height":2,"sizes":[[2,3],[4,6]]},{"name":"h","type":"dictionary","key":"int64"},
        {"name":"i","type":"sequence","element":"string","counts":[0,-1]},{"name":"j","type":"int64"},{"name":"k","type":"double"},{"name":"l","type":"string"},
        {"name":"m","type":"martian"}],
       "outputs":[{"name":"y","shape":[1,2]}],"states":[{"name":"s","shape":[1,4],"dtype":"f16"}],"isUpdatable":true,
       "metadata":{"description":"d","version":"v","author":"a","license":"l","own":"x"},"functions":{"g":{},"f":{"outputs":[{"name":"z","shape":[1]}]}}}
      """#

    @Test func saysEverythingAboutEveryFeature() throws {
      var described = try Model(spec).describe()
      let given = described.removeValue(forKey: "inputs")
      let inputs = try #require(given)
      #expect(
        try sorted(inputs)
          == #"[{"constraint":{"kind":"fixed"},"dtype":"float32","name":"a","optional":false,"shape":[1,3,4],"type":"multiArray"},{"constraint":{"axes":[{"lower":1,"upper":1},{"lower":1,"upper":null}],"kind":"range"},"dtype":"float16","name":"b","optional":true,"shape":[1,8],"type":"multiArray"},{"constraint":{"kind":"enumerated","shapes":[[1],[2],[4]]},"dtype":"int32","name":"c","optional":false,"shape":[1],"type":"multiArray"},{"constraint":{"kind":"unspecified"},"dtype":"float32","name":"d","optional":false,"shape":[],"type":"multiArray"},{"constraint":{"kind":"fixed"},"height":2,"name":"e","optional":false,"pixelFormat":"BGRA8","type":"image","width":3},{"constraint":{"axes":[{"lower":2,"upper":2},{"lower":1,"upper":10}],"kind":"range"},"height":2,"name":"f","optional":false,"pixelFormat":"GRAY16F","type":"image","width":3},{"constraint":{"kind":"enumerated","shapes":[[2,3],[4,6]]},"height":2,"name":"g","optional":false,"pixelFormat":"GRAY8","type":"image","width":3},{"key":"int64","name":"h","optional":false,"type":"dictionary"},{"element":"string","lower":0,"name":"i","optional":false,"type":"sequence","upper":null},{"name":"j","optional":false,"type":"int64"},{"name":"k","optional":false,"type":"double"},{"name":"l","optional":false,"type":"string"},{"name":"m","optional":false,"type":"invalid"}]"#)
      #expect(
        try sorted(described)
          == #"{"computeUnits":"all","ignoredHints":[],"isUpdatable":true,"metadata":{"author":"a","description":"d","license":"l","userDefined":{"own":"x"},"version":"v"},"outputs":[{"constraint":{"kind":"fixed"},"dtype":"float32","name":"y","optional":false,"shape":[1,2],"type":"multiArray"}],"states":[{"dtype":"float16","name":"s","optional":false,"shape":[1,4],"type":"state"}]}"#)
    }

    @Test func describesWithoutLoading() throws {
      let folder = try Folder(spec)
      expectNothingAlive()
      let described = try json { assetDescribe(folder.path, nil, nil, $0, $1) }
      #expect(described["functions"] as? [String] == ["f", "g"])
      #expect((described["states"] as? [[String: Any]])?.first?["type"] as? String == "state")
      #expect(StandInML.liveModels == 0)
      var limits = control(timeoutMs: 20_000)
      let one = try json { assetDescribe(folder.path, "f", &limits, $0, $1) }
      #expect((one["outputs"] as? [[String: Any]])?.first?["name"] as? String == "z" && one["function"] as? String == "f")
      var bytes = cmlx_bytes()
      #expect(try failing { assetDescribe(folder.path, "none", nil, &bytes, $0) }.message == "The model has no function \"none\".")
      #expect(try failing { assetDescribe("/nowhere", nil, nil, &bytes, $0) }.status == Int(CMLX_E_NOT_FOUND))
      #expect(try failing { assetDescribe(NSTemporaryDirectory(), nil, nil, &bytes, $0) }.domain == "com.apple.CoreML")
    }

    @Test func anOlderSystemDescribesOnlyWhatIsLoaded() throws {
      let folder = try Folder(spec)
      var bytes = cmlx_bytes()
      try pretending(144) {
        let refusal = try failing { assetDescribe(folder.path, nil, nil, &bytes, $0) }
        #expect(refusal.status == Int(CMLX_E_UNSUPPORTED) && refusal.message.hasSuffix("without loading it: that needs macOS 15"))
      }
    }
  }

  @Suite struct Planning {
    let operations = #""operations":[{"op":"const","name":"w"},{"op":"ios16.constexpr_lut_to_dense","name":"u"},{"op":"ios15.conv","outputs":["c"],"device":"ane","supported":["cpu","gpu","ane"],"weight":0.75},{"op":"cond","name":"k","device":"cpu","weight":0.25,"blocks":[[{"op":"relu","name":"r","device":"gpu","supported":["gpu","cpu"]}]]}]"#

    func plan(_ more: String, _ settings: LoadSettings = LoadSettings()) throws -> String {
      let folder = try Folder(doubling(more))
      return try settings.withOptions { options in try text { planRead(folder.path, options, nil, $0, $1) } }
    }

    @Test func listsEveryOperationWithDevicesAndCost() throws {
      #expect(
        try plan(operations)
          == #"{"kind":"program","operations":[{"function":"main","isConstant":true,"op":"const","outputs":["w"]},{"function":"main","isConstant":true,"op":"ios16.constexpr_lut_to_dense","outputs":["u"]},{"function":"main","isConstant":false,"op":"ios15.conv","outputs":["c"],"preferred":"ane","supported":["cpu","gpu","ane"],"weight":0.75},{"function":"main","isConstant":false,"op":"cond","outputs":["k"],"preferred":"cpu","supported":["cpu"],"weight":0.25},{"function":"main","isConstant":false,"op":"relu","outputs":["r"],"preferred":"gpu","supported":["gpu","cpu"]}]}"#)
    }

    @Test func readsNetworksPipelinesAndTheUnknown() throws {
      let layers = #""operations":[{"op":"convolution","name":"c1","outputs":["o"],"device":"ane"},{"op":"softmax","name":"s"}]"#
      #expect(
        try plan(layers + #","structure":"neuralNetwork""#)
          == #"{"kind":"neuralNetwork","operations":[{"isConstant":false,"name":"c1","op":"convolution","outputs":["o"],"preferred":"ane","supported":["ane"]},{"isConstant":false,"name":"s","op":"softmax","outputs":[]}]}"#)
      let pipeline = try plan(layers + #","structure":"pipeline""#)
      #expect(pipeline.hasPrefix(#"{"kind":"pipeline","operations":[{"function":"main","isConstant":false,"model":"first""#) && pipeline.contains(#""model":"second","name":"c1""#))
      #expect(try plan(#""structure":"other""#) == #"{"kind":"unsupported","operations":[]}"#)
    }

    @Test func plansAFunctionAndPassesErrorsOn() throws {
      #expect(try failing { try plan(operations, LoadSettings(function: "none")) }.message == "The model has no function \"none\".")
      #expect(try plan(operations + #","functions":{"f":{}}"#, LoadSettings(function: "f")).contains(#""function":"f""#))
    }

    @Test func plansNeedMacOS144AndCanBeCancelled() throws {
      let refusal: Refusal = try pretending(140) { try failing { try plan(operations) } }
      #expect(refusal.message.hasSuffix("compute plans need macOS 14.4"))
      let folder = try Folder(doubling(#""faults":{"loadUs":1000000}"#))
      let canceller = try Held.canceller()
      let handle = canceller.handle
      let thread = Background {
        usleep(20_000)
        _ = cancellerCancel(handle, nil)
      }
      var limits = control(canceller: canceller)
      var bytes = cmlx_bytes()
      #expect(try failing { planRead(folder.path, nil, &limits, &bytes, $0) }.status == Int(CMLX_E_CANCELLED))
      #expect(eventually { thread.isFinished })
    }
  }
}
