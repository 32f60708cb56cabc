// coremlx record: what an engine answers here, and how long it takes, in one file that others can replay.

import { resolve } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { formatBytes, formatLatency } from "../../core/quantity.ts";
import type { FeatureValues } from "../../core/tensor.ts";
import type { DeviceRequest } from "../../engines/engine.ts";
import { isFailure, nameSource, type Recording, type Tape } from "../../engines/tape/content.ts";
import { encodeTape } from "../../engines/tape/file.ts";
import { recordTape } from "../../suites/record.ts";
import { command, engineFlags, inputFlags } from "../command.ts";
import { type InputSettings, readInputSets } from "../input-sets.ts";
import { type InputOptions, readStdinOnce } from "../inputs.ts";
import { createLogger } from "../logger.ts";
import { parseCount, parseDuration } from "../options.ts";
import { plainLine } from "../output.ts";
import { refuseModelAmongFiles } from "../paths.ts";
import { writeOutputFile } from "../results.ts";
import { findModelFor, openCliSession, progress } from "../session.ts";

export const record = command({
  meta: { name: "record", description: "Record a model's answers and times on this machine as a tape" },
  positionals: [
    { name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true },
    { name: "FILE", description: "an input file, as for infer; each is recorded", multiple: true },
  ],
  flags: {
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "the tape to write (default: the model's name with .tape)",
      isTrusted: true,
    },
    ...inputFlags,
    samples: {
      type: "string",
      default: "3",
      valueHint: "N",
      description: "without inputs: how many random ones, with the seeds from --seed on",
    },
    repeat: {
      type: "string",
      default: "10",
      valueHint: "N",
      description: "predictions of each input; of a stateful model the steps of a sequence",
    },
    timeout: {
      type: "string",
      default: "5s",
      valueHint: "TIME",
      description: "longest wait for one prediction; a longer one is recorded as a failure",
    },
    ...engineFlags,
    device: {
      type: "string",
      multiple: true,
      valueHint: "auto|cpu|gpu|ane|all",
      description: "where it may run; each is recorded (default: auto)",
    },
  },
  examples: [
    "coremlx record examples/digits/Digits.mlpackage examples/digits/digit_7.png -o digits.tape",
    "coremlx record examples/counter/Counter.mlpackage --repeat 5 --device auto --device cpu --json",
  ],
  async run({ flags, positionals: [path = "", ...files], io }) {
    refuseModelAmongFiles(path, files);
    const settings = {
      devices: readDevices(flags.device),
      functionName: flags.function,
      repeat: parseCount(flags.repeat, "repeat"),
      timeoutMs: parseDuration(flags.timeout, "timeout"),
    };
    const inputs: InputSettings = {
      files,
      specs: flags.input,
      samples: parseCount(flags.samples, "samples"),
      seed: parseCount(flags.seed, "seed", 0),
      fit: flags.fit,
      isMixdown: flags.mixdown,
      resampleHz: flags.resample === undefined ? undefined : parseCount(flags.resample, "resample"),
      io: readStdinOnce(io),
    };
    const logger = createLogger(io, flags);
    const modelPath = findModelFor(flags.engine, path, io.cwd);
    await using session = await openCliSession(flags, io, logger);
    const log: InputOptions["log"] = (level, message) => logger.log(level, message);
    let prepared: Promise<readonly FeatureValues[]> | undefined;
    const tape = await progress(
      io,
      flags.quiet || flags.json ? undefined : "recording",
      recordTape(session, modelPath, {
        ...settings,
        signal: io.signal,
        // The same for each device; standard input is there once.
        prepareInputs: (descriptions) =>
          (prepared ??= readInputSets(descriptions, { ...inputs, log }).then((sets) =>
            sets.map(({ values }) => values),
          )),
      }),
    );
    const file = flags.output ?? `${tape.model.name}.tape`;
    const bytes = encodeTape(tape);
    writeOutputFile(resolve(io.cwd, file), bytes);
    if (flags.json) io.stdout(`${JSON.stringify(toJson(tape, file, bytes.byteLength))}\n`);
    else if (!flags.quiet) io.stdout(`${describe(tape, file, bytes.byteLength)}\n`);
  },
});

const devices: readonly DeviceRequest[] = ["auto", "cpu", "gpu", "ane", "all"];

function readDevices(given: readonly string[]): readonly DeviceRequest[] {
  const read = given.map((text) => {
    const device = devices.find((each) => each === text);
    if (device !== undefined) return device;
    throw new CoremlxError("USAGE", `Cannot use --device: "${text}" is not one of ${devices.join(", ")}`, {
      hint: suggest(text, devices, "The choices are"),
    });
  });
  return read.length === 0 ? ["auto"] : [...new Set(read)];
}

function toJson(tape: Tape, file: string, byteLength: number) {
  const { recordedAt, label, engine, model, samples, recordings } = tape;
  return {
    schemaVersion: 1,
    file,
    byteLength,
    source: nameSource(tape),
    recordedAt,
    label,
    engine,
    model: { name: model.name, digest: model.digest },
    samples: samples.length,
    recordings: recordings.map((recording) => ({
      function: recording.functionName,
      requested: recording.requested,
      device: recording.device,
      predictions: recording.takes.length,
      failures: recording.takes.filter(({ outcome }) => isFailure(outcome)).length,
      medianMs: medianOf(recording) ?? null,
      ...(recording.failure && { failure: recording.failure }),
    })),
  };
}

function describe(tape: Tape, file: string, byteLength: number): string {
  const rows = tape.recordings.map((recording) => {
    const { requested, device, takes, failure } = recording;
    const where = requested === device ? device : `${requested}: ${device}`;
    if (failure) return plainLine(`${where} · not loaded: ${failure.message}`);
    const failed = takes.filter(({ outcome }) => isFailure(outcome)).length;
    const median = medianOf(recording);
    return plainLine(
      [
        where,
        `${takes.length} predictions`,
        ...(failed > 0 ? [`${failed} failed`] : []),
        ...(median === undefined ? [] : [`median ${formatLatency(median)}`]),
      ].join(" · "),
    );
  });
  return [...rows, plainLine(`wrote ${file}, ${formatBytes(byteLength)}: ${nameSource(tape)}`)].join("\n");
}

function medianOf({ takes }: Recording): number | undefined {
  const times = takes.filter(({ outcome }) => !isFailure(outcome)).map(({ runMs }) => runMs);
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
}
