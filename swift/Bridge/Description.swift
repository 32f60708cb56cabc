// A model's interface: in the order that the ABI's indices follow, and as JSON.
import CCoremlx
import CoreML
import CoreVideo
import Foundation

/// Features by name in the order of their UTF-8 bytes, which every language sorts alike.
struct Description: @unchecked Sendable {  // nothing in it changes any more
  let inputs: [MLFeatureDescription]
  let outputs: [MLFeatureDescription]
  let states: [MLFeatureDescription]
  private let inner: MLModelDescription

  init(_ description: MLModelDescription) {
    func sorted(_ features: [String: MLFeatureDescription]) -> [MLFeatureDescription] {
      features.values.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }
    inner = description
    inputs = sorted(description.inputDescriptionsByName)
    outputs = sorted(description.outputDescriptionsByName)
    if #available(macOS 15.0, *), isAllowed(15.0) {
      states = sorted(description.stateDescriptionsByName)
    } else {
      states = []
    }
  }

  /// Members of the JSON object; the caller adds what it alone knows.
  var members: [String: Json] {
    var members: [String: Json] = [
      "inputs": .array(inputs.map(describe)), "outputs": .array(outputs.map(describe)), "states": .array(states.map(describe)),
      "isUpdatable": .flag(inner.isUpdatable), "metadata": .object(metadata),
    ]
    members["predictedFeatureName"] = inner.predictedFeatureName.map { .text($0) }
    members["predictedProbabilitiesName"] = inner.predictedProbabilitiesName.map { .text($0) }
    if let labels = inner.classLabels {
      let texts = labels.map { ($0 as? NSNumber).map { "\($0.int64Value)" } ?? "\($0)" }
      members["classLabels"] = ["kind": labels.first is NSNumber ? "int64" : "string", "values": .texts(texts)]
    }
    return members
  }

  private var metadata: [String: Json] {
    func text(_ key: MLModelMetadataKey) -> Json { .text(inner.metadata[key] as? String ?? "") }
    let own = inner.metadata[.creatorDefinedKey] as? [String: String] ?? [:]
    return [
      "description": text(.description), "version": text(.versionString), "author": text(.author), "license": text(.license),
      "userDefined": .object(own.mapValues { .text($0) }),
    ]
  }
}

extension MLFeatureType {
  var label: String {
    switch self {
    case .int64: return "int64"
    case .double: return "double"
    case .string: return "string"
    case .image: return "image"
    case .multiArray: return "multiArray"
    case .dictionary: return "dictionary"
    case .sequence: return "sequence"
    default:
      if #available(macOS 15.0, *), isAllowed(15.0), self == .state { return "state" }
      return "invalid"
    }
  }
}

private func describe(_ feature: MLFeatureDescription) -> Json {
  var members: [String: Json] = ["name": .text(feature.name), "optional": .flag(feature.isOptional), "type": .text(feature.type.label)]
  if let constraint = feature.multiArrayConstraint {
    members["dtype"] = label(constraint.dataType)
    members["shape"] = .integers(constraint.shape.map { $0.intValue })
    members["constraint"] = shapes(constraint)
  }
  if let constraint = feature.imageConstraint {
    members["pixelFormat"] = pixelLabel(constraint.pixelFormatType)
    members["width"] = .integer(Int64(constraint.pixelsWide))
    members["height"] = .integer(Int64(constraint.pixelsHigh))
    members["constraint"] = sizes(constraint.sizeConstraint)
  }
  if let constraint = feature.dictionaryConstraint { members["key"] = .text(constraint.keyType.label) }
  if let constraint = feature.sequenceConstraint {
    members["element"] = .text(constraint.valueDescription.type.label)
    let (lower, upper) = bounds(constraint.countRange)
    members["lower"] = lower
    members["upper"] = upper
  }
  if #available(macOS 15.0, *), isAllowed(15.0), let constraint = feature.stateConstraint {
    members["dtype"] = label(constraint.dataType)
    members["shape"] = .integers(constraint.bufferShape)
  }
  return .object(members)
}

private func label(_ type: MLMultiArrayDataType) -> Json { .text(Element(type)?.label ?? "unknown \(type.rawValue)") }

private func pixelLabel(_ format: OSType) -> Json {
  .text(Element(pixelFormat: format)?.label ?? "0x\(String(format, radix: 16))")
}

/// Both ends belong to it; no upper end: unbounded.
private func bounds(_ range: NSRange) -> (lower: Json, upper: Json) {
  let (upper, overflows) = range.location.addingReportingOverflow(range.length)
  return (.integer(Int64(range.location)), overflows || upper >= Int(Int32.max) ? .null : .integer(Int64(upper)))
}
private func axis(_ range: NSRange) -> Json {
  let (lower, upper) = bounds(range)
  return ["lower": lower, "upper": upper]
}

private func shapes(_ constraint: MLMultiArrayConstraint) -> Json {
  let inner = constraint.shapeConstraint
  switch inner.type {
  case .enumerated:
    let shapes = inner.enumeratedShapes.map { $0.map { $0.intValue } }
    if shapes.isEmpty || shapes == [constraint.shape.map { $0.intValue }] { return ["kind": "fixed"] }
    return ["kind": "enumerated", "shapes": .array(shapes.map { .integers($0) })]
  case .range: return ["kind": "range", "axes": .array(inner.sizeRangeForDimension.map { axis($0.rangeValue) })]
  default: return ["kind": "unspecified"]
  }
}

private func sizes(_ constraint: MLImageSizeConstraint) -> Json {
  switch constraint.type {
  case .enumerated:
    return ["kind": "enumerated", "shapes": .array(constraint.enumeratedImageSizes.map { .integers([$0.pixelsHigh, $0.pixelsWide]) })]
  case .range: return ["kind": "range", "axes": [axis(constraint.pixelsHighRange), axis(constraint.pixelsWideRange)]]
  default: return ["kind": "fixed"]
  }
}

extension MLMultiArrayConstraint {
  /// The only shape there is, if it is known before the run.
  var fixedShape: [Int]? {
    let shape = shape.map { $0.intValue }
    guard !shape.isEmpty, shape.allSatisfy({ $0 > 0 }), shapeConstraint.type == .enumerated else { return nil }
    let allowed = shapeConstraint.enumeratedShapes.map { $0.map { $0.intValue } }
    return allowed.isEmpty || allowed == [shape] ? shape : nil
  }
}

@_cdecl("cmlx_model_describe")
public func modelDescribe(
  _ model: UInt64, _ json: UnsafeMutablePointer<cmlx_bytes>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let json = try require(json, "json")
    let loaded = try findModel(model)
    var members = loaded.description.members
    members["function"] = loaded.request.function.map { .text($0) }
    members["computeUnits"] = .text(loaded.request.unitsLabel)
    members["ignoredHints"] = .texts(loaded.request.ignoredHints)
    json.pointee = try makeBytes(Json.object(members).text)
  }
}

@_cdecl("cmlx_asset_describe")
public func assetDescribe(
  _ path: UnsafePointer<CChar>?, _ function: UnsafePointer<CChar>?, _ control: UnsafeMutablePointer<cmlx_control>?,
  _ json: UnsafeMutablePointer<cmlx_bytes>?, _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let json = try require(json, "json")
    let path = try requireText(path, "path")
    let name = function == nil ? nil : NSString(string: try requireText(function, "function"))
    let limits = try control.limits()
    guard FileManager.default.fileExists(atPath: path) else { throw Failure(.notFound, "Cannot describe \"\(path)\": there is no such file") }
    guard #available(macOS 15.0, *), isAllowed(15.0) else {
      throw Failure(.unsupported, "Cannot describe \"\(path)\" without loading it: that needs macOS 15")
    }
    let url = NSURL(fileURLWithPath: path)
    guard let asset = try attempt({ cmlx_try_asset(lend(url), $0) }) else { throw Failure(.coreML, "Core ML gave no asset") }
    let what = "Describing \"\(path)\""
    let names = try limits.run(what, control: control) { call in
      try Landing(call).start { cmlx_try_asset_functions_start(lend(asset), $0, Landing.landed, $1) }
    }
    let found = try limits.run(what, control: control) { call in
      try Landing(call).start { cmlx_try_asset_description_start(lend(asset), name.map { lend($0) }, $0, Landing.landed, $1) }
    }
    guard let names = names as? NSArray, let found = found as? MLModelDescription else { throw Failure(.coreML, "Core ML gave no description") }
    var members = Description(found).members
    members["functions"] = .texts((0..<names.count).map { String(describing: names.object(at: $0)) })
    members["function"] = name.map { .text(String(describing: $0)) }
    json.pointee = try makeBytes(Json.object(members).text)
  }
}
