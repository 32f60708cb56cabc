// Reads Prometheus' text exposition format 0.0.4, strictly: whatever its definition does not allow throws.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly type: "counter" | "gauge" | "histogram" | "summary" | "untyped";
  readonly help: string;
  readonly samples: readonly Sample[];
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const suffixes = { histogram: ["_bucket", "_sum", "_count"], summary: ["", "_sum", "_count"] };

export function parseExposition(text: string): Map<string, MetricFamily> {
  if (!text.endsWith("\n")) throw new Error("The last line does not end");
  const families = new Map<string, { type?: MetricFamily["type"]; help?: string; samples: Sample[] }>();
  let current = "";
  const open = (name: string) => {
    if (!metricName.test(name)) throw new Error(`Bad name: ${name}`);
    const known = families.get(name);
    if (known !== undefined && name !== current) throw new Error(`The lines of ${name} are not together`);
    current = name;
    const family = known ?? { samples: [] };
    families.set(name, family);
    return family;
  };
  for (const line of text.slice(0, -1).split("\n")) {
    if (line.trim() === "") continue;
    const help = /^# HELP (\S+) (.*)$/.exec(line);
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (help !== null) {
      const family = open(help[1] ?? "");
      if (family.help !== undefined) throw new Error(`Two helps: ${line}`);
      family.help = help[2] ?? "";
    } else if (type !== null) {
      const family = open(type[1] ?? "");
      if (family.type !== undefined || family.samples.length > 0)
        throw new Error(`Late or second type: ${line}`);
      family.type = toType(type[2]);
    } else if (!line.startsWith("#")) {
      const sample = parseSample(line);
      const family = families.get(current);
      if (family?.type === undefined) throw new Error(`Before its type: ${line}`);
      const allowed = family.type === "histogram" || family.type === "summary" ? suffixes[family.type] : [""];
      if (!allowed.some((suffix) => sample.name === current + suffix))
        throw new Error(`Not of ${current}: ${line}`);
      family.samples.push(sample);
    }
  }
  return new Map(
    [...families].map(([name, { type = "untyped", help = "", samples }]) => {
      checkUnique(samples);
      if (type === "histogram") checkHistogram(name, samples);
      if (type === "counter" && samples.some(({ value }) => !(value >= 0)))
        throw new Error(`${name} is negative`);
      return [name, { type, help, samples }];
    }),
  );
}

function toType(word: string | undefined): MetricFamily["type"] {
  if (word === "counter" || word === "gauge" || word === "histogram" || word === "summary") return word;
  return "untyped";
}

function parseSample(line: string): Sample {
  const name = /^[^{\s]+/.exec(line)?.[0] ?? "";
  if (!metricName.test(name)) throw new Error(`Bad name: ${line}`);
  const labels: Record<string, string> = {};
  let at = name.length;
  if (line[at] === "{") {
    at++;
    while (line[at] !== "}") {
      const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(,?)/.exec(line.slice(at));
      if (label === null) throw new Error(`Bad label at ${at}: ${line}`);
      const [whole, key = "", value = ""] = label;
      if (key in labels) throw new Error(`Label ${key} twice: ${line}`);
      labels[key] = value.replaceAll(/\\(.)/g, (_, mark: string) => (mark === "n" ? "\n" : mark));
      at += whole.length;
    }
    at++;
  }
  const rest = /^\s+(\S+)$/.exec(line.slice(at))?.[1] ?? "";
  const value = { "+Inf": Infinity, "-Inf": -Infinity, NaN }[rest] ?? (rest === "" ? NaN : Number(rest));
  if (Number.isNaN(value) && rest !== "NaN") throw new Error(`Bad value: ${line}`);
  return { name, labels, value };
}

function keyOf(labels: Sample["labels"]): string {
  const names = Object.keys(labels).sort((left, right) => (left < right ? -1 : 1));
  return JSON.stringify(names.map((name) => [name, labels[name]]));
}

function checkUnique(samples: readonly Sample[]): void {
  const keys = samples.map(({ name, labels }) => name + keyOf(labels));
  if (new Set(keys).size < keys.length) throw new Error(`A series appears twice: ${keys.join(" ")}`);
}

/** Buckets are cumulative and ascend, end in +Inf, which is the count; there is one sum. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const series = Map.groupBy(samples, ({ labels }) => keyOf({ ...labels, le: "" }));
  for (const [key, all] of series) {
    const buckets = all.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"])));
    const counts = buckets.map(({ value }) => value);
    const ascend = (values: readonly number[]) =>
      values.every((value, index) => value >= (values[index - 1] ?? 0));
    const count = all.filter((sample) => sample.name === `${name}_count`);
    const sums = all.filter((sample) => sample.name === `${name}_sum`);
    if (!ascend(bounds) || !ascend(counts)) throw new Error(`Buckets of ${name} ${key} do not ascend`);
    if (
      bounds.at(-1) !== Infinity ||
      count.length !== 1 ||
      sums.length !== 1 ||
      counts.at(-1) !== count[0]?.value
    ) {
      throw new Error(`Count or sum of ${name} ${key} is missing or wrong`);
    }
  }
}
