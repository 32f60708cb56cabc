// What macOS's own programs print about a Mac, read into values. Their text is another system's, and may be anything:
// what does not look as expected is left out.

/** Values by name, of `sysctl NAME…`. */
export function parseSysctl(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^\s*([a-z][\w.]*): (.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values.set(name, value.trim());
  }
  return values;
}

export interface SystemVersion {
  readonly osVersion: string | undefined;
  readonly osBuild: string | undefined;
}

export function parseSwVers(text: string): SystemVersion {
  return {
    osVersion: /^ProductVersion:\s*([\d.]+)$/m.exec(text)?.[1],
    osBuild: /^BuildVersion:\s*(\w+)$/m.exec(text)?.[1],
  };
}

/** What `pmset -g batt` begins with. */
export function parsePowerSource(text: string): "ac" | "battery" | "ups" | undefined {
  const name = /^Now drawing from '(AC|Battery|UPS) Power'/.exec(text)?.[1];
  return name === "AC" ? "ac" : name === "Battery" ? "battery" : name === "UPS" ? "ups" : undefined;
}

/** Of `pmset -g`. */
export function parseLowPowerMode(text: string): boolean | undefined {
  const value = /^\s*lowpowermode\s+([01])\s*$/m.exec(text)?.[1];
  return value === undefined ? undefined : value === "1";
}

export interface ProfilerFacts {
  readonly model: string | undefined;
  readonly cpu: string | undefined;
  readonly cpuCores: number | undefined;
  readonly gpuCores: number | undefined;
}

/**
 * Of `system_profiler -json SPHardwareDataType SPDisplaysDataType`. Of the processors' numbers only the total is taken: what
 * follows was "performance:efficiency", became "fastest:efficiency:middle" with macOS 26 and another order with 27.
 */
export function parseSystemProfiler(text: string): ProfilerFacts {
  const hardware = firstOf(text, "SPHardwareDataType");
  const gpus = itemsOf(text, "SPDisplaysDataType");
  const processors = hardware["number_processors"];
  return {
    model: textOf(hardware["machine_model"]),
    cpu: textOf(hardware["chip_type"]) ?? textOf(hardware["cpu_type"]),
    cpuCores:
      typeof processors === "number"
        ? countOf(processors)
        : countOf(/^proc (\d+)(:|$)/.exec(textOf(processors) ?? "")?.[1]),
    // The built-in one; others have no such number.
    gpuCores: gpus.map((gpu) => countOf(gpu["sppci_cores"])).find((cores) => cores !== undefined),
  };
}

type Item = Readonly<Record<string, unknown>>;

function firstOf(text: string, type: string): Item {
  return itemsOf(text, type)[0] ?? {};
}

function itemsOf(text: string, type: string): readonly Item[] {
  try {
    const document: unknown = JSON.parse(text);
    const items = isItem(document) ? document[type] : undefined;
    return Array.isArray(items) ? items.filter(isItem) : [];
  } catch {
    return []; // it printed something else
  }
}

function isItem(value: unknown): value is Item {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** More than any machine has. */
const mostCount = 4_096;

/** A number of cores, also one that is written as text. */
export function countOf(value: unknown): number | undefined {
  const count = typeof value === "string" && /^\d{1,6}$/.test(value) ? Number(value) : value;
  return typeof count === "number" && Number.isInteger(count) && count >= 1 && count <= mostCount
    ? count
    : undefined;
}
