// What web pages of others may do: nothing, unless their origin is in a list. A browser sends requests of any page to any
// server, and only hides the answers; so those that come from elsewhere are turned away before anything is done for them.

import { CoremlxError } from "../../core/errors.ts";
import { refuse } from "../status.ts";

export interface OriginPolicy {
  /** Throws 403 for a request that a page of another origin made. */
  check(request: Request): void;
  /** The answer to a browser that asks what a page of an allowed origin may send; undefined for every other request. */
  answerPreflight(request: Request): Response | undefined;
  /** Lets the page of an allowed origin see the answer. */
  share(request: Request, response: Response): void;
}

const exposedHeaders = "Inference-Header-Content-Length, X-Request-Id, Retry-After, Content-Encoding";
const allowedHeaders =
  "Authorization, X-API-Key, Content-Type, Content-Encoding, Inference-Header-Content-Length, X-Request-Id, traceparent";

/** "*" is every origin. */
export function createOriginPolicy(allowedOrigins: readonly string[]): OriginPolicy {
  const allowed = new Set(allowedOrigins.map(parseOrigin));
  const isAllowed = (origin: string) => allowed.has("*") || allowed.has(origin);
  return {
    check({ headers, method }) {
      const origin = headers.get("origin");
      const site = headers.get("sec-fetch-site");
      if (origin === null && site === null) return; // no browser
      // Browsers set this one themselves; behind a proxy that changes Host it is all there is to go by.
      if (site === "same-origin" || site === "none") return;
      if (origin !== null) {
        if (isAllowed(origin) || (site === null && isOwn(origin, headers.get("host")))) return;
      } else if (isNavigation(method, headers)) return;
      throw refuse(403, "This server does not answer to pages of other origins");
    },
    answerPreflight({ method, headers }) {
      const origin = headers.get("origin");
      if (method !== "OPTIONS" || origin === null || !headers.has("access-control-request-method"))
        return undefined;
      if (!isAllowed(origin)) return undefined;
      return new Response(null, {
        status: 204,
        headers: {
          "access-control-allow-methods": "GET, HEAD, POST",
          "access-control-allow-headers": allowedHeaders,
          "access-control-max-age": "600",
          ...(headers.has("access-control-request-private-network") && {
            "access-control-allow-private-network": "true",
          }),
        },
      });
    },
    share({ headers }, response) {
      if (allowed.size === 0) return;
      response.headers.append("vary", "Origin");
      const origin = headers.get("origin");
      if (origin === null || !isAllowed(origin)) return;
      response.headers.set("access-control-allow-origin", origin);
      response.headers.set("access-control-expose-headers", exposedHeaders);
      response.headers.set("cross-origin-resource-policy", "cross-origin");
    },
  };
}

/** A person who follows a link. */
function isNavigation(method: string, headers: Headers): boolean {
  return (method === "GET" || method === "HEAD") && headers.get("sec-fetch-mode") === "navigate";
}

/** The page that this server gave, by whatever name it was called; the names are checked elsewhere. */
function isOwn(origin: string, host: string | null): boolean {
  if (host === null || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  const own = `${url.protocol}//${host}`;
  return URL.canParse(own) && new URL(own).host === url.host && url.host !== "";
}

function parseOrigin(text: string): string {
  if (text === "*" || (URL.canParse(text) && new URL(text).origin === text)) return text;
  throw new CoremlxError("USAGE", `Cannot allow the origin "${text}": it is none`, {
    hint: "Write it like https://example.org or http://localhost:3000, without a slash at the end; * for all",
  });
}
