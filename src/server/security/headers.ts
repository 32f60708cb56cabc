// What every answer tells browsers: to take it for what it says it is, to show it in no frame, to keep no copy.

const everywhere: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

const entries = Object.entries(everywhere);

/** Leaves what a route says itself: the page has a policy of its own. */
export function secureHeaders({ headers }: Response): void {
  for (const [name, value] of entries) if (!headers.has(name)) headers.set(name, value);
}
