// Apple's chips for Macs: what each comes with, and how many predictions at once are a sensible start.
// Core counts: Apple's technical specifications of the Macs with these chips, and the recorded machines of the tests.

export interface Chip {
  readonly generation: number;
  /** "" for the plain one. */
  readonly variant: string;
}

export interface ChipFacts {
  /** Cores of each kind, the fastest first, of every version that is sold. */
  readonly cpu: readonly (readonly number[])[];
  /** Likewise. */
  readonly gpu: readonly number[];
  readonly neuralEngine: number;
}

/** Instances of one model: where nobody says, and where a search ends. */
export interface PoolDefaults {
  readonly usual: number;
  readonly most: number;
}

const table: Readonly<Record<string, ChipFacts>> = {
  M1: { cpu: [[4, 4]], gpu: [7, 8], neuralEngine: 16 },
  "M1 Pro": {
    cpu: [
      [6, 2],
      [8, 2],
    ],
    gpu: [14, 16],
    neuralEngine: 16,
  },
  "M1 Max": { cpu: [[8, 2]], gpu: [24, 32], neuralEngine: 16 },
  "M1 Ultra": { cpu: [[16, 4]], gpu: [48, 64], neuralEngine: 32 },
  M2: { cpu: [[4, 4]], gpu: [8, 10], neuralEngine: 16 },
  "M2 Pro": {
    cpu: [
      [6, 4],
      [8, 4],
    ],
    gpu: [16, 19],
    neuralEngine: 16,
  },
  "M2 Max": { cpu: [[8, 4]], gpu: [30, 38], neuralEngine: 16 },
  "M2 Ultra": { cpu: [[16, 8]], gpu: [60, 76], neuralEngine: 32 },
  M3: { cpu: [[4, 4]], gpu: [8, 10], neuralEngine: 16 },
  "M3 Pro": {
    cpu: [
      [5, 6],
      [6, 6],
    ],
    gpu: [14, 18],
    neuralEngine: 16,
  },
  "M3 Max": {
    cpu: [
      [10, 4],
      [12, 4],
    ],
    gpu: [30, 40],
    neuralEngine: 16,
  },
  "M3 Ultra": {
    cpu: [
      [20, 8],
      [24, 8],
    ],
    gpu: [60, 80],
    neuralEngine: 32,
  },
  M4: {
    cpu: [
      [4, 4],
      [4, 6],
    ],
    gpu: [8, 10],
    neuralEngine: 16,
  },
  "M4 Pro": {
    cpu: [
      [8, 4],
      [10, 4],
    ],
    gpu: [16, 20],
    neuralEngine: 16,
  },
  "M4 Max": {
    cpu: [
      [10, 4],
      [12, 4],
    ],
    gpu: [32, 40],
    neuralEngine: 16,
  },
  M5: { cpu: [[4, 6]], gpu: [8, 10], neuralEngine: 16 },
  // From here on the fastest cores are called "Super", and the Pro and Max have none for efficiency.
  "M5 Pro": {
    cpu: [
      [5, 10],
      [6, 12],
    ],
    gpu: [16, 20],
    neuralEngine: 16,
  },
  "M5 Max": { cpu: [[6, 12]], gpu: [32, 40], neuralEngine: 16 },
};

export const knownChips: readonly string[] = Object.keys(table);

/** "Apple M4 Pro"; `undefined` for processors that are none of Apple's, and for "Apple processor". */
export function parseChip(brand: string): Chip | undefined {
  const match = /^(?:Apple )?M(\d{1,2})(?: (Pro|Max|Ultra))?(?: \(Virtual\))?$/.exec(brand.trim());
  if (match === null) return undefined;
  return { generation: Number(match[1]), variant: match[2] ?? "" };
}

/** What a guest of macOS's own virtualisation says. */
export function isVirtualBrand(brand: string): boolean {
  return brand.includes("(Virtual)");
}

/** "M4 Pro" */
export function nameChip({ generation, variant }: Chip): string {
  return variant === "" ? `M${generation}` : `M${generation} ${variant}`;
}

/** `undefined` for chips newer than this table. */
export function factsOf(chip: Chip): ChipFacts | undefined {
  const name = nameChip(chip);
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Chips newer than this table count as the newest in it. */
export function poolDefaultsOf({ generation }: Chip): PoolDefaults {
  return generation < 3 ? { usual: 2, most: 3 } : { usual: 3, most: 4 };
}
