// Numbers as people read them: few digits, and each with its unit.

/** Three digits, in the unit that suits. */
export function formatLatency(ms: number): string {
  const rounded = Number(ms.toPrecision(3));
  const [value, unit] =
    rounded >= 1_000 ? [rounded / 1_000, "s"] : rounded >= 1 ? [rounded, "ms"] : [rounded * 1_000, "µs"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

export function formatMs(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** 1 h 05 min, 5 min 30 s, 2.5 s */
export function formatTime(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  if (hours > 0) return `${hours} h ${two(minutes)} min`;
  if (minutes > 0) return `${minutes} min ${two(seconds % 60)} s`;
  return `${(ms / 1_000).toFixed(1)} s`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function formatSignedBytes(bytes: number): string {
  return `${bytes < 0 ? "-" : "+"}${formatBytes(Math.abs(bytes))}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

export function formatRate(rate: number): string {
  return rate >= 100 ? formatCount(Math.round(rate)) : rate.toPrecision(3);
}

/** Enough digits that 99.99 % is not 100 %. */
export function formatShare(share: number): string {
  return `${Number((share * 100).toPrecision(6))} %`;
}
