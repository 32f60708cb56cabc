// Who can reach the socket at all: beyond this machine a server needs keys, or somebody who says that it shall not.

import { isIPv4 } from "node:net";
import { CoremlxError } from "../../core/errors.ts";

export interface Exposure {
  readonly hostname: string;
  readonly unixPath: string | undefined;
  readonly hasKeys: boolean;
  readonly isInsecure: boolean;
}

/** Throws USAGE for an address that others can reach while anybody may call. */
export function checkExposure({ hostname, unixPath, hasKeys, isInsecure }: Exposure): void {
  if (unixPath !== undefined || hasKeys || isInsecure || isLoopback(hostname)) return;
  throw new CoremlxError(
    "USAGE",
    `Cannot listen on "${hostname}" without keys: other machines could reach it, and anybody may call`,
    { hint: "Give --api-key-file, or --insecure where something else keeps others out" },
  );
}

/** Other names are resolved by whoever keeps the list of names: they count as anywhere. */
function isLoopback(hostname: string): boolean {
  const name = hostname.toLowerCase();
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}
