// Pictures that only the system can decode: HEIC, TIFF and whatever else ImageIO reads.
import CCoremlx
import CoreGraphics
import Foundation
import ImageIO

@_cdecl("cmlx_image_decode")
public func imageDecode(
  _ data: UnsafePointer<UInt8>?, _ size: UInt64, _ maxPixels: UInt64, _ out: UnsafeMutablePointer<cmlx_image>?,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<cmlx_error>?>?
) -> Int32 {
  guarded(error) {
    let out = try require(out, "out")
    try checkSize(out.pointee.struct_size, of: cmlx_image.self)
    let data = try require(data, "data")
    guard size > 0, size <= 1 << 31 else { throw invalid("Cannot decode a picture of \(size) bytes") }
    let picture = try decode(NSData(bytes: data, length: Int(size)), most: maxPixels)
    out.pointee.dtype = (picture.isGray ? Element.gray8 : .rgb8).rawValue
    out.pointee.width = UInt32(picture.width)
    out.pointee.height = UInt32(picture.height)
    out.pointee.pixels = try makeBytes(picture.pixels)
  }
}

private struct Picture {
  var width: Int
  var height: Int
  var isGray: Bool
  var pixels: [UInt8]
}

private func decode(_ data: NSData, most: UInt64) throws -> Picture {
  guard let source = CGImageSourceCreateWithData(data as CFData, nil), CGImageSourceGetCount(source) > 0,
    let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil)
  else { throw invalid("Cannot decode the picture: ImageIO does not know its format") }
  func number(_ key: CFString) -> Int { ((properties as NSDictionary).object(forKey: key as NSString) as? NSNumber)?.intValue ?? 0 }
  // Before anything is decoded: a small file can name a huge picture.
  let (count, overflows) = number(kCGImagePropertyPixelWidth).multipliedReportingOverflow(by: number(kCGImagePropertyPixelHeight))
  guard !overflows, count > 0, UInt64(count) <= most else { throw invalid("Cannot decode the picture: it has \(count) pixels, the most are \(most)") }
  guard let image = CGImageSourceCreateImageAtIndex(source, 0, nil) else { throw invalid("Cannot decode the picture: its data is damaged or incomplete") }
  let isGray = image.colorSpace?.model == .monochrome
  let drawn = try draw(image, isGray: isGray)
  return turn(drawn, number(kCGImagePropertyOrientation))
}

/// The pixels in sRGB, or gray, as they are stored.
private func draw(_ image: CGImage, isGray: Bool) throws -> Picture {
  let width = image.width
  let height = image.height
  let pixelBytes = isGray ? 1 : 4
  var drawn = [UInt8](repeating: 0, count: width * height * pixelBytes)
  let info = (isGray ? CGImageAlphaInfo.none : .noneSkipLast).rawValue
  try drawn.withUnsafeMutableBytes { raw in
    guard let space = CGColorSpace(name: isGray ? CGColorSpace.genericGrayGamma2_2 : CGColorSpace.sRGB),
      let context = CGContext(
        data: raw.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * pixelBytes, space: space,
        bitmapInfo: info)
    else { throw Failure(.inside, "Cannot draw a picture of \(width) x \(height)") }
    context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
  }
  if isGray { return Picture(width: width, height: height, isGray: true, pixels: drawn) }
  var pixels = [UInt8](repeating: 0, count: width * height * 3)
  for i in 0..<(width * height) {
    for channel in 0..<3 { pixels[i * 3 + channel] = drawn[i * 4 + channel] }
  }
  return Picture(width: width, height: height, isGray: false, pixels: pixels)
}

/// Upright, by the eight orientations of EXIF.
private func turn(_ picture: Picture, _ orientation: Int) -> Picture {
  guard orientation >= 2, orientation <= 8 else { return picture }
  let isSwapped = orientation >= 5
  let width = isSwapped ? picture.height : picture.width
  let height = isSwapped ? picture.width : picture.height
  let channels = picture.isGray ? 1 : 3
  var turned = Picture(width: width, height: height, isGray: picture.isGray, pixels: [UInt8](repeating: 0, count: picture.pixels.count))
  for y in 0..<height {
    for x in 0..<width {
      let (fromX, fromY): (Int, Int)
      switch orientation {
      case 2: (fromX, fromY) = (width - 1 - x, y)
      case 3: (fromX, fromY) = (width - 1 - x, height - 1 - y)
      case 4: (fromX, fromY) = (x, height - 1 - y)
      case 5: (fromX, fromY) = (y, x)
      case 6: (fromX, fromY) = (y, width - 1 - x)
      case 7: (fromX, fromY) = (height - 1 - y, width - 1 - x)
      default: (fromX, fromY) = (height - 1 - y, x)
      }
      for channel in 0..<channels {
        turned.pixels[(y * width + x) * channels + channel] = picture.pixels[(fromY * picture.width + fromX) * channels + channel]
      }
    }
  }
  return turned
}
