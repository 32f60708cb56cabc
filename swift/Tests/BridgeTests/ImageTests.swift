// Images in and out: every pixel format, strided rows, surfaces, flexible sizes.
import CCoremlx
import CoreML
import CoreVideo
import Foundation
import Testing

@testable import Bridge

let bgra = Int(CMLX_PIXEL_BGRA8)
let gray8 = Int(CMLX_PIXEL_GRAY8)
let gray16f = Int(CMLX_PIXEL_GRAY16F)
let rgb8 = Int(CMLX_PIXEL_RGB8)

/// An image of 3 x 2 in, the same out.
func picture(_ format: String, _ more: String = "\"scale\":1") -> String {
  "{\"inputs\":[{\"name\":\"i\",\"type\":\"image\",\"format\":\"\(format)\",\"width\":3,\"height\":2}],\"outputs\":[{\"name\":\"o\",\"type\":\"image\",\"format\":\"\(format)\",\"width\":3,\"height\":2}],\(more)}"
}

extension All {
  @Suite struct Images {
    let rgb = Memory<UInt8>((0..<18).map { UInt8($0 * 10) })
    var bgraOfRgb: [UInt8] {
      let bytes = rgb.values
      return (0..<6).flatMap { pixel -> [UInt8] in [bytes[pixel * 3 + 2], bytes[pixel * 3 + 1], bytes[pixel * 3], 255] }
    }

    @Test func rgbGoesInAndOutOfABgraModel() throws {
      let model = try Model(picture("BGRA"))
      let out = Memory<UInt8>(18, 1)
      let ask = try once(model, [rgb.tensor([2, 3], rgb8)], [out.tensor([2, 3], rgb8)])
      #expect(out.values == rgb.values)
      #expect(ask.outputs[0].flags == UInt32(CMLX_T_COPIED) | UInt32(CMLX_T_CONVERTED))
    }

    @Test func bgraKeepsTheOrderOfItsBytes() throws {
      let model = try Model(picture("BGRA"))
      let input = Memory(bgraOfRgb)
      let out = Memory<UInt8>(24, 1)
      let colors = Memory<UInt8>(18, 1)
      _ = try once(model, [input.tensor([2, 3], bgra)], [out.tensor([2, 3], bgra)])
      _ = try once(model, [input.tensor([2, 3], bgra)], [colors.tensor([2, 3], rgb8)])
      #expect(out.values == bgraOfRgb)
      #expect(colors.values == rgb.values)
    }

    @Test func rowsMayBeFurtherApart() throws {
      let model = try Model(picture("gray8"))
      let input = Memory<UInt8>([1, 2, 3, 99, 99, 4, 5, 6])
      let out = Memory<UInt8>(9, 7)
      _ = try once(model, [input.tensor([2, 3], gray8, strides: [5, 1])], [out.tensor([2, 3], gray8, strides: [6, 1])])
      #expect(out.values == [1, 2, 3, 7, 7, 7, 4, 5, 6])
      let colors = Memory<UInt8>(rgb.values[0..<9] + [0, 0, 0] + rgb.values[9..<18])
      let color = try Model(picture("BGRA"))
      let back = Memory<UInt8>(18, 0)
      _ = try once(color, [colors.tensor([2, 3], rgb8, strides: [4, 0])], [back.tensor([2, 3], rgb8)])
      #expect(back.values == rgb.values)
    }

    @Test func grayHalvesKeepTheirValues() throws {
      let model = try Model(picture("gray16f"))
      let input = Memory<Float16>([0, 0.5, 1, -2, 300, 65504])
      let out = Memory<Float16>(6, 9)
      _ = try once(model, [input.tensor([2, 3], gray16f)], [out.tensor([2, 3], gray16f)])
      #expect(out.values == input.values)
    }

    @Test func surfacesArePassedThroughInPlace() throws {
      for (format, dtype) in [("BGRA", bgra), ("gray8", gray8), ("gray16f", gray16f)] {
        let model = try Model(picture(format))
        let input = try Held.surface(dtype, 3, 2)
        let output = try Held.surface(dtype, 3, 2)
        let ask = try once(model, [input.tensor([2, 3], dtype)], [output.tensor([2, 3], dtype)])
        #expect(ask.outputs[0].flags == UInt32(CMLX_T_IN_PLACE))
        let copied = try Model(picture(format, "\"backing\":\"ignore\""))
        let again = try once(copied, [input.tensor([2, 3], dtype)], [output.tensor([2, 3], dtype)])
        #expect(again.outputs[0].flags == UInt32(CMLX_T_COPIED))
      }
    }

    @Test func aNewBufferHoldsRgbOrWhatIsAskedFor() throws {
      let model = try Model(picture("BGRA"))
      let ask = try once(model, [rgb.tensor([2, 3], rgb8)], [allocated()])
      #expect(ask.outputs[0].dtype == UInt32(rgb8) && ask.outputs[0].axes == [2, 3] && ask.outputs[0].byte_size == 18)
      #expect((0..<18).map { ask.outputs[0].data.load(fromByteOffset: $0, as: UInt8.self) } == rgb.values)
      try check { release(ask.outputs[0].buffer, $0) }
      let other = try once(model, [rgb.tensor([2, 3], rgb8)], [allocated(bgra)])
      #expect(other.outputs[0].numbers(UInt32.self).count == 6)
      #expect((0..<24).map { other.outputs[0].data.load(fromByteOffset: $0, as: UInt8.self) } == bgraOfRgb)
      try check { release(other.outputs[0].buffer, $0) }
    }

    @Test func flexibleImagesComeInTheirOwnSize() throws {
      let model = try Model(
        #"{"inputs":[{"name":"i","type":"image","format":"gray8","width":3,"height":2,"widths":[1,64],"heights":[1,-1]}],"outputs":[{"name":"o","type":"image","format":"gray8","width":3,"height":2,"widths":[1,64],"heights":[1,-1]}],"program":[{"op":"scale","inputs":["i"],"output":"o","by":1}]}"#)
      let input = Memory<UInt8>([1, 2, 3, 4])
      let ask = try once(model, [input.tensor([1, 4], gray8)], [allocated()])
      #expect(ask.outputs[0].axes == [1, 4] && ask.outputs[0].dtype == UInt32(gray8))
      try check { release(ask.outputs[0].buffer, $0) }
      let out = Memory<UInt8>(6, 0)
      var wrong = Ask(model.handle, [input.tensor([1, 4], gray8)], [out.tensor([2, 3], gray8)])
      #expect(try failing { try wrong.run() }.status == Int(CMLX_E_BUFFER_TOO_SMALL))
      #expect(wrong.outputs[0].axes == [1, 4] && wrong.outputs[0].byte_size == 4)
    }

    @Test func aWrongFormatOrSizeIsRefused() throws {
      let model = try Model(picture("gray8"))
      let out = Memory<UInt8>(24, 0)
      let numbers = Floats(6, 0)
      #expect(try failing { try once(model, [rgb.tensor([2, 3], rgb8)], []) }.message == "Cannot predict: input \"i\" is GRAY8, got RGB8")
      #expect(try failing { try once(model, [numbers.tensor([2, 3], f32)], []) }.message == "Cannot predict: input \"i\" is GRAY8, got float32")
      #expect(try failing { try once(model, [rgb.tensor([2, 3], gray8)], [out.tensor([2, 3], rgb8)]) }.message == "Cannot give an image of GRAY8 as RGB8")
      #expect(try failing { try once(model, [rgb.tensor([2, 3], gray8)], [out.tensor([2, 3], i8)]) }.message == "Cannot give \"o\" as int8: it is an image")
      #expect(try failing { try once(model, [rgb.tensor([3, 2], gray8)], []) }.message == "Image i has another size.")
      #expect(try failing { try once(model, [rgb.tensor([2, 3], gray8)], [out.tensor([3, 2], gray8)]) }.message == "Cannot give \"o\" in shape [3, 2]: it has [2, 3]")
      #expect(try failing { try once(model, [rgb.tensor([2, 3], gray8, strides: [2, 1])], []) }.message == "Cannot read an image with strides [2, 1]")
      #expect(try failing { try once(model, [rgb.tensor([1, 2, 3], gray8)], []) }.message == "Cannot read a tensor of GRAY8: its rank is 3")
    }

    @Test func aPixelFormatNobodyKnowsIsNamed() throws {
      let model = try Model(picture("1380401729"))
      let described = try #require((try model.describe()["inputs"] as? [[String: Any]])?.first)
      #expect(described["pixelFormat"] as? String == "0x52474241")
      #expect(try failing { try once(model, [rgb.tensor([2, 3], rgb8)], []) }.message == "Cannot predict: input \"i\" is unknown, got RGB8")
    }

    @Test func imagesLeaveNothingBehind() throws {
      let before = StandInVideo.liveBuffers
      let model = try Model(picture("BGRA"))
      let out = Memory<UInt8>(18, 1)
      let input = Memory(bgraOfRgb)
      for _ in 0..<20 { _ = try once(model, [input.tensor([2, 3], bgra)], [out.tensor([2, 3], rgb8)]) }
      #expect(StandInVideo.liveBuffers == before)
    }

    @Test func withoutSurfacesAnImageIsAnError() throws {
      let model = try Model(picture("BGRA"))
      StandInVideo.isOutOfSurfaces = true
      defer { StandInVideo.isOutOfSurfaces = false }
      #expect(try failing { try once(model, [rgb.tensor([2, 3], rgb8)], []) }.message == "Cannot make a surface of 3 x 2: CoreVideo says -6662")
      let input = try Held.buffer(24)
      #expect(try failing { try once(model, [input.tensor([2, 3], bgra)], []) }.message == "Cannot make an image of 3 x 2: CoreVideo says -6662")
    }
  }
}
