// Large answers straight from the memory they lie in, piece by piece, as fast as the client takes them.

/** Sent at once. Measured, 64 MB over loopback: 23 ms in pieces of 1 MiB, 26 ms of 4 MiB, 47 ms for a copy sent whole. */
const pieceBytes = 2 ** 20;

/**
 * Borrows the parts until it calls `onEnd`, once: after the last piece has been taken, or when the client has gone. Bun asks for a piece when it
 * has written the one before, or has copied what the socket did not take: so the memory of each is free when the next is asked for.
 */
export function streamParts(
  parts: readonly Uint8Array[],
  { signal, onEnd }: { readonly signal: AbortSignal; readonly onEnd: () => void },
): ReadableStream<Uint8Array> {
  let [part, at] = [0, 0];
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    signal.removeEventListener("abort", end);
    onEnd();
  };
  // A client that has gone before the first piece asks for none, and cancels nothing.
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        while (!isOver && part < parts.length && at >= (parts[part]?.length ?? 0)) [part, at] = [part + 1, 0];
        const bytes = isOver ? undefined : parts[part];
        if (bytes === undefined) {
          end();
          controller.close();
          return;
        }
        controller.enqueue(bytes.subarray(at, at + pieceBytes));
        at += pieceBytes;
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
