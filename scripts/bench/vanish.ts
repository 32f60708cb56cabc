// 10,000 clients that leave in the middle, and SIGTERM under load: what stays behind, what fails, how long the end takes.

import { digitPicture } from "../../tests/support/digits.ts";
import { binaryRequest, jsonRequest } from "../../tests/support/server/inference-requests.ts";
import { startLoyalCallers } from "../../tests/support/server/loyal-callers.ts";
import { vanish } from "../../tests/support/server/vanish.ts";
import type { Figure } from "./figure.ts";
import { writeChainModel } from "./models.ts";
import { digitsPackage, startServing } from "./serving.ts";

const callers = 64;
const graceMs = 10_000;
const delayMs = 1_000;

export async function measureVanish(folder: string, isQuick: boolean): Promise<Figure[]> {
  const count = isQuick ? 1_000 : 10_000;
  const { bytes: picture } = await digitPicture(7);
  const image = { name: "image", datatype: "UINT8", shape: [28, 28] };
  const matrix = { name: "x", datatype: "FP32", shape: [256, 256] };
  const requests = [
    jsonRequest("digits", { inputs: [{ ...image, data: [...picture] }] }),
    binaryRequest("digits", image, picture),
    binaryRequest("chain", matrix, new Uint8Array(4 * 256 * 256)),
  ];
  const models = [`digits=${digitsPackage}`, `chain=${writeChainModel(folder, 8)}`];
  const end = ["--drain-delay", `${delayMs}ms`, "--grace", `${graceMs}ms`];
  await using server = await startServing([...models, ...end], folder);
  const { url } = server;
  const startedMs = performance.now();
  const left = await vanish({ url, seed: "vanish", count, callers, requests, stayMs: 20 });
  const seconds = (performance.now() - startedMs) / 1_000;
  const held = await settle(url);

  const loyal = startLoyalCallers({ url, callers, requests });
  const wanted = isQuick ? 500 : 5_000;
  while (loyal.answered < wanted) await Bun.sleep(10);
  const [ended, tally] = await Promise.all([server.end(), loyal.gone]);
  const failed = Object.entries(tally.answers).filter(([status]) => status !== "200");
  const failures = failed.reduce((sum, [, times]) => sum + times, tally.broken + tally.refused);
  const { duringRequest, duringRun, duringAnswer } = left;
  return [
    {
      name: `still at work or waiting after ${count} clients vanished`,
      value: held,
      unit: "requests",
      limit: { atMost: 0 },
      note: `${duringRequest} left while they sent, ${duringRun} before the answer, ${duringAnswer} with its first bytes, in ${seconds.toFixed(0)} s`,
    },
    {
      name: "requests without their answer when SIGTERM came under load",
      value: failures,
      unit: "",
      limit: { atMost: 0 },
      note: `${tally.answers[200] ?? 0} answered for ${callers} callers, ${tally.broken} broken, ${tally.refused} refused, others ${JSON.stringify(failed)}`,
    },
    {
      name: "from SIGTERM to the end",
      value: ended.ms,
      unit: "ms",
      limit: { atMost: delayMs + graceMs },
      note: `exit code ${ended.code}; --drain-delay ${delayMs} ms, --grace ${graceMs} ms`,
    },
    { name: "exit code", value: ended.code, unit: "", limit: { atMost: 0 }, note: "0: nobody was cut off" },
  ];
}

const busyMeters =
  /^coremlx_(?:instances_busy|instances_poisoned|inference_pending_requests)\{[^}]*\} (\d+)$/gm;

/** What is left of their requests when the server has had time to notice; 0 as soon as it is nothing. */
async function settle(url: string): Promise<number> {
  for (let round = 0; ; round++) {
    const text = await (await fetch(`${url}metrics`)).text();
    const held = [...text.matchAll(busyMeters)].reduce((sum, [, value]) => sum + Number(value), 0);
    if (held === 0 || round === 100) return held;
    await Bun.sleep(50);
  }
}
