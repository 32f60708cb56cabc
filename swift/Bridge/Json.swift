// JSON that the library writes: sorted keys, 64-bit integers in full, and the three numbers JSON lacks as text.

indirect enum Json: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral, ExpressibleByStringLiteral, Sendable {
  case object([String: Json])
  case array([Json])
  case text(String)
  case number(Double)
  case integer(Int64)
  case flag(Bool)
  case null

  init(dictionaryLiteral elements: (String, Json)...) { self = .object(Dictionary(elements) { $1 }) }
  init(arrayLiteral elements: Json...) { self = .array(elements) }
  init(stringLiteral value: String) { self = .text(value) }

  static func integers(_ values: some Sequence<Int>) -> Json { .array(values.map { .integer(Int64($0)) }) }
  static func texts(_ values: some Sequence<String>) -> Json { .array(values.map { .text($0) }) }

  var text: String {
    var out = ""
    write(&out)
    return out
  }

  private func write(_ out: inout String) {
    switch self {
    case .object(let members):
      out += "{"
      for (i, key) in members.keys.sorted().enumerated() {
        if i > 0 { out += "," }
        Self.quote(key, &out)
        out += ":"
        members[key]!.write(&out)
      }
      out += "}"
    case .array(let values):
      out += "["
      for (i, value) in values.enumerated() {
        if i > 0 { out += "," }
        value.write(&out)
      }
      out += "]"
    case .text(let text): Self.quote(text, &out)
    case .number(let number):
      if number.isFinite {
        out += "\(number)"
      } else {
        out += number.isNaN ? "\"nan\"" : number > 0 ? "\"inf\"" : "\"-inf\""
      }
    case .integer(let integer): out += "\(integer)"
    case .flag(let flag): out += flag ? "true" : "false"
    case .null: out += "null"
    }
  }

  private static func quote(_ text: String, _ out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\u{0}"..<"\u{20}":
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}
