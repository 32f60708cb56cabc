// coremlx gate: ready to deploy? A verdict from evidence that is saved, or measured now.

import { appendFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { writeFileWhole } from "../../native/write-file.ts";
import { describeGate } from "../../report/pages/gate-page.ts";
import { renderReport } from "../../report/report.ts";
import { modelNameOf } from "../../runtime/session.ts";
import { type Admission, admitEvidence, isRefusal, placesOf } from "../../suites/gate/evidence.ts";
import { type Case, judgeGate } from "../../suites/gate/judge.ts";
import { bindModels, builtInProfiles, digestProfile, parseProfile } from "../../suites/gate/profile.ts";
import type { GateProfile } from "../../suites/gate/profile-schema.ts";
import { runCoremlx } from "../run-coremlx.ts";
import { chooseRecipes, type RecipeContext, recipeOf } from "../../suites/gate/recipes.ts";
import type { GateResult } from "../../suites/gate/result-schema.ts";
import { parseWaivers } from "../../suites/gate/waivers.ts";
import { describeEnvironment } from "../../suites/machine.ts";
import { command, engineFlags, type RunContext } from "../command.ts";
import { addEvidence } from "../gate-add.ts";
import { type Binary, digestFile, identifyProgram } from "../gate-binary.ts";
import { formatJunit, formatMarkdown } from "../gate-ci.ts";
import { findEvidence, readSettings, saveEvidence } from "../gate-files.ts";
import { formatGate } from "../gate-text.ts";
import { liveLine } from "../live-line.ts";
import { createLogger, type Logger } from "../logger.ts";
import { parseDuration } from "../options.ts";
import { type Io, painter, Reported } from "../output.ts";
import { findModelFor, openCliSession } from "../session.ts";
import { formatSoakProgress } from "../soak-text.ts";

const { function: _function, ...gateEngineFlags } = engineFlags;
const defaultFolder = "gate-evidence";

const flags = {
  profile: {
    type: "string",
    default: "gate-d",
    valueHint: "NAME|FILE",
    description: "what must hold: gate-d, or a TOML or JSON file of your own",
  },
  required: {
    type: "enum",
    options: ["all", "linux"],
    default: "all",
    description: "whose lines must be there; a failure counts in either case",
  },
  "max-age": { type: "string", default: "14d", valueHint: "TIME", description: "older evidence is refused" },
  binary: {
    type: "string",
    multiple: true,
    valueHint: "FILE",
    description: "executable that is judged, one for each platform (default: this one)",
    isTrusted: true,
  },
  bind: {
    type: "string",
    multiple: true,
    valueHint: "MODEL=DIGEST",
    description: "digest of a model that the profile names",
    isTrusted: true,
  },
  waivers: {
    type: "string",
    valueHint: "FILE",
    description: "TOML: who answers for lines that are not green, why, and until when",
    isTrusted: true,
  },
  "sign-off": { type: "string", valueHint: "NAME", description: "who signs the verdict", isTrusted: true },
  add: {
    type: "string",
    multiple: true,
    valueHint: "NAME=FILE",
    description: "keep a result or log as evidence: soak=result.json, tests=junit.xml",
    isTrusted: true,
  },
  run: { type: "boolean", description: "measure what is missing and can be measured here" },
  model: {
    type: "string",
    multiple: true,
    valueHint: "MODEL",
    description: "model to measure with --run",
  },
  "bench-duration": {
    type: "string",
    default: "10s",
    valueHint: "TIME",
    description: "of each bench of --run",
  },
  "soak-duration": { type: "string", default: "1h", valueHint: "TIME", description: "of the soak of --run" },
  "output-dir": {
    type: "string",
    default: defaultFolder,
    valueHint: "DIR",
    description: "where --run and --add keep evidence",
    isTrusted: true,
  },
  junit: { type: "string", valueHint: "FILE", description: "write the lines as JUnit XML", isTrusted: true },
  html: { type: "string", valueHint: "FILE", description: "write the verdict as a page", isTrusted: true },
  summary: {
    type: "string",
    valueHint: "FILE",
    description: "append the verdict as Markdown (default: $GITHUB_STEP_SUMMARY)",
    isTrusted: true,
  },
  ...gateEngineFlags,
} as const;

type Context = RunContext<typeof flags>;
type Flags = Context["flags"];

export const gate = command({
  meta: { name: "gate", description: "Judge by evidence whether a release may be deployed" },
  positionals: [
    {
      name: "EVIDENCE",
      description: `evidence files, or folders of them (default: ${defaultFolder}, where there is one)`,
      multiple: true,
    },
  ],
  flags,
  examples: [
    "coremlx gate --profile examples/gate/quick.toml --run --model examples/digits/Digits.mlpackage --bench-duration 200ms",
  ],
  async run({ flags: settings, positionals, io }) {
    const logger = createLogger(io, settings);
    const profile = readProfile(settings, io);
    const waivers =
      settings.waivers === undefined
        ? []
        : parseWaivers(readSettings(settings.waivers, io.cwd), settings.waivers, profile);
    const binaries = readBinaries(settings, io);
    const program = binaries[0] ?? identifyProgram();
    const folder = resolve(io.cwd, settings["output-dir"]);
    const before = { folder, profile: profile.name, cwd: io.cwd };
    for (const text of settings.add) addEvidence(text, { ...before, binaries, files: settings.binary });
    const judge = () => {
      const paths = whereEvidenceIs(positionals, { settings, io });
      const given = gather(findEvidence(paths, io.cwd), {
        binaries: binaries.map(({ sha256 }) => sha256),
        nowMs: Date.now(),
        maxAgeMs: parseAge(settings["max-age"]),
      });
      return { ...given, profile, waivers, required: settings.required };
    };
    let judged: Case = judge();
    if (settings.run && (await measureMissing(judged, { settings, io, logger, program, folder })))
      judged = judge();
    const result = describe(judged, { settings, binaries });
    await publish(result, settings, io);
    if (result.verdict.outcome !== "pass") throw new Reported("CRITERIA_FAILED");
  },
});

function readProfile(settings: Flags, io: Io): GateProfile {
  const name = settings.profile;
  const builtIn = Object.hasOwn(builtInProfiles, name) ? builtInProfiles[name] : undefined;
  if (builtIn === undefined && !/\.(toml|json)$/.test(name)) {
    throw new CoremlxError("USAGE", `Unknown profile "${name}"`, {
      hint: suggest(name, Object.keys(builtInProfiles), "Name a .toml file, or a profile that is built in"),
    });
  }
  const profile = builtIn ?? parseProfile(readSettings(name, io.cwd), name);
  const bindings = settings.bind.map((text): [string, string] => {
    const at = text.indexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
    throw new CoremlxError("USAGE", `Cannot read --bind "${text}": it must be MODEL=DIGEST`);
  });
  return bindModels(profile, new Map(bindings));
}

function readBinaries(settings: Flags, io: Io): readonly Binary[] {
  if (settings.binary.length === 0) return [identifyProgram()];
  const program = identifyProgram();
  return settings.binary.map((file) => {
    const sha256 = digestFile(resolve(io.cwd, file));
    return sha256 === program.sha256 ? program : { sha256, version: "", commit: null };
  });
}

/** "14d", and what else is a duration. */
function parseAge(text: string): number {
  const days = /^(\d+(?:\.\d+)?)d$/.exec(text)?.[1];
  return days === undefined
    ? parseDuration(text, "max-age")
    : parseDuration(`${Number(days) * 24}h`, "max-age");
}

function whereEvidenceIs(
  positionals: readonly string[],
  { settings, io }: { readonly settings: Flags; readonly io: Io },
): readonly string[] {
  const kept = settings["output-dir"];
  const isThere = statSync(resolve(io.cwd, kept), { throwIfNoEntry: false })?.isDirectory() ?? false;
  const isMeant = positionals.length === 0 || settings.run || settings.add.length > 0;
  return isThere && isMeant ? [...positionals, kept] : positionals;
}

function gather(
  files: ReturnType<typeof findEvidence>,
  admission: Admission,
): Pick<Case, "evidence" | "refused" | "nowMs"> & { readonly maxAgeMs: number } {
  const admitted = files.map((file) => admitEvidence(file, admission));
  return {
    evidence: admitted.flatMap((one) => (isRefusal(one) ? [] : [one])),
    refused: admitted.filter(isRefusal),
    nowMs: admission.nowMs,
    maxAgeMs: admission.maxAgeMs,
  };
}

interface Measuring {
  readonly settings: Flags;
  readonly io: Io;
  readonly logger: Logger;
  readonly program: Binary;
  readonly folder: string;
}

/** Says whether there is anything new. */
async function measureMissing(
  judged: Case,
  { settings, io, logger, program, folder }: Measuring,
): Promise<boolean> {
  const places = placesOf(describeEnvironment());
  const { lines } = judgeGate(judged);
  const wanted = chooseRecipes(lines, judged.profile.criteria, ({ place }) => places.includes(place));
  const models = settings.model.map((text) => {
    const path = findModelFor(settings.engine, text, io.cwd);
    return { path, name: modelNameOf(path), given: text };
  });
  const possible = wanted.filter((name) => models.length > 0 || !recipeOf(name).needsModel);
  for (const name of wanted.filter((one) => !possible.includes(one)))
    logger.log("warn", `${name} is not measured: name a model with --model`);
  if (possible.length === 0) return false;
  if (program.sha256 !== identifyProgram().sha256) {
    throw new CoremlxError(
      "USAGE",
      "Cannot measure with --run: --binary names another executable than this one",
      {
        hint: "Run that executable: what this one measures is evidence of this one",
      },
    );
  }
  const temporary = mkdtempSync(join(tmpdir(), "coremlx-gate-"));
  try {
    await using session = await openCliSession(settings, io, logger);
    using line = liveLine(io, !settings.quiet);
    const context: RecipeContext = {
      session,
      models,
      runCoremlx: (args) => runCoremlx(args, io),
      device: settings.device,
      engine: settings.engine,
      folder: temporary,
      benchMs: parseDuration(settings["bench-duration"], "bench-duration"),
      soakMs: parseDuration(settings["soak-duration"], "soak-duration"),
      builtMs: statSync(process.execPath).mtimeMs,
      signal: io.signal,
      onSoakProgress: (progress) => line.show(formatSoakProgress(progress)),
    };
    for (const name of possible) {
      logger.log("info", `Measuring ${name}`);
      const { source, command: words, run } = recipeOf(name);
      const startedAt = new Date().toISOString();
      const raw = await run(context);
      line.clear();
      if (io.signal.aborted) throw new CoremlxError("INTERRUPTED", "Interrupted");
      saveEvidence(folder, {
        name,
        source,
        raw: new TextEncoder().encode(`${JSON.stringify(raw)}\n`),
        binary: program,
        profile: judged.profile.name,
        command: words(context),
        startedAt,
        endedAt: new Date().toISOString(),
        exitCode: 0,
        origin: "run",
      });
    }
    return true;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function describe(
  judged: Case,
  { settings, binaries }: { readonly settings: Flags; readonly binaries: readonly Binary[] },
): GateResult {
  const { profile, evidence, required, nowMs } = judged;
  return {
    schemaVersion: 1,
    kind: "gate",
    judgedAt: new Date(nowMs).toISOString(),
    environment: describeEnvironment(),
    profile: { name: profile.name, title: profile.title, sha256: digestProfile(profile) },
    binaries: binaries.map(({ sha256 }) => sha256),
    required,
    maxAgeMs: parseAge(settings["max-age"]),
    signedOffBy: settings["sign-off"] ?? null,
    ...judgeGate(judged),
    evidence: evidence
      .map(({ file, envelope, places }) => ({
        file,
        name: envelope.name,
        source: envelope.source,
        places: [...places],
        binary: envelope.binary.sha256,
        commit: envelope.binary.commit,
        endedAt: envelope.endedAt,
        exitCode: envelope.exitCode,
        machine: envelope.environment.device.chip ?? envelope.environment.cpu.model,
        origin: envelope.origin,
        isSynthetic: envelope.isSynthetic,
        rawSha256: envelope.raw.sha256,
      }))
      .toSorted((a, b) => (a.file < b.file ? -1 : 1)),
  };
}

async function publish(result: GateResult, settings: Flags, io: Io): Promise<void> {
  const encode = (text: string) => new TextEncoder().encode(text);
  if (settings.junit !== undefined)
    writeFileWhole(resolve(io.cwd, settings.junit), encode(formatJunit(result)));
  if (settings.html !== undefined)
    writeFileWhole(resolve(io.cwd, settings.html), encode(await renderReport(describeGate(result))));
  const summary = settings.summary ?? io.env["GITHUB_STEP_SUMMARY"];
  if (summary) appendFileSync(resolve(io.cwd, summary), formatMarkdown(result));
  const paint = painter(io, settings.color, "stdout");
  io.stdout(`${settings.json ? JSON.stringify(result) : formatGate(result, paint)}\n`);
}
