import { expect, test } from "bun:test";
import { join } from "node:path";
import { f32, zeros } from "../../../../src/core/tensor.ts";
import { addressOf } from "../../../../src/native/memory.ts";
import { defaultCacheDir } from "../../../../src/runtime/session.ts";
import { Mailbox } from "../../../../src/runtime/worker/mailbox.ts";
import type { LoadRequest, Reply, SharedTensor } from "../../../../src/runtime/worker/protocol.ts";
import { answerInTurn } from "../../../../src/runtime/worker/worker-reply.ts";
import { writeSumModel } from "../../../support/program-models.ts";
import { tempFolder } from "../../../support/temp.ts";

test("a worker answers messages and what waits in its mailbox, each once and in turn", async () => {
  using folder = tempFolder();
  const mailbox = new Mailbox();
  const replies: Reply[] = [];
  let onReply = () => {};
  const arrived = Promise.withResolvers<void>();
  const answer = answerInTurn((reply) => {
    replies.push(reply);
    onReply();
  }, new Mailbox(mailbox.buffer));
  const say = (id: number, request: Parameters<typeof answer>[0]["request"]) => {
    mailbox.announceMessage();
    answer({ id, request });
  };
  const shape = [2, 3];
  const [left, right, sum] = [
    f32([1, 2, 3, 4, 5, 6], shape),
    f32([1, 1, 1, 1, 1, 1], shape),
    zeros("float32", shape),
  ];
  const shared = (name: string, { bytes, dtype }: typeof left): SharedTensor => ({
    name,
    dtype,
    shape,
    address: addressOf(bytes),
    byteLength: bytes.byteLength,
  });
  const load: LoadRequest = {
    type: "load",
    path: writeSumModel(join(folder.path, "sum.mlpackage")),
    engine: {
      engine: "portable",
      cacheDir: defaultCacheDir(),
      onnxruntimePath: undefined,
      precision: undefined,
    },
    functionName: undefined,
    device: "auto",
    threads: 1,
    withDigest: false,
  };
  const inputs = [shared("left", left), shared("right", right)];
  const again = zeros("float32", shape);
  onReply = () => {
    if (replies.length === 2) {
      mailbox.postRun(3, inputs, [shared("sum", again)]);
      // Else this thread would sleep at the mailbox when the run is over.
      say(4, { type: "close" });
    }
    if (replies.length === 4) arrived.resolve();
  };
  say(1, load);
  say(2, { type: "run", inputs, outputs: [shared("sum", sum)] });
  await arrived.promise;
  expect(replies.map((reply) => (typeof reply === "number" ? reply : [reply.id, reply.ok]))).toEqual([
    [1, true],
    [2, true],
    3,
    [4, true],
  ]);
  expect(sum.bytes).toEqual(f32([2, 3, 4, 5, 6, 7], shape).bytes);
  expect(again.bytes).toEqual(sum.bytes);
  expect(mailbox.runMs(0)).toBeGreaterThan(0);
  // Said at the end, for only who is still spoken of is kept: the worker knows nothing but the addresses of these two.
  expect([left.bytes, right.bytes]).toEqual([
    f32([1, 2, 3, 4, 5, 6], shape).bytes,
    f32([1, 1, 1, 1, 1, 1], shape).bytes,
  ]);
});

test("a run that cannot be repeated is answered with its error", async () => {
  const mailbox = new Mailbox();
  const replied = Promise.withResolvers<Reply>();
  const answer = answerInTurn((reply) => replied.resolve(reply), new Mailbox(mailbox.buffer));
  mailbox.announceMessage();
  answer({ id: 1, request: { type: "run", inputs: [], outputs: [] } });
  expect(await replied.promise).toMatchObject({ id: 1, ok: false, error: { code: "INTERNAL" } });
});
