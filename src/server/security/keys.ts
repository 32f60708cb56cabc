// API keys: who may call which group of routes. A key comes as "Authorization: Bearer KEY" or "X-API-Key: KEY".

import { timingSafeEqual } from "node:crypto";
import { CoremlxError } from "../../core/errors.ts";
import type { RouteGroup } from "../route.ts";
import { refuse } from "../status.ts";

/** The page is not among them: it holds nothing, and a browser cannot bring a key when it opens one. */
export const keyGroups = ["health", "metadata", "inference", "repository", "metrics"] as const;

export type KeyGroup = (typeof keyGroups)[number];

export interface ApiKey {
  readonly text: string;
  readonly groups: readonly KeyGroup[];
}

export interface KeyOptions {
  /** None: nobody needs one. */
  readonly keys: readonly ApiKey[];
  /** Open to everybody all the same. */
  readonly keylessGroups: readonly KeyGroup[];
}

/** Load balancers and supervisors, which look at health, have no keys. */
export const defaultKeylessGroups: readonly KeyGroup[] = ["health"];

/** Throws 401 without a key or with one that is unknown, 403 for one of other groups. Undefined: a path that is no route. */
export type Authorize = (request: Request, group: RouteGroup | undefined) => void;

export function createAuthorizer({ keys, keylessGroups }: KeyOptions): Authorize {
  if (keys.length === 0) return () => {};
  const open = new Set<RouteGroup | undefined>(["page", ...keylessGroups]);
  const known = keys.map(({ text, groups }) => ({ digest: digestOf(text), groups: new Set<string>(groups) }));
  return (request, group) => {
    if (open.has(group)) return;
    const given = keyOf(request);
    if (given === undefined) throw unauthorized("This needs a key");
    const digest = digestOf(given);
    let groups: ReadonlySet<string> | undefined;
    // All of them, and each as a whole: how long it takes says nothing of where they differ.
    for (const key of known) if (timingSafeEqual(key.digest, digest)) groups = key.groups;
    if (groups === undefined) throw unauthorized("The key is not known");
    if (group !== undefined && !groups.has(group)) throw refuse(403, `The key is not for ${group}`);
  };
}

/** Of equal length, whatever the keys are. */
function digestOf(text: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(text).digest();
}

function keyOf({ headers }: Request): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
  return bearer ?? headers.get("x-api-key") ?? undefined;
}

function unauthorized(message: string): CoremlxError {
  return refuse(401, message, { "www-authenticate": 'Bearer realm="coremlx"' });
}

const shortestKey = 16;
const longestKey = 1_024;

/** "KEY", for all groups, or "KEY GROUP…". Throws USAGE, and never says the key. */
export function parseKey(line: string, place: string): ApiKey {
  const [text = "", ...names] = line.trim().split(/\s+/);
  if (text.length < shortestKey || text.length > longestKey || !/^[!-~]+$/.test(text)) {
    throw new CoremlxError(
      "USAGE",
      `Cannot use the key of ${place}: it must be ${shortestKey} to ${longestKey} printable ASCII characters without spaces, and has ${text.length}`,
      { hint: "Make one: openssl rand -hex 32" },
    );
  }
  return { text, groups: names.length === 0 ? keyGroups : names.map((name) => parseGroup(name, place)) };
}

export function parseGroup(name: string, place: string): KeyGroup {
  const group = keyGroups.find((candidate) => candidate === name);
  if (group !== undefined) return group;
  throw new CoremlxError("USAGE", `Cannot use the group "${name.slice(0, 40)}" of ${place}: there is none`, {
    hint: `The groups are ${keyGroups.join(", ")}`,
  });
}
