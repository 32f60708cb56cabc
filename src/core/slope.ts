// How fast a measurement grows: the least-squares line through the last points.

/** Keeps the newest `capacity` points. x must not go down: time, or the number of predictions. */
export class SlopeWindow {
  readonly #capacity: number;
  readonly #minimumStep: number;
  readonly #points: { readonly x: number; readonly y: number }[] = [];

  /** Points closer than `minimumStep` to the one before are not kept. */
  constructor(options: { readonly capacity?: number; readonly minimumStep?: number } = {}) {
    this.#capacity = Math.max(2, options.capacity ?? 120);
    this.#minimumStep = options.minimumStep ?? 0;
  }

  get count(): number {
    return this.#points.length;
  }

  /** From the first kept x to the last; 0 with fewer than two points. */
  get span(): number {
    return (this.#points.at(-1)?.x ?? 0) - (this.#points[0]?.x ?? 0);
  }

  add(x: number, y: number): void {
    const last = this.#points.at(-1);
    if (last !== undefined && x - last.x < this.#minimumStep) return;
    this.#points.push({ x, y });
    if (this.#points.length > this.#capacity) this.#points.shift();
  }

  clear(): void {
    this.#points.length = 0;
  }

  /** y per x; undefined while all points share one x, or there are none. */
  get slope(): number | undefined {
    const { products, squaresX } = this.#sums();
    return squaresX > 0 ? products / squaresX : undefined;
  }

  /**
   * How much of the points' spread the line explains (R²), 0 to 1: 1 for points on a line, at most 0.75 for one step
   * between two levels. 0 where there is no line or no spread.
   */
  get fit(): number {
    const { products, squaresX, squaresY } = this.#sums();
    return squaresX > 0 && squaresY > 0 ? products ** 2 / (squaresX * squaresY) : 0;
  }

  #sums() {
    const { length } = this.#points;
    const meanX = this.#points.reduce((sum, { x }) => sum + x, 0) / length;
    const meanY = this.#points.reduce((sum, { y }) => sum + y, 0) / length;
    let [products, squaresX, squaresY] = [0, 0, 0];
    for (const { x, y } of this.#points) {
      products += (x - meanX) * (y - meanY);
      squaresX += (x - meanX) ** 2;
      squaresY += (y - meanY) ** 2;
    }
    return { products, squaresX, squaresY };
  }
}
