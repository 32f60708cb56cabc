// Which names the server answers to. A web page can make its own name point to this machine (DNS rebinding) and so reach
// servers on loopback; its browser then says that name, and is turned away.

import { isIP } from "node:net";
import { refuse } from "../status.ts";

export type HostCheck = (request: Request) => void;

/**
 * Addresses and localhost always pass: no page can be served under them by anybody but us. Other names must be in the list; "*" is
 * all of them. A request without a Host, which no browser sends, passes.
 */
export function checkHost(allowedHosts: readonly string[]): HostCheck {
  const names = new Set(["localhost", ...allowedHosts.map((host) => host.toLowerCase())]);
  if (names.has("*")) return () => {};
  return (request) => {
    const given = request.headers.get("host");
    if (given === null || given === "") return;
    const name = nameOf(given);
    if (name !== undefined && (names.has(name) || isIP(name) !== 0)) return;
    throw refuse(421, "This server does not answer to the name in the Host header");
  };
}

/** Without port and brackets; undefined for what is no host. */
function nameOf(host: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^\s:,[\]/@]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, "");
}
