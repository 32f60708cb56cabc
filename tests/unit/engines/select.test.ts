// Which engine is opened: by name, or the best that there is. A stand-in for Core ML is none.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { openEngine } from "../../../src/engines/select.ts";
import { encodeTape } from "../../../src/engines/tape/file.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../support/digits.ts";
import { recordOn } from "../../support/engines/recorded.ts";
import { tempFolder } from "../../support/temp.ts";

const isMac = process.platform === "darwin";

test.skipIf(isMac)("without a library Core ML is refused with the reason, and what to use", async () => {
  using folder = tempFolder();
  expect(await rejectionOf(openEngine({ engine: "coreml", cacheDir: folder.path }))).toMatchObject({
    code: "UNSUPPORTED",
    message: "Cannot use the Core ML engine: it needs macOS on Apple silicon",
    hint: expect.stringContaining("--engine portable"),
  });
});

test.skipIf(isMac)("auto is the portable engine, also where a library for Core ML is named", async () => {
  using folder = tempFolder();
  const coremlPath = join(folder.path, "libcoremlx.so");
  await using engine = await openEngine({ engine: "auto", cacheDir: folder.path, coremlPath });
  expect(engine.name).toBe("portable");
});

test("a library that is not there, or is no library, is refused by name", async () => {
  using folder = tempFolder();
  const [missing, text] = [join(folder.path, "none.so"), join(import.meta.dir, "select.test.ts")];
  const open = (coremlPath: string) => openEngine({ engine: "coreml", cacheDir: folder.path, coremlPath });
  expect(await rejectionOf(open(missing))).toMatchObject({
    code: "BAD_INPUT",
    message: expect.stringContaining(missing),
  });
  expect(await rejectionOf(open(text))).toMatchObject({
    code: "NATIVE",
    message: expect.stringContaining(text),
  });
});

test("a name that nobody knows is a mistake of usage", async () => {
  using folder = tempFolder();
  expect(await rejectionOf(openEngine({ engine: "coremll", cacheDir: folder.path }))).toMatchObject({
    code: "USAGE",
    message: 'Unknown engine "coremll": use auto, coreml, portable, tape:FILE or http://HOST:PORT',
  });
});

test("a precision is the portable engine's own: it takes one, another engine refuses it", async () => {
  using folder = tempFolder();
  await using portable = await openEngine({ engine: "portable", cacheDir: folder.path, precision: "model" });
  expect(portable.name).toBe("portable");
  const tape = join(folder.path, "digits.tape");
  const steps = [new Map([["image", await digitPicture(7)]])];
  await Bun.write(tape, encodeTape(await recordOn(portable, digitsPackage, [{ sequences: [{ steps }] }])));
  const opening = openEngine({ engine: `tape:${tape}`, cacheDir: folder.path, precision: "float32" });
  expect(await rejectionOf(opening)).toMatchObject({
    code: "UNSUPPORTED",
    message: 'Cannot use precision "float32" with engine tape: it computes as it does',
    hint: "Leave --precision out, or use --engine portable",
  });
});
