// What an entry of the compile cache says about itself: manifest.json.

export const manifestName = "manifest.json";

/** Raised when entries look different on disk; it is part of every key. */
export const entryFormat = 1;

export interface EntryFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What an entry was made from, for people to read; none of it decides anything. */
export interface EntryOrigin {
  /** Where the model lay. */
  readonly path: string;
  /** SHA-256 of the model. */
  readonly digest: string;
  readonly functionName: string;
  readonly precision: string;
  /** "ONNX Runtime 1.27.0" */
  readonly engine: string;
  readonly cpu: string;
  /** Version of coremlx. */
  readonly coremlx: string;
}

export interface Manifest {
  readonly format: number;
  readonly key: string;
  readonly createdEpochMs: number;
  /** How long it took to make. */
  readonly compileMs: number;
  readonly origin: EntryOrigin;
  /** Everything in the folder but the manifest. */
  readonly files: readonly EntryFile[];
}

const maxFiles = 1_000;
const fileName = /^(?:plan\.json|\d{1,4}\.(?:onnx|bin|data))$/;
const sha256 = /^[0-9a-f]{64}$/;

export const maxManifestBytes = 2 ** 20;

export function encodeManifest(manifest: Manifest): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 1)}\n`);
}

/** undefined where the bytes are not a manifest of this format. */
export function parseManifest(bytes: Uint8Array): Manifest | undefined {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  if (!isRecord(json) || json["format"] !== entryFormat || !isRecord(json["origin"])) return undefined;
  const { key, createdEpochMs, compileMs, files } = json;
  const { path, digest, functionName, precision, engine, cpu, coremlx } = json["origin"];
  if (!isText(key) || !sha256.test(key) || !isAmount(createdEpochMs) || !isAmount(compileMs))
    return undefined;
  if (!isText(path) || !isText(digest) || !isText(functionName) || !isText(precision)) return undefined;
  if (!isText(engine) || !isText(cpu) || !isText(coremlx)) return undefined;
  if (!Array.isArray(files) || files.length > maxFiles) return undefined;
  const parsed: EntryFile[] = [];
  for (const file of files) {
    const entry = parseFile(file);
    if (entry === undefined || parsed.some(({ name }) => name === entry.name)) return undefined;
    parsed.push(entry);
  }
  const origin = { path, digest, functionName, precision, engine, cpu, coremlx };
  return { format: entryFormat, key, createdEpochMs, compileMs, origin, files: parsed };
}

function parseFile(json: unknown): EntryFile | undefined {
  if (!isRecord(json)) return undefined;
  const { name, bytes, sha256: digest } = json;
  if (!isText(name) || !fileName.test(name) || !isText(digest) || !sha256.test(digest)) return undefined;
  return isAmount(bytes) && Number.isSafeInteger(bytes) ? { name, bytes, sha256: digest } : undefined;
}

/** Bytes of an entry on disk, its manifest not counted. */
export function entryBytes(manifest: Manifest): number {
  return manifest.files.reduce((sum, file) => sum + file.bytes, 0);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
