// JSON as text: what a person pasted goes to the server digit for digit, and long integers come back whole.

const tokens = /"(?:[^"\\]|\\.)*"|[\s[\]]+/g;

/** All values of nested lists in one list, as text. `text` must be JSON without objects. */
export function flattenJson(text: string): string {
  const inner = text.replace(tokens, (token) => (token.startsWith('"') ? token : ""));
  // Empty lists leave nothing between their commas.
  return `[${inner
    .split(/("(?:[^"\\]|\\.)*")/)
    .map(dropEmptyItems)
    .join("")
    .replace(/^,+|,+$/g, "")}]`;
}

function dropEmptyItems(piece: string): string {
  return piece.startsWith('"') ? piece : piece.replaceAll(/,{2,}/g, ",");
}

/** The sizes of nested lists, [] for a single value. Undefined where lists side by side differ in size. */
export function shapeOfNested(value: unknown): readonly number[] | undefined {
  if (!Array.isArray(value)) return [];
  const [first, ...others] = value.map(shapeOfNested);
  if (first === undefined) return value.length === 0 ? [0] : undefined;
  const isEven = others.every((other) => other?.join() === first.join());
  return isEven ? [value.length, ...first] : undefined;
}

/** How many values nested lists hold. */
export function countValues(value: unknown): number {
  return Array.isArray(value) ? value.reduce<number>((sum, item) => sum + countValues(item), 0) : 1;
}

/** As JSON.parse, but whole numbers that a double cannot hold become bigints, where the browser tells their digits. */
export function parseWholly(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context?.source;
    return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}
