// Which coremlx this is. scripts/build.ts puts a module with the same exports, and the build's facts, in its place.

import packageJson from "../../package.json" with { type: "json" };

export const version: string = packageJson.version;

/** The ONNX Runtime that comes with it. */
export const onnxruntimeVersion: string = packageJson.devDependencies["onnxruntime-node"];

/** The commit it was built from, with "-dirty" when files differed; undefined in the source tree. */
export const commit: string | undefined = undefined;

/** When that commit was made, in ISO 8601: the same sources give the same executable. */
export const commitDate: string | undefined = undefined;

/** Of the sources below the runtime, in hexadecimal: what a compiled graph depends on. undefined in the source tree. */
export const sourceDigest: string | undefined = undefined;
