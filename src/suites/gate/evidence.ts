// Whether an evidence file may count: of the binary that is judged, fresh, real, whole, and agreeing with its own raw data.

import { TypeCompiler } from "@sinclair/typebox/compiler";
import { messageOf } from "../../core/errors.ts";
import { type EvidenceFile, evidenceSchema } from "./evidence-schema.ts";
import type { Findings } from "./findings.ts";
import { type PlaceName, placeNames } from "./profile-schema.ts";
import { sources } from "./sources.ts";

/** A file as it was found, with what lies beside it; `undefined`: nothing does, or too much. */
export interface EvidenceBytes {
  /** For messages. */
  readonly file: string;
  readonly envelope: unknown;
  readonly raw: Uint8Array | undefined;
}

export interface Evidence {
  readonly file: string;
  readonly envelope: EvidenceFile;
  readonly findings: Findings;
  /** Where it counts; empty: nowhere, see `excuse`. */
  readonly places: readonly PlaceName[];
  /** Why it shows nothing of any place, or of a performance. */
  readonly excuse: string | undefined;
  readonly doubt: string | undefined;
}

export interface Refusal {
  readonly file: string;
  readonly reason: string;
  readonly isSynthetic: boolean;
}

export interface Admission {
  /** Of the executables that are judged: one for each platform. */
  readonly binaries: readonly string[];
  readonly nowMs: number;
  readonly maxAgeMs: number;
  /** Only tests may. */
  readonly allowSynthetic?: boolean | undefined;
}

/** Clocks of two machines differ by less. */
const mostAheadMs = 5 * 60_000;
const checkEnvelope = TypeCompiler.Compile(evidenceSchema);

export function admitEvidence(bytes: EvidenceBytes, admission: Admission): Evidence | Refusal {
  const { file, envelope, raw } = bytes;
  if (!checkEnvelope.Check(envelope)) {
    const first = checkEnvelope.Errors(envelope).First();
    const place = first === undefined || first.path === "" ? "the document" : first.path;
    return { file, reason: `not an evidence file: ${place}: ${first?.message}`, isSynthetic: false };
  }
  const { isSynthetic } = envelope;
  const refuse = (reason: string): Refusal => ({ file, reason, isSynthetic });
  if (isSynthetic && admission.allowSynthetic !== true) return refuse("synthetic: it was made up for a test");
  const stale = findStaleness(envelope, admission);
  if (stale !== undefined) return refuse(stale);
  if (raw === undefined) return refuse(`its raw data "${envelope.raw.file}" is missing or too large`);
  if (new Bun.CryptoHasher("sha256").update(raw).digest("hex") !== envelope.raw.sha256)
    return refuse(`its raw data "${envelope.raw.file}" is not what was recorded: another digest`);
  let findings: Findings;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
    findings = sources[envelope.source].read(text, envelope.raw.file);
  } catch (error) {
    return refuse(messageOf(error));
  }
  const contradiction = findContradiction(envelope, findings);
  if (contradiction !== undefined) return refuse(contradiction);
  return { file, envelope, findings, ...locate(envelope), doubt: findDoubt(envelope) };
}

export function isRefusal(evidence: Evidence | Refusal): evidence is Refusal {
  return "reason" in evidence;
}

function findStaleness(
  { binary, startedAt, endedAt }: EvidenceFile,
  { binaries, nowMs, maxAgeMs }: Admission,
): string | undefined {
  if (!binaries.includes(binary.sha256))
    return `of another binary: ${binary.sha256.slice(0, 12)}, version ${binary.version}`;
  const [startMs, endMs] = [Date.parse(startedAt), Date.parse(endedAt)];
  if (!Number.isFinite(startMs) || !Number.isFinite(endMs) || endMs < startMs)
    return `its times are none: ${startedAt} to ${endedAt}`;
  if (endMs > nowMs + mostAheadMs) return `from the future: it ended at ${endedAt}`;
  const days = (ms: number) => Number((ms / 86_400_000).toFixed(1));
  if (nowMs - endMs > maxAgeMs)
    return `too old: it ended at ${endedAt}, ${days(nowMs - endMs)} days ago, and may be ${days(maxAgeMs)}`;
  return undefined;
}

/** The raw data speaks for itself: an envelope that says something else is wrong, or not its own. */
function findContradiction(envelope: EvidenceFile, findings: Findings): string | undefined {
  const { environment: said } = envelope;
  const { environment: found } = findings;
  if (found !== undefined) {
    const facts = [
      ["chip", said.device.chip, found.device.chip],
      ["platform", said.os.platform, found.os.platform],
      ["system build", said.device.osBuild, found.device.osBuild],
      ["commit", said.tool.commit, found.tool.commit],
      ["version", said.tool.version, found.tool.version],
    ] as const;
    const other = facts.find(([, one, two]) => one !== two);
    if (other !== undefined) return `its raw data is of another ${other[0]}: ${other[2]}, not ${other[1]}`;
    if (said.tool.version !== envelope.binary.version || said.tool.commit !== envelope.binary.commit)
      return "its raw data was made by another build than the binary it names";
  }
  const digests = (models: Findings["models"]) =>
    models
      .map(({ digest }) => digest)
      .toSorted()
      .join();
  if (digests(envelope.models) !== digests(findings.models)) return "its raw data is of other models";
  const engines = (list: Findings["engines"]) =>
    JSON.stringify(list.map(({ name, device }) => [name, device]));
  if (engines(envelope.engines) !== engines(findings.engines)) return "its raw data is of other engines";
  return undefined;
}

/** What a tape's engine is called. What it answers was measured elsewhere, whatever machine plays it. */
const tape = "tape";

function locate({ environment, engines }: EvidenceFile): Pick<Evidence, "places" | "excuse"> {
  const nowhere = (excuse: string) => ({ places: [], excuse });
  const played = engines.find(({ name }) => name === tape);
  if (played !== undefined) return nowhere(`not measured here: ${played.device}`);
  const remote = engines.find(({ name }) => name !== "portable" && name !== "coreml");
  if (remote !== undefined) return nowhere(`answered elsewhere: ${remote.version}`);
  const { platform } = environment.os;
  if (platform === "linux" && engines.some(({ name }) => name === "coreml"))
    return nowhere("over stand-ins of Apple's frameworks");
  // Beside Core ML the portable engine may stand, as what it is compared with.
  if (platform === "darwin" && engines.length > 0 && !engines.some(({ name }) => name === "coreml"))
    return nowhere("not by Core ML");
  const isVirtualMac = platform === "darwin" && environment.device.isVirtual === true;
  return {
    places: placesOf(environment),
    excuse: isVirtualMac ? "a virtual machine has no Neural Engine" : undefined,
  };
}

/** What a measurement on this machine, by its own engine, can be shown for. */
export function placesOf({ os, device }: EvidenceFile["environment"]): readonly PlaceName[] {
  if (os.platform === "linux") return ["any", "linux"];
  if (os.platform !== "darwin" || device.isVirtual === true) return ["any"];
  const family = familyOf(device.chip ?? "")?.toLowerCase();
  const chip = placeNames.find((name) => name === family);
  return chip === undefined ? ["any", "mac"] : ["any", "mac", chip];
}

/** "M4" for "Apple M4 Max". */
export function familyOf(chip: string): string | undefined {
  return /^(?:Apple )?(M\d+)\b/.exec(chip)?.[1];
}

function findDoubt({ environment: { device } }: EvidenceFile): string | undefined {
  if (device.isVirtual === true) return "a virtual machine";
  if (device.isLowPowerMode === true) return "in low-power mode";
  if (device.powerSource === "battery") return "on its battery";
  if (device.thermalState === "serious" || device.thermalState === "critical")
    return `hot at the start: ${device.thermalState}`;
  return undefined;
}
