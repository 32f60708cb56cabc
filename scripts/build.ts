// Builds the executable: dist/coremlx for this machine, or `--target linux-x64|linux-arm64|darwin-arm64`.
// ONNX Runtime goes in compressed, and on a Mac libcoremlx; two small modules of src/ are replaced by ones that know where
// they lie, two more by the finished pages of the server and the finished script and style of reports. A release embeds libraries that it has signed: --onnxruntime FILE,
// --coreml FILE.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { constants, zstdCompressSync } from "node:zlib";
import { type BunPlugin, Glob } from "bun";
import { type Assets, readAssets } from "../src/report/assets.ts";
import { type Pages, readPages } from "../src/server/ui/pages.ts";
import { bundledPackages } from "./bundled-packages.ts";
import { checkMachO, type MachOSignature } from "./macho.ts";

const root = resolve(import.meta.dir, "..");

const targets = {
  "linux-x64": {
    runtime: "bun-linux-x64",
    library: "linux/x64/libonnxruntime.so.1",
    name: "libonnxruntime.so",
  },
  "linux-arm64": {
    runtime: "bun-linux-arm64",
    library: "linux/arm64/libonnxruntime.so.1",
    name: "libonnxruntime.so",
  },
  "darwin-arm64": {
    runtime: "bun-darwin-arm64",
    library: "darwin/arm64/libonnxruntime.1.dylib",
    name: "libonnxruntime.dylib",
  },
} as const;
export type Target = keyof typeof targets;

/** Files that run in threads or processes of their own. Each must be an entry, or it is missing, silently. */
const workerEntries = ["src/runtime/worker/worker.ts", "src/runtime/worker/child.ts"];
const requiredEntries = ["src/main.ts", "src/runtime/worker/worker.ts"];

const onnxruntimeFolder = join(root, "node_modules/onnxruntime-node/bin/napi-v6");

const mostBytes = 135_000_000;
const highestLevel = 19; // of zstd: 38.0 MB become 10.8, with level 3 13.4

export interface BuildOptions {
  readonly target: Target;
  readonly outfile: string;
  /** The first is where the program starts. Default: src/main.ts and the worker entries. */
  readonly entries?: readonly string[];
  readonly compressionLevel?: number;
  /** Where compressed libraries are kept. Default: dist/.cache. */
  readonly cacheDir?: string;
  /** Default: of the development package. */
  readonly onnxruntimeLibrary?: string | undefined;
  /** libcoremlx; without it there is no Core ML engine in the executable. */
  readonly coremlLibrary?: string | undefined;
}

export interface BuildResult {
  readonly outfile: string;
  readonly byteLength: number;
  /** For a Mac: its signature, every page verified. */
  readonly signature?: MachOSignature;
}

/** Throws when the result is too large or lacks an entry, or for a Mac, when its signature does not hold. */
export async function buildExecutable(options: BuildOptions): Promise<BuildResult> {
  const entries = (options.entries ?? projectEntries()).map((entry) => resolve(root, entry));
  const names = new Set(entries.map((entry) => basename(entry)));
  if (names.size < entries.length) throw new Error(`Cannot build: two of ${entries.join(", ")} share a name`);
  const { runtime } = targets[options.target];
  const [pages, assets] = await Promise.all([readPages(), readAssets()]); // not from within the other build, which would wait for this one for ever
  mkdirSync(resolve(options.outfile, ".."), { recursive: true });
  await Bun.build({
    entrypoints: entries,
    root,
    target: "bun",
    format: "esm", // with bytecode, top-level await needs it
    minify: true,
    bytecode: true,
    // All modules are bundled into their entry, beside which new URL("./worker.ts", import.meta.url) is then looked for.
    naming: { entry: "[name].[ext]" },
    compile: {
      target: runtime,
      outfile: options.outfile,
      // Else a bunfig.toml or .env in the current folder is code that we run.
      autoloadBunfig: false,
      autoloadDotenv: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    plugins: [replaceModules(options, { pages, assets })],
  });
  const { size } = statSync(options.outfile);
  if (size > mostBytes) throw new Error(`${options.outfile} has ${size} bytes, more than ${mostBytes}`);
  const missing = findMissingEntries(options.outfile, entries);
  if (missing.length > 0) throw new Error(`${options.outfile} lacks ${missing.join(", ")}`);
  const result = { outfile: options.outfile, byteLength: size };
  if (!options.target.startsWith("darwin")) return result;
  return { ...result, signature: checkMachO(readFileSync(options.outfile)) };
}

function projectEntries(): string[] {
  for (const entry of requiredEntries) {
    if (!existsSync(join(root, entry))) throw new Error(`Cannot build: ${entry} is missing`);
  }
  return ["src/main.ts", ...workerEntries.filter((entry) => existsSync(join(root, entry)))];
}

/** The first entry bears the executable's name inside it, the others their own. */
function findMissingEntries(executable: string, [, ...others]: readonly string[]): string[] {
  const bytes = readFileSync(executable);
  return others.filter((entry) => !bytes.includes(`/$bunfs/root/${basename(entry, ".ts")}.js`));
}

interface Ready {
  readonly pages: Pages;
  readonly assets: Assets;
}

function replaceModules(options: BuildOptions, { pages, assets }: Ready): BunPlugin {
  return {
    name: "coremlx-build-facts",
    setup(build) {
      build.onLoad({ filter: /\/src\/native\/embedded\.ts$/ }, () => ({
        contents: embeddedModule(options),
        loader: "ts",
      }));
      build.onLoad({ filter: /\/src\/core\/version\.ts$/ }, () => ({
        contents: versionModule(),
        loader: "ts",
      }));
      build.onLoad({ filter: /\/src\/server\/ui\/pages\.ts$/ }, () => ({
        contents: `const pages = ${JSON.stringify(pages)};\nexport const readPages = async () => pages;\n`,
        loader: "ts",
      }));
      build.onLoad({ filter: /\/src\/report\/assets\.ts$/ }, () => ({
        contents: `const assets = ${JSON.stringify(assets)};\nexport const readAssets = async () => assets;\n`,
        loader: "ts",
      }));
    },
  };
}

function embeddedModule(options: BuildOptions): string {
  const { library, name } = targets[options.target];
  const onnxruntime = options.onnxruntimeLibrary ?? join(onnxruntimeFolder, library);
  const libraries = [
    embedLibrary("embeddedOnnxRuntime", { path: onnxruntime, name }, options),
    options.coremlLibrary === undefined
      ? { file: undefined, code: "export const embeddedCoreml = undefined;" }
      : embedLibrary(
          "embeddedCoreml",
          { path: options.coremlLibrary, name: coremlName(options.target) },
          options,
        ),
  ];
  const notices = noticeFiles();
  const titles = notices.map((notice, i) => `{ title: ${JSON.stringify(notice.title)}, path: notice${i} }`);
  return [
    ...libraries.flatMap(({ file }) => file ?? []),
    ...notices.map(({ path }, i) => importFile(`notice${i}`, path)),
    ...libraries.map(({ code }) => code),
    `export const embeddedNotices = [${titles.join(", ")}];\n`,
  ].join("\n");
}

function importFile(name: string, path: string): string {
  return `import ${name} from ${JSON.stringify(path)} with { type: "file" };`;
}

function coremlName(target: Target): string {
  return target.startsWith("darwin") ? "libcoremlx.dylib" : "libcoremlx.so";
}

/** What imports the compressed library, and what says how to get it back. */
function embedLibrary(
  variable: string,
  { path, name }: { readonly path: string; readonly name: string },
  options: BuildOptions,
): { readonly file: string; readonly code: string } {
  const bytes = readFileSync(path);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const file = `${variable}File`;
  return {
    file: importFile(file, compressOnce(bytes, { sha256, name }, options)),
    code: `export const ${variable} = { path: ${file}, name: "${name}", sha256: "${sha256}", byteLength: ${bytes.byteLength} };`,
  };
}

/** The path of the compressed library, made when it is not there yet. */
function compressOnce(
  bytes: Buffer,
  { sha256, name }: { readonly sha256: string; readonly name: string },
  options: BuildOptions,
): string {
  const level = options.compressionLevel ?? highestLevel;
  const folder = options.cacheDir ?? join(root, "dist/.cache");
  const path = join(folder, `${name}-${sha256.slice(0, 16)}-${level}.zst`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const compressed = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } });
  writeFileSync(`${path}.${process.pid}`, compressed);
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

/** The licences of what is inside: each asks to be passed on with every copy. Throws for a package without one. */
function noticeFiles(): { title: string; path: string }[] {
  const kept = [...new Glob("**/*").scanSync(join(root, "licenses"))].sort();
  const packages = bundledPackages().flatMap(({ name }) => {
    if (kept.some((file) => file.startsWith(`${name}/`))) return []; // it comes without, so we keep it ourselves
    const path = [...new Glob("{LICENSE,LICENCE,license}*").scanSync(join(root, "node_modules", name))][0];
    if (path === undefined)
      throw new Error(`Cannot build: ${name} has no licence; put it into licenses/${name}/`);
    return [{ title: name, path: join(root, "node_modules", name, path) }];
  });
  return [
    { title: "coremlx", path: join(root, "LICENSE") },
    ...kept.map((file) => ({ title: file, path: join(root, "licenses", file) })),
    ...packages,
  ];
}

function versionModule(): string {
  const { version, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
    devDependencies: Record<string, string>;
  };
  const head = git("log", "-1", "--format=%H %cI");
  const [hash, date] = head?.split(" ") ?? [];
  const isDirty = git("status", "--porcelain", "--untracked-files=no") !== "";
  const commit = hash === undefined ? undefined : `${hash}${isDirty ? "-dirty" : ""}`;
  return `export const version = ${JSON.stringify(version)};
export const onnxruntimeVersion = ${JSON.stringify(devDependencies["onnxruntime-node"])};
export const commit = ${JSON.stringify(commit)};
export const commitDate = ${JSON.stringify(date)};
export const sourceDigest = ${JSON.stringify(digestSources())};
`;
}

/** Of everything that decides how a model is compiled: the layers up to the engines. */
function digestSources(): string {
  const hash = createHash("sha256");
  for (const file of [
    ...new Glob("src/{core,native,codecs,formats,onnx,lowering,engines}/**/*.ts").scanSync(root),
  ].sort()) {
    const bytes = readFileSync(join(root, file));
    hash.update(`${file}:${bytes.byteLength}:`).update(bytes);
  }
  return hash.digest("hex");
}

/** undefined outside a git checkout. */
function git(...args: string[]): string | undefined {
  const done = Bun.spawnSync(["git", "-C", root, ...args], { stderr: "ignore" });
  return done.success ? done.stdout.toString().trim() : undefined;
}

function isTarget(text: string): text is Target {
  return Object.hasOwn(targets, text);
}

interface Naming {
  readonly target: Target;
  readonly host: string;
  readonly hasCoreml: boolean;
}

/** A Mac executable without Apple's framework in it says so by its name. */
export function nameExecutable({ target, host, hasCoreml }: Naming): string {
  if (target.startsWith("darwin") && !hasCoreml) return `coremlx-${target}-portable`;
  return target === host ? "coremlx" : `coremlx-${target}`;
}

/** libcoremlx, built here: on a Mac, with its Command Line Tools. */
function buildCoreml(): string {
  const done = Bun.spawnSync(["swift", "build", "-c", "release"], {
    cwd: root,
    stdout: "inherit",
    stderr: "inherit",
  });
  if (!done.success) throw new Error("Cannot build libcoremlx: swift build failed");
  return join(root, ".build/release/libcoremlx.dylib");
}

if (import.meta.main) {
  const host = `${process.platform}-${process.arch}`;
  const { values } = parseArgs({
    options: {
      target: { type: "string", default: host },
      onnxruntime: { type: "string" },
      coreml: { type: "string" },
    },
  });
  const { target } = values;
  if (!isTarget(target)) {
    console.error(`Cannot build for "${target}": choose ${Object.keys(targets).join(", ")}`);
    process.exit(2);
  }
  const isMacHere = target === host && process.platform === "darwin";
  const coremlLibrary = values.coreml ?? (isMacHere ? buildCoreml() : undefined);
  const { outfile, byteLength, signature } = await buildExecutable({
    target,
    outfile: join(root, "dist", nameExecutable({ target, host, hasCoreml: coremlLibrary !== undefined })),
    onnxruntimeLibrary: values.onnxruntime,
    coremlLibrary,
  });
  const signed = signature === undefined ? "" : `, signed ad hoc, ${signature.pages} pages verified`;
  console.log(`${relative(process.cwd(), outfile)}: ${(byteLength / 1e6).toFixed(1)} MB${signed}`);
}
