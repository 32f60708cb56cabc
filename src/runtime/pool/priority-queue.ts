// An order of service: higher priority first, equals in the order they came. Joining, being served and leaving early
// cost O(log n); a queue of one priority joins in O(1).

/** What decides whose turn comes first. */
export interface Rank {
  readonly priority: number;
  readonly order: number;
}

/** A place in the queue, to leave by. */
export interface QueuePlace<T> extends Rank {
  readonly item: T;
  /** Where it stands in the heap; -1 once it left. */
  index: number;
}

/** A binary heap. Invariant: nobody stands before their parent, and each place knows its index. */
export class PriorityQueue<T> {
  readonly #heap: QueuePlace<T>[] = [];
  #nextOrder = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** A priority that is no number counts as 0. */
  push(item: T, priority: number): QueuePlace<T> {
    const rank = Number.isNaN(priority) ? 0 : priority;
    const place = { item, priority: rank, order: this.#nextOrder++, index: this.#heap.length };
    this.#heap.push(place);
    this.#rise(place);
    return place;
  }

  /** Whose turn it is. */
  get first(): QueuePlace<T> | undefined {
    return this.#heap[0];
  }

  /** Whose turn it is, taken out. */
  shift(): T | undefined {
    const { first } = this;
    if (first !== undefined) this.remove(first);
    return first?.item;
  }

  /** Back among the others, as if it had not left. */
  restore(place: QueuePlace<T>): void {
    place.index = this.#heap.length;
    this.#heap.push(place);
    this.#rise(place);
  }

  /** Gives false for one that has left before. */
  remove(place: QueuePlace<T>): boolean {
    const { index } = place;
    if (this.#heap[index] !== place) return false;
    const last = this.#heap.pop();
    place.index = -1;
    if (last === undefined || last === place) return true;
    this.#put(last, index);
    this.#rise(last);
    this.#sink(last);
    return true;
  }

  #rise(place: QueuePlace<T>): void {
    for (;;) {
      const parent = this.#heap[(place.index - 1) >> 1];
      if (place.index === 0 || parent === undefined || !isBefore(place, parent)) return;
      this.#swap(place, parent);
    }
  }

  #sink(place: QueuePlace<T>): void {
    for (;;) {
      const left = this.#heap[2 * place.index + 1];
      const right = this.#heap[2 * place.index + 2];
      const child = left && right && isBefore(right, left) ? right : left;
      if (child === undefined || !isBefore(child, place)) return;
      this.#swap(place, child);
    }
  }

  #swap(a: QueuePlace<T>, b: QueuePlace<T>): void {
    const { index } = a;
    this.#put(a, b.index);
    this.#put(b, index);
  }

  #put(place: QueuePlace<T>, index: number): void {
    this.#heap[index] = place;
    place.index = index;
  }
}

export function isBefore(a: Rank, b: Rank): boolean {
  return a.priority === b.priority ? a.order < b.order : a.priority > b.priority;
}
