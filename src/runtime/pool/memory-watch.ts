// Whether memory grows with predictions: by the lines through the samples of the last minutes, half hour and hours.

import { SlopeWindow } from "../../core/slope.ts";

export interface MemoryGrowth {
  readonly growthBytes: number;
  readonly predictions: number;
  readonly bytesPerPrediction: number;
}

/** Each looks at every so many samples. */
const scales = [1, 8, 64];
const samplesPerScale = 120;
/** Fewer prove nothing. */
const minimumSamples = 15;
/** Memory that rises in one step, as for a first larger input, reaches 0.75; a line through noise of a tenth of its rise 0.9. */
const minimumFit = 0.8;

/** Of one process, or of one load of a model. */
export class MemoryWatch {
  readonly #limitBytes: number;
  readonly #windows = scales.map((every) => ({
    every,
    window: new SlopeWindow({ capacity: samplesPerScale, minimumStep: 1 }),
  }));
  #samples = 0;
  #lastPredictions = -1;

  /** `limitBytes`: growth that is put up with. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Takes a sample. Gives the growth where it is steady and above the limit. Samples without new predictions are left out. */
  add(predictions: number, bytes: number): MemoryGrowth | undefined {
    if (predictions <= this.#lastPredictions) return undefined;
    this.#lastPredictions = predictions;
    const sample = this.#samples++;
    for (const { every, window } of this.#windows) if (sample % every === 0) window.add(predictions, bytes);
    for (const { window } of this.#windows) {
      const slope = window.slope ?? 0;
      const growthBytes = slope * window.span;
      if (window.count >= minimumSamples && growthBytes > this.#limitBytes && window.fit >= minimumFit) {
        return { growthBytes, predictions: window.span, bytesPerPrediction: slope };
      }
    }
    return undefined;
  }
}
