#!/bin/sh
# On a Mac: builds libcoremlx, signs it and ONNX Runtime with a Developer ID, embeds both, and signs the executable. Leaves all three
# in dist/signed. The hardened runtime refuses libraries of another team, so they are signed before they are embedded.
# Usage: sh scripts/sign-mac.sh "Developer ID Application: …"; "-" signs ad hoc, to try it.
set -eu
cd "$(dirname "$0")/.."

identity=${1:?"Usage: sh scripts/sign-mac.sh IDENTITY"}
signed=dist/signed
timestamp=--timestamp
[ "$identity" != - ] || timestamp=--timestamp=none

rm -rf "$signed"
mkdir -p "$signed"
swift build -c release
cp .build/release/libcoremlx.dylib "$signed/libcoremlx.dylib"
cp node_modules/onnxruntime-node/bin/napi-v6/darwin/arm64/libonnxruntime.1.dylib "$signed/libonnxruntime.dylib"
for library in libcoremlx libonnxruntime; do
  codesign --force --sign "$identity" "$timestamp" "$signed/$library.dylib"
  codesign --verify --strict --verbose=2 "$signed/$library.dylib"
done

bun scripts/build.ts --target darwin-arm64 --coreml "$signed/libcoremlx.dylib" --onnxruntime "$signed/libonnxruntime.dylib"
# A copy: a signed file that is written over in place is killed at its next start.
cp dist/coremlx "$signed/coremlx.unsigned"
codesign --force --sign "$identity" --identifier coremlx --options runtime "$timestamp" \
  --entitlements scripts/entitlements.plist "$signed/coremlx.unsigned"
mv "$signed/coremlx.unsigned" "$signed/coremlx"
codesign --verify --strict --verbose=2 "$signed/coremlx"
bun scripts/macho.ts "$signed/coremlx"
