// Requests for no path of this server: CONNECT asks for a tunnel, and names no path at all.

import { refuse } from "../status.ts";

/** Throws 405. */
export function checkTarget({ method }: Request): void {
  if (method === "CONNECT") throw refuse(405, "This server is no proxy", { allow: "GET, HEAD, POST" });
}
