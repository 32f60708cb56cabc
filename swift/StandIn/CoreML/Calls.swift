// The functions of coremlx_try.h, which on a Mac are try.m: the stand-in's objects as plain pointers, its exceptions
// as the text that try.m would have caught.
import CCoremlx
import CoreVideo
import Foundation

private let ok = Int32(CMLX_TRY_OK)
private let failed = Int32(CMLX_TRY_FAILED)
private let raised = Int32(CMLX_TRY_RAISED)

private let queue = DispatchQueue(label: "CoreML", attributes: .concurrent)

private func object<T: AnyObject>(_ pointer: UnsafeMutableRawPointer?, _ type: T.Type) -> T {
  Unmanaged<T>.fromOpaque(pointer!).takeUnretainedValue()
}
private func any<P>(_ pointer: UnsafeMutableRawPointer?, _ type: P.Type) -> P {
  Unmanaged<AnyObject>.fromOpaque(pointer!).takeUnretainedValue() as! P
}
private func own(_ object: AnyObject) -> UnsafeMutableRawPointer { Unmanaged.passRetained(object).toOpaque() }

private func attempt(_ out: UnsafeMutablePointer<cmlx_try>?, _ body: () throws -> AnyObject?) -> Int32 {
  let out = out!
  do {
    out.pointee.result = try body().map(own)
    return ok
  } catch let exception as StandInException {
    out.pointee.raised = strdup("\(exception.name): \(exception.reason)")
    return raised
  } catch {
    out.pointee.failure = own(error as NSError)
    return failed
  }
}

/// On a framework queue an exception ends the process, as it does on a Mac.
private func answer(_ context: UnsafeMutableRawPointer?, _ done: cmlx_try_done?, isEmpty: Bool = false, _ body: @escaping () throws -> AnyObject) {
  nonisolated(unsafe) let context = context
  nonisolated(unsafe) let body = body
  queue.async {
    do {
      let result = try body()
      if isEmpty {
        // try.m makes an error of that.
        done!(context, nil, own(failure(.generic, "Core ML gave neither a result nor an error")))
      } else {
        done!(context, own(result), nil)
      }
    } catch let exception as StandInException {
      fatalError("\(exception.name): \(exception.reason)")
    } catch {
      done!(context, nil, own(error as NSError))
    }
  }
}

@_cdecl("cmlx_try_predict")
public func tryPredict(_ model: UnsafeMutableRawPointer?, _ features: UnsafeMutableRawPointer?, _ state: UnsafeMutableRawPointer?, _ options: UnsafeMutableRawPointer?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    try object(model, MLModel.self).predictBlocking(
      any(features, (any MLFeatureProvider).self), state.map { object($0, MLState.self) }, object(options, MLPredictionOptions.self))
  }
}

@_cdecl("cmlx_try_predict_start")
public func tryPredictStart(_ model: UnsafeMutableRawPointer?, _ features: UnsafeMutableRawPointer?, _ state: UnsafeMutableRawPointer?, _ options: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ done: cmlx_try_done?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let model = object(model, MLModel.self)
    if model.spec.faults?.raiseOnStart == true { throw StandInException(name: "NSInvalidArgumentException", reason: "No such engine.") }
    let features = any(features, (any MLFeatureProvider).self)
    let state = state.map { object($0, MLState.self) }
    let options = object(options, MLPredictionOptions.self)
    answer(context, done, isEmpty: model.spec.faults?.emptyAnswer == true) { try model.predict(features, state, options) }
    return nil
  }
}

@_cdecl("cmlx_try_predict_batch")
public func tryPredictBatch(_ model: UnsafeMutableRawPointer?, _ batch: UnsafeMutableRawPointer?, _ options: UnsafeMutableRawPointer?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    try object(model, MLModel.self).predictBatch(any(batch, (any MLBatchProvider).self), object(options, MLPredictionOptions.self))
  }
}

@_cdecl("cmlx_try_load_start")
public func tryLoadStart(_ url: UnsafeMutableRawPointer?, _ configuration: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ done: cmlx_try_done?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let url = URL(fileURLWithPath: object(url, NSURL.self).path!)
    let configuration = object(configuration, MLModelConfiguration.self)
    if (try? Spec.read(url))?.faults?.loadRaises == true { throw StandInException(name: "NSGenericException", reason: "No engine.") }
    answer(context, done) { try MLModel(url, configuration) }
    return nil
  }
}

@_cdecl("cmlx_try_compile_start")
public func tryCompileStart(_ url: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ done: cmlx_try_done?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let url = URL(fileURLWithPath: object(url, NSURL.self).path!)
    answer(context, done) { NSURL(fileURLWithPath: try MLModel.compile(url).path) }
    return nil
  }
}

@_cdecl("cmlx_try_asset")
public func tryAsset(_ url: UnsafeMutableRawPointer?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) { try MLModelAsset(URL(fileURLWithPath: object(url, NSURL.self).path!)) }
}

@_cdecl("cmlx_try_asset_description_start")
public func tryAssetDescriptionStart(_ asset: UnsafeMutableRawPointer?, _ function: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ done: cmlx_try_done?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let asset = object(asset, MLModelAsset.self)
    let function = function.map { String(describing: object($0, NSString.self)) }
    answer(context, done) { MLModelDescription(try asset.spec.choosing(function)) }
    return nil
  }
}

@_cdecl("cmlx_try_asset_functions_start")
public func tryAssetFunctionsStart(_ asset: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ done: cmlx_try_done?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let asset = object(asset, MLModelAsset.self)
    answer(context, done) { NSArray(array: (asset.spec.functions ?? [:]).keys.sorted().map { NSString(string: $0) }) }
    return nil
  }
}

@_cdecl("cmlx_try_state_make")
public func tryStateMake(_ model: UnsafeMutableRawPointer?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) { try object(model, MLModel.self).makeState() }
}

@_cdecl("cmlx_try_state_array")
public func tryStateArray(_ state: UnsafeMutableRawPointer?, _ name: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ body: cmlx_try_body?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let name = String(describing: object(name, NSString.self))
    let state = object(state, MLState.self)
    guard let array = state.arrays[name] else { throw StandInException(name: "NSInvalidArgumentException", reason: "No state \(name).") }
    state.enter()
    body!(context, Unmanaged.passUnretained(array).toOpaque())
    state.leave()
    return nil
  }
}

@_cdecl("cmlx_try_surface_array")
public func trySurfaceArray(_ pixels: UnsafeMutableRawPointer?, _ shape: UnsafeMutableRawPointer?, _ out: UnsafeMutablePointer<cmlx_try>?) -> Int32 {
  attempt(out) {
    let shape = object(shape, NSArray.self)
    return try MLMultiArray.over(object(pixels, CVBuffer.self), (0..<shape.count).map { (shape.object(at: $0) as! NSNumber).intValue })
  }
}
