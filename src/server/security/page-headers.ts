// Headers of the pages, beside those of every answer: nothing runs on them but what we wrote, and nobody puts them into a frame.

import type { Page } from "../ui/pages.ts";

export function pageHeaders({ scriptHash, styleHash }: Page): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    `script-src '${scriptHash}'`,
    `style-src '${styleHash}'`,
    "connect-src 'self'",
    "img-src blob: data:", // a chosen picture, and the empty icon
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    // Text of a model never becomes markup: the browser refuses innerHTML and its like.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy.join("; "),
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    vary: "accept-encoding",
  };
}
