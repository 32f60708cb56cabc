// Memory over a long run: how much more there is at the end than at the start, and how fast it grows.

import { mean, median, type Interval, studentQuantile } from "../stats.ts";

export interface MemoryPoint {
  readonly atMs: number;
  readonly bytes: number;
}

const msPerHour = 3_600_000;

/**
 * Bytes an hour, with the interval of the slope. Each process starts at a level of its own, so every one has a line of its
 * own and all lines the same slope. The points should be medians of blocks: what follows closely is not independent.
 * `undefined` where there are too few points.
 */
export function fitMemorySlope(
  processes: readonly (readonly MemoryPoint[])[],
  confidence = 0.95,
): Interval | undefined {
  const lines = processes.filter((points) => points.length > 0);
  let [xx, xy, yy, count] = [0, 0, 0, 0];
  for (const points of lines) {
    const centerX = mean(points.map(({ atMs }) => atMs));
    const centerY = mean(points.map(({ bytes }) => bytes));
    for (const { atMs, bytes } of points) {
      const [x, y] = [(atMs - centerX) / msPerHour, bytes - centerY];
      xx += x * x;
      xy += x * y;
      yy += y * y;
    }
    count += points.length;
  }
  const degrees = count - lines.length - 1;
  if (degrees < 1 || xx === 0) return undefined;
  const estimate = xy / xx;
  const residues = Math.max(0, yy - estimate * xy);
  const reach = studentQuantile(0.5 + confidence / 2, degrees) * Math.sqrt(residues / degrees / xx);
  return { estimate, low: estimate - reach, high: estimate + reach, confidence };
}

/** The last tenth of the points against the first, by their medians; of the process that has grown most. */
export function measureGrowth(processes: readonly (readonly MemoryPoint[])[]): number | undefined {
  const growths = processes
    .filter((points) => points.length > 1)
    .map((points) => {
      const few = Math.max(1, Math.floor(points.length / 10));
      const levelOf = (part: readonly MemoryPoint[]) => median(part.map(({ bytes }) => bytes));
      return levelOf(points.slice(-few)) - levelOf(points.slice(0, few));
    });
  return growths.length === 0 ? undefined : Math.max(...growths);
}
