// Stands in for the part of CoreGraphics that coremlx uses, on Linux only: images that are already decoded, drawn
// into bitmaps of their own size.
import Foundation

public typealias CFString = NSString

public enum CGColorSpaceModel: Int32, Sendable {
  case monochrome = 0
  case rgb = 1
}

public final class CGColorSpace: Sendable {
  public let model: CGColorSpaceModel
  init(model: CGColorSpaceModel) { self.model = model }
  public init?(name: CFString) {
    switch name {
    case CGColorSpace.sRGB: model = .rgb
    case CGColorSpace.genericGrayGamma2_2: model = .monochrome
    default: return nil
    }
  }
  nonisolated(unsafe) public static let sRGB: CFString = "kCGColorSpaceSRGB"
  nonisolated(unsafe) public static let genericGrayGamma2_2: CFString = "kCGColorSpaceGenericGrayGamma2_2"
}

public enum CGImageAlphaInfo: UInt32, Sendable {
  case none = 0
  case noneSkipLast = 5
}

public final class CGImage: Sendable {
  public let width: Int
  public let height: Int
  public let colorSpace: CGColorSpace?
  /// One byte, or three, for each pixel.
  let pixels: [UInt8]

  /// What only the stand-in of ImageIO calls.
  public init(standInWidth width: Int, height: Int, isGray: Bool, pixels: [UInt8]) {
    self.width = width
    self.height = height
    self.pixels = pixels
    colorSpace = CGColorSpace(model: isGray ? .monochrome : .rgb)
  }
}

public final class CGContext {
  private let data: UnsafeMutableRawPointer
  private let bytesPerRow: Int
  private let isGray: Bool

  public init?(data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int, space: CGColorSpace, bitmapInfo: UInt32) {
    let wanted = space.model == .monochrome ? CGImageAlphaInfo.none : .noneSkipLast
    let pixelBytes = space.model == .monochrome ? 1 : 4
    guard let data, bitsPerComponent == 8, bitmapInfo == wanted.rawValue, bytesPerRow >= width * pixelBytes else { return nil }
    self.data = data
    self.bytesPerRow = bytesPerRow
    isGray = space.model == .monochrome
  }

  public func draw(_ image: CGImage, in rect: CGRect) {
    let channels = image.pixels.count / (image.width * image.height)
    for y in 0..<image.height {
      for x in 0..<image.width {
        let from = (y * image.width + x) * channels
        let to = y * bytesPerRow + x * (isGray ? 1 : 4)
        for channel in 0..<(isGray ? 1 : 3) {
          let byte = image.pixels[from + min(channel, channels - 1)]
          data.storeBytes(of: byte, toByteOffset: to + channel, as: UInt8.self)
        }
      }
    }
  }
}
