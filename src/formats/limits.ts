// Every bound that protects us from a hostile file, in one place, and the options with which a model is opened.

import type { Telemetry } from "../core/telemetry.ts";

export interface FormatLimits {
  /** Manifest.json of a package; real ones have about 600 bytes. */
  readonly maxManifestBytes: number;
  readonly maxManifestItems: number;
  /** Files and folders below one manifest item, or in a compiled model. */
  readonly maxFolderEntries: number;
  readonly maxFolderDepth: number;
  /** A serialized `Model`. Protobuf itself ends at 2 GiB. */
  readonly maxModelBytes: number;
  /** model.mil, the text of a compiled program. */
  readonly maxProgramTextBytes: number;
  readonly maxWeightFileBytes: number;
  /** Levels of protobuf messages, counted as Apple's reader does (a map entry is a level); its own bound is 100. */
  readonly maxNesting: number;
  /**
   * Messages, strings and varint list elements of one `Model`: what a few bytes can blow up into objects. A forest of
   * four million nodes fits.
   */
  readonly maxDecodedItems: number;
  /** Below this many of them nobody asks how many bytes they take. */
  readonly minDecodedItems: number;
  /** Beyond, a file must have so many bytes for each: programs have 5; an object costs 450 bytes and 0.8 µs (measured). */
  readonly minBytesPerItem: number;
  /** Pipelines inside pipelines. */
  readonly maxPipelineDepth: number;
  readonly maxPipelineStages: number;
  readonly maxFunctions: number;
  /** Inputs, outputs or states of one function. */
  readonly maxFeatures: number;
  readonly maxNameLength: number;
  readonly maxRank: number;
  /** One axis of a shape. */
  readonly maxDimension: number;
  /** Product of the axes of a declared shape or of a constant. */
  readonly maxTensorElements: number;
  /** Operations of one function, nested blocks included. */
  readonly maxOperations: number;
  /** Blocks inside blocks (`cond`, `while_loop`). */
  readonly maxBlockDepth: number;
}

export const defaultLimits: FormatLimits = {
  maxManifestBytes: 1 << 20,
  maxManifestItems: 1000,
  maxFolderEntries: 10_000,
  maxFolderDepth: 32,
  maxModelBytes: 2 ** 31 - 1,
  maxProgramTextBytes: 2 ** 28,
  maxWeightFileBytes: 2 ** 38,
  maxNesting: 100,
  maxDecodedItems: 10_000_000,
  minDecodedItems: 1_000_000,
  minBytesPerItem: 4,
  maxPipelineDepth: 8,
  maxPipelineStages: 1000,
  maxFunctions: 1000,
  maxFeatures: 10_000,
  maxNameLength: 65_536,
  maxRank: 32,
  maxDimension: 2 ** 31 - 1,
  maxTensorElements: 2 ** 35,
  maxOperations: 1_000_000,
  maxBlockDepth: 32,
};

/** The newest specification version, and the opset that came with it, that this reader knows. */
export const newestSpecificationVersion = 10;

export interface OpenOptions {
  /** Single bounds to replace. */
  readonly limits?: Partial<FormatLimits> | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** Accept symbolic and hard links that lead out of the model's folder (download caches are made of them). Default: refuse. */
  readonly allowOutsideLinks?: boolean | undefined;
}

export function limitsOf(options: OpenOptions | undefined): FormatLimits {
  return { ...defaultLimits, ...options?.limits };
}
