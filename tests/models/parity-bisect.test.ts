// The operation of a real network with an error in it is found among all others.

import { expect, test } from "bun:test";
import { generate } from "../../src/codecs/generate.ts";
import { ProgramTrace } from "../../src/runtime/trace.ts";
import { bisect } from "../../src/suites/parity/bisect.ts";
import { listWeighted, scaleWeights } from "../support/doctored.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";

test("an error of a thousandth in the weights of one convolution of FastViT-T8 is found, and the convolution named", async () => {
  using folder = tempFolder();
  const path = sharedPath("models/reference/fastvit_t8_fp16/model.mlpackage");
  const weighted = await listWeighted(path);
  const op = weighted[30];
  if (op === undefined) throw new Error("the network has fewer operations than it had");
  const doctored = await scaleWeights(path, folder.path, { name: op.name, factor: 1.001 });
  const options = { cacheDir: folder.path };
  using subject = await ProgramTrace.open(doctored, options);
  using reference = await ProgramTrace.open(path, options);
  const picture = {
    name: "image",
    description: "",
    isOptional: false,
    type: { kind: "image", width: 256, height: 256, colorSpace: "RGB", constraint: { kind: "fixed" } },
  } as const;
  const inputs = new Map([["image", generate(picture, "random", { seed: 1 })]]);
  const found = bisect(subject.given(inputs), reference.given(inputs), {
    input: "random",
    threshold: 1e-5,
    memoryBytes: 64e6,
  });
  const culprit = { type: op.type, name: op.name, inputOfRange: 0, of: 485, function: "main" };
  expect(found).toMatchObject({ firstBeyond: culprit, firstDifferent: culprit, operations: 91 });
  // The error of the weights is a thousandth: so is that of what they make, up to the bias.
  expect(found.firstBeyond?.ofRange ?? 0).toBeGreaterThan(2e-4);
  expect(found.firstBeyond?.ofRange ?? 1).toBeLessThan(2e-3);
}, 60_000);
