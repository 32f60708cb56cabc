// The compute plan: which device Core ML would prefer for each operation, and what it would cost. A forecast.
import CCoremlx
import CoreML
import Foundation

/// The plan's JSON as the object that a call ends with.
private final class PlanText {
  let text: String
  init(_ text: String) { self.text = text }
}

func startPlanning(_ request: LoadRequest, _ call: Call) throws {
  guard #available(macOS 14.4, *), isAllowed(14.4) else { throw Failure(.unsupported, "Cannot plan \"\(request.path)\": compute plans need macOS 14.4") }
  _ = try request.configuration()
  Task.detached {
    let ending: Call.Ending
    do {
      // Neither the plan nor the configuration may leave this task: they are not Sendable.
      let plan = try await MLComputePlan.load(contentsOf: URL(fileURLWithPath: request.path), configuration: request.configuration())
      ending = .answered(PlanText(summarize(plan).text))
    } catch {
      ending = .failed(Failure(error))
    }
    _ = call.end(ending)
  }
}

func readPlan(_ result: AnyObject?) throws -> String {
  guard let plan = result as? PlanText else { throw Failure(.coreML, "Core ML gave no plan") }
  return plan.text
}

func label(_ device: MLComputeDevice) -> String {
  switch device {
  case .cpu: return "cpu"
  case .gpu: return "gpu"
  case .neuralEngine: return "ane"
  @unknown default: return "other"
  }
}

@available(macOS 14.4, *)
private func summarize(_ plan: MLComputePlan) -> Json {
  var operations: [Json] = []
  func note(_ members: [String: Json], _ usage: MLComputePlan.DeviceUsage?) {
    var members = members
    if let usage {
      members["preferred"] = .text(label(usage.preferred))
      members["supported"] = .texts(usage.supported.map(label))
    }
    operations.append(.object(members))
  }
  func walk(_ block: MLModelStructure.Program.Block, _ place: [String: Json]) {
    for operation in block.operations {
      var members = place
      members["op"] = .text(operation.operatorName)
      members["outputs"] = .texts(operation.outputs.map(\.name))
      members["isConstant"] = .flag(isConstant(operation.operatorName))
      members["weight"] = plan.estimatedCost(of: operation).map { .number($0.weight) }
      note(members, plan.deviceUsage(for: operation))
      for inner in operation.blocks { walk(inner, place) }
    }
  }
  func read(_ structure: MLModelStructure, _ place: [String: Json]) -> String {
    switch structure {
    case .program(let program):
      for (name, function) in program.functions.sorted(by: { $0.key < $1.key }) {
        var place = place
        place["function"] = .text(name)
        walk(function.block, place)
      }
      return "program"
    case .neuralNetwork(let network):
      for layer in network.layers {
        var members = place
        members["op"] = .text(layer.type)
        members["name"] = .text(layer.name)
        members["outputs"] = .texts(layer.outputNames)
        members["isConstant"] = .flag(false)
        note(members, plan.deviceUsage(for: layer))
      }
      return "neuralNetwork"
    case .pipeline(let pipeline):
      for (name, model) in zip(pipeline.subModelNames, pipeline.subModels) {
        var place = place
        place["model"] = .text(name)
        _ = read(model, place)
      }
      return "pipeline"
    case .unsupported: return "unsupported"
    @unknown default: return "unsupported"
    }
  }
  let kind = read(plan.modelStructure, [:])
  return ["kind": .text(kind), "operations": .array(operations)]
}

/// Constants run nowhere: `const`, and everything that unpacks a compressed one, `constexpr_…` with or without its opset.
private func isConstant(_ operatorName: String) -> Bool {
  let name = operatorName.split(separator: ".").last ?? ""
  return name == "const" || name.hasPrefix("constexpr_")
}

@_cdecl("cmlx_plan_read")
public func planRead(
  _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<cmlx_load_options>?, _ control: UnsafeMutablePointer<cmlx_control>?,
  _ json: UnsafeMutablePointer<cmlx_bytes>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let json = try require(json, "json")
    let request = try LoadRequest(path, options)
    let result = try control.limits().run("Planning \"\(request.path)\"", control: control) { try startPlanning(request, $0) }
    json.pointee = try makeBytes(readPlan(result))
  }
}
