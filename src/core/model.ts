// A model's interface: what goes in, what comes out, what it remembers. Names follow Core ML's specification.

import type { DType } from "./dtype.ts";

/** The member of the `Model.Type` oneof, spelt as in Model.proto. */
export type ModelKind =
  | "pipelineClassifier"
  | "pipelineRegressor"
  | "pipeline"
  | "glmRegressor"
  | "supportVectorRegressor"
  | "treeEnsembleRegressor"
  | "neuralNetworkRegressor"
  | "bayesianProbitRegressor"
  | "glmClassifier"
  | "supportVectorClassifier"
  | "treeEnsembleClassifier"
  | "neuralNetworkClassifier"
  | "kNearestNeighborsClassifier"
  | "neuralNetwork"
  | "itemSimilarityRecommender"
  | "mlProgram"
  | "customModel"
  | "linkedModel"
  | "classConfidenceThresholding"
  | "oneHotEncoder"
  | "imputer"
  | "featureVectorizer"
  | "dictVectorizer"
  | "scaler"
  | "categoricalMapping"
  | "normalizer"
  | "arrayFeatureExtractor"
  | "nonMaximumSuppression"
  | "identity"
  | "textClassifier"
  | "wordTagger"
  | "visionFeaturePrint"
  | "soundAnalysisPreprocessing"
  | "gazetteer"
  | "wordEmbedding"
  | "audioFeaturePrint"
  | "serializedModel";

/** Inclusive bounds of one axis; `upper` undefined means unbounded. */
export interface SizeRange {
  readonly lower: number;
  readonly upper: number | undefined;
}

export type ShapeConstraint =
  | { readonly kind: "fixed" }
  | { readonly kind: "enumerated"; readonly shapes: readonly (readonly number[])[] }
  | { readonly kind: "range"; readonly axes: readonly SizeRange[] };

export interface MultiArrayType {
  readonly kind: "multiArray";
  readonly dtype: DType;
  /** The default shape; empty where an output does not declare one. */
  readonly shape: readonly number[];
  readonly constraint: ShapeConstraint;
  /** What a missing optional input is filled with. */
  readonly defaultValue: number | undefined;
}

export type ColorSpace = "GRAYSCALE" | "RGB" | "BGR" | "GRAYSCALE_FLOAT16";

export interface ImageType {
  readonly kind: "image";
  readonly width: number;
  readonly height: number;
  readonly colorSpace: ColorSpace;
  /** Shapes are [height, width]. */
  readonly constraint: ShapeConstraint;
}

/** Three channels; the others have one, and no axis for it. */
export function isColor({ colorSpace }: Pick<ImageType, "colorSpace">): boolean {
  return colorSpace === "RGB" || colorSpace === "BGR";
}

/** Of the elements of a picture. */
export function pictureDType({ colorSpace }: Pick<ImageType, "colorSpace">): "float16" | "uint8" {
  return colorSpace === "GRAYSCALE_FLOAT16" ? "float16" : "uint8";
}

export type FeatureType =
  | { readonly kind: "int64" }
  | { readonly kind: "double" }
  | { readonly kind: "string" }
  | ImageType
  | MultiArrayType
  | { readonly kind: "dictionary"; readonly key: "int64" | "string" }
  | { readonly kind: "sequence"; readonly element: "int64" | "string"; readonly size: SizeRange }
  | { readonly kind: "state"; readonly array: MultiArrayType };

export interface FeatureDescription {
  readonly name: string;
  readonly description: string;
  readonly type: FeatureType;
  readonly isOptional: boolean;
}

export interface FunctionDescription {
  readonly name: string;
  readonly inputs: readonly FeatureDescription[];
  readonly outputs: readonly FeatureDescription[];
  readonly states: readonly FeatureDescription[];
  /** Classifier: the label output; regressor: the value output. */
  readonly predictedFeatureName: string | undefined;
  /** Classifier: the dictionary output of label to probability. */
  readonly predictedProbabilitiesName: string | undefined;
}

export interface ModelMetadata {
  readonly description: string;
  readonly version: string;
  readonly author: string;
  readonly license: string;
  readonly userDefined: ReadonlyMap<string, string>;
}

export type ClassLabels = readonly string[] | readonly bigint[];

export interface ModelDescription {
  readonly kind: ModelKind;
  readonly specificationVersion: number;
  /** Never empty; a model without functions of its own has one called "main". */
  readonly functions: readonly FunctionDescription[];
  readonly defaultFunction: string;
  readonly metadata: ModelMetadata;
  readonly isUpdatable: boolean;
  /** Labels of a classifier, or of a detector that names its classes. */
  readonly classLabels: ClassLabels | undefined;
}
