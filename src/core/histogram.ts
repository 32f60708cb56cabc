// Quantiles of very many numbers in little memory: counts in log-linear buckets, read from the numbers' own bits. Every
// quantile is within 1 % of a number that was added (0.8 %, half a bucket). Independent of the unit.

import { CoremlxError } from "./errors.ts";

/** What survives JSON. `buckets` holds only those with a count, as [index, count], by ascending index. */
export interface HistogramJson {
  readonly layout: typeof layout;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly buckets: readonly (readonly [index: number, count: number])[];
}

/** Names the arithmetic below; changes when buckets do. */
const layout = "log2/64:-20..44";
const subBucketBits = 6;
const lowestExponent = -20;
const highestExponent = 44;
const bucketCount = (highestExponent - lowestExponent) * 2 ** subBucketBits;

/** What lies below counts as it, above likewise; `min`, `max` and `sum` stay exact. */
export const lowestTracked: number = 2 ** lowestExponent;
export const highestTracked: number = 2 ** highestExponent;

const exponentBias = 1023;
const mantissaBitsInHighWord = 20;
const firstCode = (lowestExponent + exponentBias) << subBucketBits;

/** Takes 32 KiB, whatever it is given. Invariant: `count` is the sum of the buckets. */
export class QuantileHistogram {
  readonly #counts = new Float64Array(new ArrayBuffer(bucketCount * 8));
  readonly #value = new Float64Array(new ArrayBuffer(8));
  readonly #words = new Uint32Array(this.#value.buffer);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  get count(): number {
    return this.#count;
  }
  get sum(): number {
    return this.#sum;
  }
  /** 0 when empty, as the other three. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }
  get max(): number {
    return this.#count === 0 ? 0 : this.#max;
  }

  /** Counts `value` that many times. NaN, infinities and negative numbers are no measurements and are ignored. */
  add(value: number, times = 1): void {
    if (!(value >= 0) || value === Number.POSITIVE_INFINITY) return;
    const index = this.#indexOf(value);
    this.#counts[index] = (this.#counts[index] ?? 0) + times;
    this.#count += times;
    this.#sum += value * times;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** The smallest number that `share` (0 to 1) of all numbers do not exceed, within 1 %; 0 when empty. */
  quantile(share: number): number {
    return this.quantiles([share])[0] ?? 0;
  }

  /** Several at once, for the price of one walk over the buckets. In the order asked for. */
  quantiles(shares: readonly number[]): number[] {
    const found = shares.map(() => this.max);
    const wanted = shares
      .map((share, at) => ({ at, rank: Math.max(1, Math.ceil(share * this.#count)) }))
      .sort((left, right) => left.rank - right.rank);
    let seen = 0;
    let next = 0;
    for (let index = 0; index < bucketCount && next < wanted.length; index++) {
      seen += this.#counts[index] ?? 0;
      for (let want = wanted[next]; want !== undefined && want.rank <= seen; want = wanted[++next]) {
        found[want.at] = Math.min(Math.max(middleOf(index), this.#min), this.#max);
      }
    }
    return found;
  }

  /** Takes over another's numbers. */
  merge(other: QuantileHistogram): void {
    for (let index = 0; index < bucketCount; index++) {
      this.#counts[index] = (this.#counts[index] ?? 0) + (other.#counts[index] ?? 0);
    }
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#sum = 0;
    this.#min = Number.POSITIVE_INFINITY;
    this.#max = Number.NEGATIVE_INFINITY;
  }

  toJSON(): HistogramJson {
    const buckets: [number, number][] = [];
    this.#counts.forEach((count, index) => {
      if (count > 0) buckets.push([index, count]);
    });
    return { layout, count: this.#count, sum: this.#sum, min: this.min, max: this.max, buckets };
  }

  /** Throws BAD_INPUT for anything that `toJSON` cannot have made. */
  static fromJSON(value: unknown): QuantileHistogram {
    const json = typeof value === "object" && value !== null ? (value as Partial<HistogramJson>) : {};
    if (json.layout !== layout) throw bad(`its layout is ${JSON.stringify(json.layout)}, not "${layout}"`);
    if (!Array.isArray(json.buckets)) throw bad("it has no list of buckets");
    const histogram = new QuantileHistogram();
    let before = -1;
    for (const pair of json.buckets as readonly unknown[]) {
      if (!Array.isArray(pair) || pair.length !== 2) throw bad("a bucket is no pair of index and count");
      const [index, count] = pair as readonly unknown[];
      if (!isWhole(index) || index >= bucketCount || index <= before) {
        throw bad(`index ${String(index)} follows ${before}`);
      }
      if (!isWhole(count) || count === 0) throw bad(`bucket ${index} has the count ${String(count)}`);
      histogram.#counts[index] = count;
      histogram.#count += count;
      before = index;
    }
    if (histogram.#count !== json.count) {
      throw bad(`its buckets hold ${histogram.#count} numbers, its count is ${json.count}`);
    }
    if (histogram.#count === 0) return histogram;
    histogram.#sum = measurement(json.sum, "sum");
    histogram.#min = measurement(json.min, "min");
    histogram.#max = measurement(json.max, "max");
    if (histogram.#min > histogram.#max) throw bad(`its min ${json.min} is above its max ${json.max}`);
    return histogram;
  }

  /** The exponent and the first bits of the mantissa, which lie together in the number's high word (the second: every platform of ours is little-endian). */
  #indexOf(value: number): number {
    if (value < lowestTracked) return 0;
    if (value >= highestTracked) return bucketCount - 1;
    this.#value[0] = value;
    return ((this.#words[1] ?? 0) >>> (mantissaBitsInHighWord - subBucketBits)) - firstCode;
  }
}

function middleOf(index: number): number {
  const sub = index % 2 ** subBucketBits;
  const exponent = (index - sub) / 2 ** subBucketBits + lowestExponent;
  return 2 ** exponent * (1 + (sub + 0.5) / 2 ** subBucketBits);
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function measurement(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw bad(`its ${name} is ${JSON.stringify(value)}`);
}

function bad(why: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot read a histogram: ${why}`);
}
