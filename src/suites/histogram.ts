// Durations counted in buckets that grow with the value: memory stays the same for ten of them and for ten billion.

/** Each power of two is divided into this many buckets, so that a value is known to 1 part in 512. */
const bucketsPerOctave = 256;
const bucketBits = 8;
const octaves = 36;
/** About 4.9 hours in nanoseconds; more counts as that. */
const mostNs = 2 ** (octaves + bucketBits) - 1;
const nsPerMs = 1e6;

export interface Bucket {
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

/** Count, smallest, greatest and sum are exact; quantiles are to 0.2 %, or to half a nanosecond. */
export class Histogram {
  readonly #counts = new Uint32Array((octaves + 1) * bucketsPerOctave);
  #count = 0;
  #sumMs = 0;
  #leastMs = Number.POSITIVE_INFINITY;
  #mostMs = 0;

  get count(): number {
    return this.#count;
  }
  /** NaN while empty, as are `leastMs`, `mostMs` and the quantiles. */
  get meanMs(): number {
    return this.#sumMs / this.#count;
  }
  get leastMs(): number {
    return this.#count === 0 ? Number.NaN : this.#leastMs;
  }
  get mostMs(): number {
    return this.#count === 0 ? Number.NaN : this.#mostMs;
  }

  /** Less than nothing counts as nothing. */
  add(valueMs: number): void {
    const value = Math.max(0, valueMs);
    const index = indexOf(Math.min(mostNs, Math.round(value * nsPerMs)));
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count++;
    this.#sumMs += value;
    if (value < this.#leastMs) this.#leastMs = value;
    if (value > this.#mostMs) this.#mostMs = value;
  }

  /** The smallest recorded value that `at` of all values do not exceed (nearest rank). */
  quantile(at: number): number {
    const rank = Math.min(this.#count, Math.max(1, Math.ceil(at * this.#count)));
    if (rank === 1) return this.leastMs;
    if (rank === this.#count) return this.mostMs;
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index] ?? 0;
      if (seen < rank) continue;
      const middleMs = (lowerNs(index) + lowerNs(index + 1) - 1) / 2 / nsPerMs;
      return Math.min(this.#mostMs, Math.max(this.#leastMs, middleMs));
    }
    return this.mostMs;
  }

  /** The buckets that hold something, from the smallest on. */
  buckets(): Bucket[] {
    const found: Bucket[] = [];
    this.#counts.forEach((count, index) => {
      if (count > 0)
        found.push({ fromMs: lowerNs(index) / nsPerMs, toMs: lowerNs(index + 1) / nsPerMs, count });
    });
    return found;
  }

  addAll(other: Histogram): void {
    other.#counts.forEach((count, index) => (this.#counts[index] = (this.#counts[index] ?? 0) + count));
    this.#count += other.#count;
    this.#sumMs += other.#sumMs;
    this.#leastMs = Math.min(this.#leastMs, other.#leastMs);
    this.#mostMs = Math.max(this.#mostMs, other.#mostMs);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#sumMs = 0;
    this.#leastMs = Number.POSITIVE_INFINITY;
    this.#mostMs = 0;
  }
}

/** Up to 511 ns one bucket each, then 256 for every doubling. */
function indexOf(ns: number): number {
  if (ns < 2 * bucketsPerOctave) return ns;
  const shift = Math.floor(Math.log2(ns)) - bucketBits;
  return shift * bucketsPerOctave + Math.floor(ns / 2 ** shift);
}

/** The smallest value of a bucket. */
function lowerNs(index: number): number {
  if (index < 2 * bucketsPerOctave) return index;
  const shift = Math.floor(index / bucketsPerOctave) - 1;
  return (index - shift * bucketsPerOctave) * 2 ** shift;
}
