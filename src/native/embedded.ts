// What lies inside the executable. In the source tree nothing does: scripts/build.ts puts a module with the same
// exports, and paths into the executable, in the place of this one.

/** A shared library carried by the executable, compressed with zstd. */
export interface EmbeddedLibrary {
  /** Where the compressed bytes can be read. */
  readonly path: string;
  /** The file name it gets outside, such as "libonnxruntime.so". */
  readonly name: string;
  /** Of the library itself, in lower-case hexadecimal. */
  readonly sha256: string;
  /** Of the library itself. */
  readonly byteLength: number;
}

/** A licence or notice text of something the executable contains. */
export interface EmbeddedNotice {
  /** "ONNX Runtime: LICENSE" */
  readonly title: string;
  readonly path: string;
}

export const embeddedOnnxRuntime: EmbeddedLibrary | undefined = undefined;

/** In executables that a Mac has built. */
export const embeddedCoreml: EmbeddedLibrary | undefined = undefined;

export const embeddedNotices: readonly EmbeddedNotice[] = [];
