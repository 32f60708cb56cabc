// "Did you mean": the nearest known name to one that is not known.

/** A hint for an unknown name: the nearest of `known`, else all of them (up to ten), introduced by `lead`. */
export function suggest(name: string, known: readonly string[], lead: string): string {
  const near = nearest(name, known);
  if (near !== undefined) return `Did you mean "${near}"?`;
  const shown = known.slice(0, 10).map((candidate) => `"${candidate}"`);
  if (known.length > shown.length) shown.push("…");
  return known.length === 0 ? `${lead}: none` : `${lead}: ${shown.join(", ")}`;
}

/** The candidate at the smallest edit distance, where that is at most a third of the name's length (at least 1). */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(name.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Optimal string alignment distance (insert, delete, replace, swap neighbours), or `bound` once it cannot be smaller. */
function editDistance(a: string, b: string, bound: number): number {
  if (Math.abs(a.length - b.length) >= bound || Math.max(a.length, b.length) > 200) return bound;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let distance = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + cost,
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, (beforePrevious[column - 2] ?? 0) + 1);
      }
      current.push(distance);
    }
    [beforePrevious, previous] = [previous, current];
  }
  return previous[b.length] ?? bound;
}
