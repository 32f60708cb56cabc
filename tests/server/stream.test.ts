// Large answers, sent from the memory they lie in: whole, from memory that is used again at once, and given back by clients who leave.

import { afterAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { openSession } from "../../src/runtime/session.ts";
import { openServer } from "../../src/server/server.ts";
import { streamParts } from "../../src/server/stream.ts";
import { operation, port, writeProgram } from "../support/program-models.ts";
import { tempFolder } from "../support/temp.ts";

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

/** Two results of 16 MB each, which go into mapped files. */
const shape = [2048, 2048];
const elementCount = 2048 * 2048;
const x = port("x", "float32", shape);
const outputs = [port("same", "float32", shape), port("negative", "float32", shape)];
const path = writeProgram(join(folder.path, "large.mlpackage"), {
  inputs: [x],
  outputs,
  operations: outputs.map((output, i) => operation(i === 0 ? "relu" : "abs", { x: "x" }, output)),
});
const session = await openSession({ cache: false });
const server = await openServer({ session, models: [{ name: "large", path }], port: 0, timeoutMs: 60_000 });
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await session[Symbol.asyncDispose]();
});

function makeRequest(fill: number) {
  const head = new TextEncoder().encode(
    JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: [{ name: "x", datatype: "FP32", shape, parameters: { binary_data_size: 4 * elementCount } }],
    }),
  );
  const body = new Uint8Array(new ArrayBuffer(head.length + 4 * elementCount));
  body.set(head);
  body.set(new Uint8Array(new Float32Array(elementCount).fill(fill).buffer), head.length);
  return { body, headers: { "inference-header-content-length": String(head.length) } };
}

test("they arrive whole, beside each other, though the memory is lent again at once", async () => {
  const ask = async (fill: number) => {
    const { body, headers } = makeRequest(fill);
    const response = await fetch(`${server.url.href}v2/models/large/infer`, {
      method: "POST",
      body,
      headers,
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const jsonLength = Number(response.headers.get("inference-header-content-length"));
    expect(bytes.length).toBe(jsonLength + 8 * elementCount);
    const values = new Float32Array(bytes.slice(jsonLength).buffer);
    expect(values.every((value) => value === fill)).toBe(true);
  };
  await Promise.all([1, 2, 3].map(ask));
  await ask(4);
  expect(session.stats.outputs?.lent).toBe(0);
});

test("a client that leaves in the middle gives the memory back", async () => {
  const { body, headers } = makeRequest(1);
  const socket = connect(Number(server.url.port), "127.0.0.1");
  socket.on("error", () => {
    // it is we who leave
  });
  const length = headers["inference-header-content-length"];
  socket.write(
    `POST /v2/models/large/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\nInference-Header-Content-Length: ${length}\r\n\r\n`,
  );
  socket.write(body);
  // The first bytes are there, the rest does not fit into what the sockets hold.
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  expect(session.stats.outputs?.lent).toBe(2);
  socket.destroy();
  while (session.stats.outputs?.lent !== 0) await new Promise((resolve) => setTimeout(resolve, 2));
});

test("a piece's memory may be overwritten when the next is asked for, however slow the client is", async () => {
  const byteLength = 8 * 2 ** 20;
  const pieceBytes = 2 ** 20;
  const source = new Uint8Array(new ArrayBuffer(byteLength)).fill(7);
  let ended = 0;
  const origin = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ signal }) => {
      const reader = streamParts([source], { signal, onEnd: () => void ended++ }).getReader();
      let given = 0;
      return new Response(
        new ReadableStream<Uint8Array>(
          {
            async pull(controller) {
              source.fill(0xee, Math.max(given - pieceBytes, 0), given);
              const { value, done } = await reader.read();
              if (done) return controller.close();
              given += value.length;
              controller.enqueue(value);
            },
          },
          { highWaterMark: 0 },
        ),
      );
    },
  });
  const socket = connect(origin.port ?? 0, "127.0.0.1");
  socket.write("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  let wrong = 0;
  let sevens = 0;
  let isBody = false;
  for await (const chunk of socket) {
    const bytes: Uint8Array = chunk;
    const start = isBody ? 0 : Buffer.from(bytes).indexOf("\r\n\r\n") + 4;
    isBody = true;
    for (const byte of bytes.subarray(start)) {
      if (byte === 7) sevens++;
      else if (byte === 0xee) wrong++;
    }
    await new Promise((resolve) => setImmediate(resolve)); // takes its time
  }
  await origin.stop(true);
  expect({ wrong, sevens, ended }).toEqual({ wrong: 0, sevens: byteLength, ended: 1 });
});

test("a client that has gone before anything was sent gives the memory back too", () => {
  let ended = 0;
  const leave = new AbortController();
  streamParts([new Uint8Array(8)], { signal: leave.signal, onEnd: () => void ended++ });
  leave.abort();
  streamParts([new Uint8Array(8)], { signal: leave.signal, onEnd: () => void ended++ });
  expect(ended).toBe(2);
});
