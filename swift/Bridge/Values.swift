// Features that are no arrays and no images: scalars, texts, dictionaries, sequences, as JSON (see coremlx.h).
import CCoremlx
import CoreML
import Foundation

private let mostBytes = 64 << 20

/// Values by name. Throws INVALID_ARGUMENT naming the one that is wrong.
func readValues(_ text: UnsafePointer<CChar>?, _ size: UInt64) throws -> [String: MLFeatureValue] {
  guard let text, size > 0 else { return [:] }
  guard size <= mostBytes else { throw invalid("Cannot read values: \(size) bytes, the most are \(mostBytes)") }
  let data = Data(bytes: text, count: Int(size))
  guard let parsed = try? JSONSerialization.jsonObject(with: data), let values = parsed as? [String: Any] else {
    throw invalid("Cannot read values: they are no JSON object")
  }
  var features: [String: MLFeatureValue] = [:]
  for (name, value) in values {
    guard let members = value as? [String: Any], let feature = try readValue(members) else {
      throw invalid("Cannot read the value \"\(name)\": it has another form than coremlx.h says")
    }
    features[name] = feature
  }
  return features
}

/// Nil where it has another form.
private func readValue(_ members: [String: Any]) throws -> MLFeatureValue? {
  switch members["type"] as? String {
  case "int64": return readInteger(members["value"]).map { MLFeatureValue(int64: $0) }
  case "double": return readNumber(members["value"]).map { MLFeatureValue(double: $0) }
  case "string": return (members["value"] as? String).map { MLFeatureValue(string: $0) }
  case "dictionary":
    guard let entries = members["entries"] as? [Any], let key = members["key"] as? String else { return nil }
    return try readDictionary(entries, key)
  case "sequence":
    guard let values = members["values"] as? [Any] else { return nil }
    switch members["element"] as? String {
    case "string":
      let texts = values.compactMap { $0 as? String }
      return texts.count == values.count ? MLFeatureValue(sequence: MLSequence(strings: texts)) : nil
    case "int64":
      let integers = values.compactMap(readInteger)
      return integers.count == values.count ? MLFeatureValue(sequence: MLSequence(int64s: integers.map { NSNumber(value: $0) })) : nil
    default: return nil
    }
  default: return nil
  }
}

private func readDictionary(_ entries: [Any], _ key: String) throws -> MLFeatureValue? {
  var dictionary: [AnyHashable: NSNumber] = [:]
  for entry in entries {
    guard let pair = entry as? [Any], pair.count == 2, let text = pair[0] as? String, let number = readNumber(pair[1]) else { return nil }
    switch key {
    case "string": dictionary[text] = NSNumber(value: number)
    case "int64":
      guard let integer = Int64(text) else { return nil }
      dictionary[AnyHashable(NSNumber(value: integer))] = NSNumber(value: number)
    default: return nil
    }
  }
  return try MLFeatureValue(dictionary: dictionary)
}

private func readInteger(_ value: Any?) -> Int64? { (value as? String).flatMap { Int64($0) } }

private func readNumber(_ value: Any?) -> Double? {
  switch value as? String {
  case "nan": .nan
  case "inf": .infinity
  case "-inf": -.infinity
  case .some: nil
  case nil: (value as? NSNumber)?.doubleValue
  }
}

/// Nil for arrays and images, which travel as tensors.
func writeValue(_ value: MLFeatureValue) -> Json? {
  switch value.type {
  case .int64: return ["type": "int64", "value": .text("\(value.int64Value)")]
  case .double: return ["type": "double", "value": .number(value.doubleValue)]
  case .string: return ["type": "string", "value": .text(value.stringValue)]
  case .dictionary:
    var isInteger = false
    let entries = value.dictionaryValue.map { key, number -> (String, Double) in
      if let text = key.base as? String { return (text, number.doubleValue) }
      isInteger = true
      return ("\(key.base)", number.doubleValue)
    }
    // A dictionary has no order; the reader gets a stable one.
    let sorted = entries.sorted { isInteger ? Int64($0.0) ?? 0 < Int64($1.0) ?? 0 : $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    return ["type": "dictionary", "key": isInteger ? "int64" : "string", "entries": .array(sorted.map { [.text($0.0), .number($0.1)] })]
  case .sequence:
    guard let sequence = value.sequenceValue else { return nil }
    if sequence.type == .int64 { return ["type": "sequence", "element": "int64", "values": .texts(sequence.int64Values.map { "\($0.int64Value)" })] }
    return ["type": "sequence", "element": "string", "values": .texts(sequence.stringValues)]
  default: return nil
  }
}
