// How much memory of its own a process has in RAM. Files it has mapped (weights) are not counted: they come in page by
// page as they are read, which looks like a leak and is none.

import { readFileSync } from "node:fs";

/** Undefined where nobody knows: the process is gone, or the system does not tell about other processes. */
export function readAnonymousBytes(pid: number): number | undefined {
  if (process.platform !== "linux") return pid === process.pid ? process.memoryUsage.rss() : undefined;
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined; // it has ended
  }
}
