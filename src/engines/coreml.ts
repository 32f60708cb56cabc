// The Core ML engine: Apple's framework, reached through libcoremlx.

import { CoremlxError } from "../core/errors.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import type { Model } from "../formats/model.ts";
import type { CoremlLibrary } from "../native/coreml.ts";
import { CoremlModel, type CoremlUnits, readPlanText } from "../native/coreml-model.ts";
import { type ComputePlan, readPlan } from "./compute-plan.ts";
import { type CompiledPlace, compileOnce, digestOf, dropCompiled } from "./coreml-compiled.ts";
import { chooseUnits, type Measured } from "./coreml-device.ts";
import { LoadedCoremlModel } from "./coreml-model.ts";
import type { DeviceRequest, Engine, LoadedModel, LoadOptions, PlanOptions } from "./engine.ts";
import { findFunction } from "./find-function.ts";

export interface CoremlOptions {
  readonly library: CoremlLibrary;
  /** Of compiled models and choices of devices; without it each load makes them anew. */
  readonly cacheDir?: string | undefined;
}

/** As cmlx_device_describe gives it. */
interface DescribedDevice {
  readonly chip?: string;
  readonly osVersion?: string;
  readonly osBuild?: string;
  readonly aneAvailable?: boolean;
  readonly devices?: readonly { readonly kind: string }[];
}

export class CoremlEngine implements Engine {
  readonly name = "coreml";
  /** A loaded model answers one blocking call at a time; see coremlx.h. */
  readonly loadsPerThread = true;
  readonly version: string;
  readonly #library: CoremlLibrary;
  readonly #cacheDir: string | undefined;
  readonly #device: DescribedDevice;
  /** Whatever was made by one system is of no use to another. */
  readonly #system: string;

  constructor({ library, cacheDir }: CoremlOptions) {
    this.#library = library;
    this.#cacheDir = cacheDir;
    this.#device = JSON.parse(library.describeDevice()) as DescribedDevice; // our own library wrote it
    const { osVersion = "unknown", osBuild = "unknown" } = this.#device;
    const kind = library.isApple ? "Core ML" : "stand-in for Core ML, no Apple framework";
    this.version = library.isApple ? `${kind} of macOS ${osVersion} (${osBuild})` : kind;
    this.#system = `${kind} ${osBuild}`;
  }

  async load(model: Model, options: LoadOptions = {}): Promise<LoadedModel> {
    const place = await this.#compile(model, options.telemetry);
    try {
      return await this.#loadFrom(place, model, options);
    } catch (error) {
      if (!isDamaged(place, error)) throw error;
      // What lay in the cache cannot be read any more: it is made anew, once.
      dropCompiled(place);
      return this.#loadFrom(await this.#compile(model, options.telemetry), model, options);
    }
  }

  /** To a new place of the caller's; gives the milliseconds it took. */
  compileTo(model: Model, destination: string): number {
    const started = performance.now();
    this.#library.compile(model.path, destination);
    return performance.now() - started;
  }

  /** Where its compiled form lies, made where it is missing. */
  async compiledPlace(model: Model): Promise<Pick<CompiledPlace, "path" | "isKept">> {
    const place = await this.#compile(model);
    place.onDispose();
    return place;
  }

  /** For a device of choice; "auto" is all of them, for nothing is measured here. */
  async plan(model: Model, options: PlanOptions = {}): Promise<ComputePlan> {
    const { functionName, device = "auto" } = options;
    const description = findFunction(model, functionName);
    const place = await this.#compile(model);
    try {
      const units = device === "auto" ? "all" : requestedUnits[device];
      const named = this.#nameOf(model, functionName);
      const json = readPlanText(this.#library, place.path, { units, functionName: named });
      return readPlan(json, { functionName: description.name, device: this.#nameDevice(units) });
    } finally {
      place.onDispose();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The library stays: threads of its own may still be at work in it.
  }

  #compile(model: Model, telemetry?: Telemetry): Promise<CompiledPlace> {
    const cacheDir = this.#cacheDir;
    return compileOnce(model, { library: this.#library, cacheDir, system: this.#system, telemetry });
  }

  async #loadFrom(place: CompiledPlace, model: Model, options: LoadOptions): Promise<LoadedModel> {
    const { functionName, device = "auto", telemetry = silent } = options;
    try {
      const description = findFunction(model, functionName);
      const named = this.#nameOf(model, functionName);
      const units = await this.#unitsFor(device, { model, place, functionName: named, telemetry });
      const loaded = CoremlModel.load(this.#library, place.path, { units, functionName: named });
      try {
        return new LoadedCoremlModel({
          description,
          kind: model.description.kind,
          model: loaded,
          device: this.#nameDevice(units),
          compileMs: place.compileMs,
          onDispose: place.onDispose,
        });
      } catch (error) {
        loaded[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      place.onDispose();
      throw error;
    }
  }

  /** Without a name Core ML takes the default function, also on systems that know of no others. */
  #nameOf(model: Model, functionName: string | undefined): string | undefined {
    return functionName === model.description.defaultFunction ? undefined : functionName;
  }

  #nameDevice(units: CoremlUnits): string {
    return this.#library.isApple ? deviceNames[units] : `${deviceNames[units]} (stand-in)`;
  }

  async #unitsFor(
    device: DeviceRequest,
    { model, place, functionName, telemetry }: Choosing,
  ): Promise<CoremlUnits> {
    if (device !== "auto") return requestedUnits[device];
    const { chip = "unknown", osBuild = "unknown", aneAvailable = false, devices = [] } = this.#device;
    const hasGpu = devices.some(({ kind }) => kind === "gpu");
    const candidates: CoremlUnits[] = ["all"];
    if (aneAvailable) candidates.push("cpuAndAne");
    if (hasGpu) candidates.push("cpuAndGpu");
    candidates.push("cpu");
    const { choice, reason, isRemembered } = await chooseUnits({
      candidates,
      measure: (units) => this.#measure(model, place, { units, functionName }),
      folder: this.#cacheDir,
      key: [chip, osBuild, this.#system, await digestOf(model, this.#cacheDir), functionName ?? ""],
    });
    const cache = isRemembered ? "warm" : "cold";
    telemetry.log("info", "device chosen", { device: deviceNames[choice], reason, cache });
    return choice;
  }

  /** Throws what loading and predicting throw. */
  async #measure(model: Model, place: CompiledPlace, options: LoadCompiledModelOptions): Promise<Measured> {
    const { measurePredictions } = await import("./coreml-device-trial.ts");
    const description = findFunction(model, options.functionName);
    await using loaded = new LoadedCoremlModel({
      description,
      kind: model.description.kind,
      model: CoremlModel.load(this.#library, place.path, options),
      device: "",
      compileMs: 0,
      onDispose() {},
    });
    return await measurePredictions(loaded); // before it is disposed
  }
}

interface Choosing {
  readonly model: Model;
  readonly place: CompiledPlace;
  readonly functionName: string | undefined;
  readonly telemetry: Telemetry;
}

interface LoadCompiledModelOptions {
  readonly units: CoremlUnits;
  readonly functionName: string | undefined;
}

const requestedUnits: Readonly<Record<Exclude<DeviceRequest, "auto">, CoremlUnits>> = {
  cpu: "cpu",
  gpu: "cpuAndGpu",
  ane: "cpuAndAne",
  all: "all",
};

/** What it may use: the CPU always, for whatever the other device cannot do. */
const deviceNames: Readonly<Record<CoremlUnits, string>> = {
  cpu: "cpu",
  cpuAndGpu: "cpu+gpu",
  cpuAndAne: "cpu+ane",
  all: "cpu+gpu+ane",
};

/** Core ML's own number for a file that it cannot read. */
const ioError = 3;

function isDamaged({ isKept, compileMs }: CompiledPlace, error: unknown): boolean {
  return isKept && compileMs === 0 && error instanceof CoremlxError && error.details?.["code"] === ioError;
}
