// Stands in for the part of ImageIO that coremlx uses, on Linux only. It reads binary PGM and PPM; a comment
// "# orientation N" is what EXIF says in other formats.
import CoreGraphics
import Foundation

public typealias CFData = NSData
public typealias CFDictionary = NSDictionary

nonisolated(unsafe) public let kCGImagePropertyPixelWidth: CFString = "PixelWidth"
nonisolated(unsafe) public let kCGImagePropertyPixelHeight: CFString = "PixelHeight"
nonisolated(unsafe) public let kCGImagePropertyOrientation: CFString = "Orientation"

public final class CGImageSource {
  var width = 0
  var height = 0
  var orientation: Int?
  var isGray = false
  var pixels: [UInt8] = []
  var isComplete = false
  init() {}
}

public func CGImageSourceCreateWithData(_ data: CFData, _ options: CFDictionary?) -> CGImageSource? {
  let bytes = [UInt8](Data(referencing: data))
  let source = CGImageSource()
  guard bytes.count > 2, bytes[0] == UInt8(ascii: "P"), bytes[1] == UInt8(ascii: "5") || bytes[1] == UInt8(ascii: "6") else { return source }
  source.isGray = bytes[1] == UInt8(ascii: "5")
  var at = 2
  var numbers: [Int] = []
  while numbers.count < 3, at < bytes.count {
    if bytes[at] == UInt8(ascii: "#") {
      let end: Int = bytes.indices[at...].first(where: { bytes[$0] == 10 }) ?? bytes.count
      let words = String(decoding: bytes[at..<end], as: UTF8.self).split(separator: " ")
      if words.count == 3, words[1] == "orientation" { source.orientation = Int(words[2]) }
      at = end
    } else if bytes[at] <= 32 {
      at += 1
    } else {
      let end: Int = bytes.indices[at...].first(where: { bytes[$0] <= 32 }) ?? bytes.count
      numbers.append(Int(String(decoding: bytes[at..<end], as: UTF8.self)) ?? 0)
      at = end
    }
  }
  guard numbers.count == 3 else { return source }
  source.width = numbers[0]
  source.height = numbers[1]
  source.pixels = Array(bytes[min(at + 1, bytes.count)...])
  source.isComplete = source.pixels.count == source.width * source.height * (source.isGray ? 1 : 3)
  return source
}

public func CGImageSourceGetCount(_ isrc: CGImageSource) -> Int { isrc.width > 0 ? 1 : 0 }

public func CGImageSourceCopyPropertiesAtIndex(_ isrc: CGImageSource, _ index: Int, _ options: CFDictionary?) -> CFDictionary? {
  guard isrc.width > 0 else { return nil }
  let properties = NSMutableDictionary()
  properties.setObject(NSNumber(value: isrc.width), forKey: kCGImagePropertyPixelWidth)
  properties.setObject(NSNumber(value: isrc.height), forKey: kCGImagePropertyPixelHeight)
  if let orientation = isrc.orientation {
    properties.setObject(NSNumber(value: orientation), forKey: kCGImagePropertyOrientation)
  }
  return properties
}

public func CGImageSourceCreateImageAtIndex(_ isrc: CGImageSource, _ index: Int, _ options: CFDictionary?) -> CGImage? {
  guard isrc.isComplete else { return nil }
  return CGImage(standInWidth: isrc.width, height: isrc.height, isGray: isrc.isGray, pixels: isrc.pixels)
}
