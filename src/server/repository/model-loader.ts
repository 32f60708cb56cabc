// From files to a model that is ready: read, loaded, warmed up.

import { CoremlxError, messageOf } from "../../core/errors.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import type { LoadModelOptions, Session } from "../../runtime/session.ts";
import type { ServerLimits } from "../limits.ts";
import type { ModelFiles } from "./layout.ts";
import { chooseVersions, loadOptionsOf, readModelOptions } from "./model-options.ts";
import { ServedModel } from "./served-model.ts";
import { warmUp } from "./warm-up.ts";

export interface ModelLoaderOptions {
  /** Borrowed. */
  readonly session: Session;
  /** For every model, unless its own options say otherwise. */
  readonly load: LoadModelOptions;
  /** Whether a first prediction comes before a model is ready. */
  readonly isWarmedUp: boolean;
  readonly timeoutMs: number;
  readonly limits: ServerLimits;
  readonly telemetry: Telemetry;
}

/** Every wanted version, or none: when one fails, those before it are closed again. */
export async function loadVersions(
  files: ModelFiles,
  { session, load, isWarmedUp, timeoutMs, limits, telemetry }: ModelLoaderOptions,
): Promise<readonly ServedModel[]> {
  const { name } = files;
  const own = readModelOptions(files.optionsPath);
  const loaded: ServedModel[] = [];
  try {
    for (const [version, path] of chooseVersions(files.versions, own)) {
      const model = await session.load(path, { ...loadOptionsOf(own, load), name, version });
      loaded.push(
        new ServedModel({ name, version, model, limits, timeoutMs: own["timeout-ms"] ?? timeoutMs }),
      );
      if (!(own["warm-up"] ?? isWarmedUp)) continue;
      await warmUp(model).catch((error: unknown) => {
        // The model does not like made-up inputs: that says nothing about real ones.
        if (!(error instanceof CoremlxError) || error.code !== "BAD_INPUT") throw error;
        telemetry.log("warn", "model not warmed up", { model: name, reason: messageOf(error) });
      });
    }
    return loaded;
  } catch (error) {
    await Promise.all(loaded.map((served) => served[Symbol.asyncDispose]()));
    throw error;
  }
}
