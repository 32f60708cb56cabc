// One line on a terminal that says how far something is, written over again and again.

import type { Io } from "./output.ts";

export interface LiveLine extends Disposable {
  show(text: string): void;
  clear(): void;
}

/** Silent where stderr is no terminal. */
export function liveLine(io: Io, isWanted: boolean): LiveLine {
  const isShown = isWanted && io.isTerminal.stderr;
  let hasText = false;
  const clear = () => {
    if (hasText) io.stderr("\r\u001b[K");
    hasText = false;
  };
  return {
    show(text) {
      if (!isShown) return;
      io.stderr(`\r${text}\u001b[K`);
      hasText = true;
    },
    clear,
    [Symbol.dispose]: clear,
  };
}
