// Clients that leave in the middle of everything, and the end of a server that is busy. `bun run bench vanish` has 10,000 of them.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeChainModel } from "../../scripts/bench/models.ts";
import { openServer } from "../../src/server/server.ts";
import { openSession } from "../../src/runtime/session.ts";
import { digitPicture, digitsPackage } from "../support/digits.ts";
import { binaryRequest, jsonRequest } from "../support/server/inference-requests.ts";
import { startLoyalCallers } from "../support/server/loyal-callers.ts";
import { vanish } from "../support/server/vanish.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const { bytes: picture } = await digitPicture(7);
const image = { name: "image", datatype: "UINT8", shape: [28, 28] };
const matrix = { name: "x", datatype: "FP32", shape: [256, 256] };
const requests = [
  jsonRequest("digits", { inputs: [{ ...image, data: [...picture] }] }),
  binaryRequest("digits", image, picture),
  binaryRequest("chain", matrix, new Uint8Array(4 * 256 * 256)),
];

test("400 clients vanish, and the end comes under load: nothing stays lent, and every request taken has its answer", async () => {
  await using session = await openSession({ cache: false });
  const models = [
    { name: "digits", path: digitsPackage },
    { name: "chain", path: writeChainModel(folder.path, 4) },
  ];
  const server = await openServer({ session, models, port: 0 });
  const url = server.url.href;
  const tally = await vanish({ url, seed: "1", count: 400, callers: 16, requests, stayMs: 10 });
  for (const left of Object.values(tally)) expect(left).toBeGreaterThan(10);

  const callers = startLoyalCallers({ url, callers: 16, requests });
  while (callers.answered < 200) await new Promise((resolve) => setTimeout(resolve, 2));
  const drained = server.drain({ delayMs: 200, graceMs: 20_000 });
  expect(await callers.gone).toEqual({ answers: { 200: expect.any(Number) }, broken: 0, refused: 0 });
  expect(await drained).toBe(true);
  const { bufferPool, outputs } = session.stats;
  expect({ lent: bufferPool?.lentCount, quarantined: bufferPool?.quarantinedCount, outputs }).toEqual({
    lent: 0,
    quarantined: 0,
    outputs: expect.objectContaining({ lent: 0, quarantined: 0 }),
  });
});
