// The profile of a gate: a built-in one by its name, or a user's, checked, with digests bound to its models.

import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { gateD } from "./gate-d.ts";
import { type GateProfile, gateProfile } from "./profile-schema.ts";
import { sources } from "./sources.ts";

export const builtInProfiles: Readonly<Record<string, GateProfile>> = { "gate-d": gateD };

/** Throws BAD_INPUT that names the first place where it is none. */
export function parseProfile(value: unknown, source: string): GateProfile {
  const checker = TypeCompiler.Compile(gateProfile);
  if (!checker.Check(value)) {
    const first = checker.Errors(value).First();
    const place = first === undefined || first.path === "" ? "the document" : first.path;
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read ${source} as a gate profile: ${place}: ${first?.message}`,
      {
        hint: "coremlx schema gate-profile prints what it must look like",
        details: { source, path: first?.path },
      },
    );
  }
  checkCriteria(value, source);
  return value;
}

function checkCriteria({ criteria, models }: GateProfile, source: string): void {
  const refuse = (message: string, hint?: string) =>
    new CoremlxError("BAD_INPUT", `Cannot read ${source} as a gate profile: ${message}`, { hint });
  const seen = new Set<string>();
  for (const { id, source: origin, metric, model } of criteria) {
    if (seen.has(id)) throw refuse(`two criteria are called "${id}"`);
    seen.add(id);
    const { metrics } = sources[origin];
    if (!Object.hasOwn(metrics, metric))
      throw refuse(
        `"${id}" asks ${origin} for "${metric}"`,
        suggest(metric, Object.keys(metrics), `Figures of ${origin} are`),
      );
    if (model !== undefined && (models === undefined || !Object.hasOwn(models, model)))
      throw refuse(`"${id}" is bound to the model "${model}", which is not in models`);
  }
}

/** With these digests in the place of those it has. Throws USAGE for a model it does not know, BAD_INPUT for no digest. */
export function bindModels(profile: GateProfile, bindings: ReadonlyMap<string, string>): GateProfile {
  const models = { ...profile.models };
  for (const [name, digest] of bindings) {
    const model = Object.hasOwn(models, name) ? models[name] : undefined;
    if (model === undefined) {
      const known = Object.keys(models);
      throw new CoremlxError("USAGE", `Cannot bind "${name}": "${profile.name}" has no such model`, {
        hint: known.length === 0 ? "It is bound to no model" : suggest(name, known, "Its models are"),
      });
    }
    if (!/^[0-9a-f]{64}$/.test(digest))
      throw new CoremlxError(
        "USAGE",
        `Cannot bind "${name}" to "${digest}": it is no SHA-256 in hexadecimal`,
        {
          hint: "coremlx inspect MODEL prints a model's digest",
        },
      );
    models[name] = { ...model, digest };
  }
  return { ...profile, models };
}

/** Tells two profiles apart, whatever they are called. */
export function digestProfile(profile: GateProfile): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(profile)).digest("hex");
}
