// Waivers: somebody answers, with a name and a reason and until a day, for a line that is not green.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../core/errors.ts";
import { record } from "../schema-parts.ts";
import { type GateProfile, identifier, placeName } from "./profile-schema.ts";

const text = (description: string) => Type.String({ minLength: 3, maxLength: 1_000, description });

export const waiver = Type.Object(
  {
    criterion: identifier,
    place: Type.Optional(placeName),
    name: text("who answers for it"),
    reason: text("why it may be released all the same"),
    expires: Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}$", description: "the last day it holds, UTC" }),
  },
  record,
);
export type Waiver = Static<typeof waiver>;

const checkWaivers = TypeCompiler.Compile(
  Type.Object({ waiver: Type.Array(waiver, { maxItems: 1_000 }) }, record),
);

const dayMs = 86_400_000;

/** Throws BAD_INPUT for what is none, and for one of a line that the profile does not have. */
export function parseWaivers(value: unknown, source: string, profile: GateProfile): readonly Waiver[] {
  if (!checkWaivers.Check(value)) {
    const first = checkWaivers.Errors(value).First();
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read the waivers of ${source}: ${first?.path}: ${first?.message}`,
      {
        hint: "Each is a [[waiver]] with criterion, name, reason and expires",
      },
    );
  }
  for (const { criterion, place, expires } of value.waiver) {
    const found = profile.criteria.find(({ id }) => id === criterion);
    if (found === undefined || (place !== undefined && !found.places.includes(place))) {
      const line = place === undefined ? criterion : `${criterion} at ${place}`;
      throw new CoremlxError("BAD_INPUT", `Cannot waive "${line}": "${profile.name}" has no such line`, {
        hint: `Its criteria are ${profile.criteria.map(({ id }) => id).join(", ")}`,
      });
    }
    if (Number.isNaN(lastMoment(expires)))
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot waive "${criterion}" until ${expires}: there is no such day`,
      );
  }
  return value.waiver;
}

export function hasExpired({ expires }: Waiver, nowMs: number): boolean {
  return nowMs >= lastMoment(expires);
}

/** The first moment at which it no longer holds. */
function lastMoment(day: string): number {
  const startMs = Date.parse(`${day}T00:00:00.000Z`);
  // Date takes the 31st of a short month for the 1st of the next.
  const isDay = Number.isFinite(startMs) && new Date(startMs).toISOString().startsWith(day);
  return isDay ? startMs + dayMs : Number.NaN;
}
