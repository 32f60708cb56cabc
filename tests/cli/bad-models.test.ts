// Models that are missing, damaged or hostile: each is refused with its reason and exit code, through the program.

import { afterAll, describe, setDefaultTimeout, test } from "bun:test";
import { linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  copyDigits,
  edit,
  goodWeights,
  modelFile,
  nestedModel,
  randomBytes,
  weightFile,
  writeWithManifest,
  writeWithWeight,
} from "../support/damaged.ts";
import { blobFile, floats, modelBytes, programModel, unary, writePackage } from "../support/model-files.ts";
import { expectFailure } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000); // concurrent tests wait for each other

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
let count = 0;
const fresh = (ending = ".mlpackage") => join(folder.path, `m${count++}${ending}`);

/** Both commands that open models refuse alike: inspect reads it here, infer in its worker. */
async function expectBadModel(
  path: string,
  reason: string | RegExp,
  hint: string | RegExp | undefined,
  command = "inspect",
): Promise<void> {
  const message = typeof reason === "string" ? `Cannot open "${path}": ${reason}` : reason;
  await expectFailure([command, path], { exit: 4, code: "BAD_MODEL", message, hint });
}

describe("a model that is not there", () => {
  test.concurrent.each(["inspect", "infer", "export"])("%s of a missing file says so", async (command) => {
    const args = command === "export" ? ["-o", join(folder.path, "x.onnx")] : [];
    await expectFailure([command, join(folder.path, "nothing.here"), ...args], {
      exit: 4,
      code: "BAD_MODEL",
      message: `Cannot open "${join(folder.path, "nothing.here")}": there is no such file or folder`,
      hint: "A model is an .mlpackage folder, an .mlmodelc folder or an .mlmodel file",
    });
  });

  test.concurrent("a slip in the name brings the right one", async () => {
    await expectFailure(["infer", "examples/digits/Digit.mlpackage"], {
      exit: 4,
      code: "BAD_MODEL",
      message: 'Cannot open "examples/digits/Digit.mlpackage": there is no such file or folder',
      hint: 'Did you mean "examples/digits/Digits.mlpackage"?',
    });
  });

  test.concurrent("a slip in a folder's name brings the right path, its ending too", async () => {
    await expectFailure(["inspect", "exmples/digits/Digits.mlpackage"], {
      exit: 4,
      code: "BAD_MODEL",
      message: 'Cannot open "exmples/digits/Digits.mlpackage": there is no folder "exmples/digits"',
      hint: 'Did you mean "examples/digits/Digits.mlpackage"?',
    });
    await expectFailure(["inspect", "examples/digits/digits"], {
      exit: 4,
      code: "BAD_MODEL",
      message: /there is no such file or folder$/,
      hint: 'Did you mean "examples/digits/Digits.mlpackage"?',
    });
  });

  test.concurrent("an address is no file, and stdin is no model", async () => {
    await expectFailure(["infer", "https://example.org/m.mlpackage"], {
      exit: 4,
      code: "BAD_MODEL",
      message:
        'Cannot open "https://example.org/m.mlpackage": it is an address, and models are opened from disk',
      hint: "Download it, then give the path of the file or folder",
    });
    await expectFailure(["inspect", "-"], {
      exit: 4,
      code: "BAD_MODEL",
      message: "Cannot open a model from the standard input",
      hint: "Give the path of a file or folder",
    });
  });
});

describe("a folder that is no package", () => {
  test.concurrent("without anything of a model in it", async () => {
    const path = fresh("");
    mkdirSync(path);
    writeFileSync(join(path, "notes.txt"), "no model");
    await expectBadModel(
      path,
      "this folder is not a Core ML model",
      "A model is an .mlpackage folder, an .mlmodelc folder or an .mlmodel file",
    );
  });

  test.concurrent("but holds one", async () => {
    const path = fresh("");
    copyDigits(join(path, "Digits.mlpackage"));
    await expectBadModel(
      path,
      "this folder is not a Core ML model, it holds one or more",
      `Open "${join(path, "Digits.mlpackage")}"`,
    );
  });

  test.concurrent("but is named like one", async () => {
    const path = fresh();
    mkdirSync(path);
    await expectBadModel(
      path,
      "the package has no Manifest.json",
      "Copy the whole folder again, it is incomplete",
    );
  });
});

describe("a manifest", () => {
  test.concurrent.each([
    ["leads out with ..", "../../secret", /Manifest.json has the path "..\/..\/secret", which leads out/],
    ["names an absolute path", "/etc/passwd", /Manifest.json has the absolute path "\/etc\/passwd"$/],
  ] as const)("that %s is refused", async (_, itemPath, reason) => {
    await expectBadModel(writeWithManifest(fresh(), itemPath), reason, undefined);
  });

  test.concurrent("that names a file that is missing is refused, with what may have become of it", async () => {
    const reason = /"Data\/com.apple.CoreML\/other" does not exist/;
    await expectBadModel(
      writeWithManifest(fresh(), "com.apple.CoreML/other"),
      reason,
      /git drops empty folders/,
    );
  });

  test.concurrent("that names no root, or one that is none of its items, is refused", async () => {
    const path = "com.apple.CoreML/model.mlmodel";
    await expectBadModel(
      writeWithManifest(fresh(), path, null),
      /names no root model \("rootModelIdentifier" is missing\)$/,
      undefined,
    );
    await expectBadModel(
      writeWithManifest(fresh(), path, "B"),
      /names the root model "B", which is none of its items$/,
      undefined,
    );
  });

  test.concurrent("that is no JSON is refused", async () => {
    const path = copyDigits(fresh());
    writeFileSync(join(path, "Manifest.json"), "{");
    await expectBadModel(path, "Manifest.json is no JSON", undefined);
  });
});

describe("links", () => {
  test.concurrent("a symbolic link that leads out of the package is refused", async () => {
    const path = copyDigits(fresh());
    const outside = fresh(".bin");
    renameSync(join(path, weightFile), outside);
    symlinkSync(outside, join(path, weightFile));
    await expectBadModel(
      path,
      `"${weightFile}" is a symbolic link that leads out of the model`,
      "Copy the model with its links resolved (cp -RL) and open the copy",
    );
  });

  test.concurrent("so is a folder on the way to the model", async () => {
    const path = copyDigits(fresh());
    const outside = fresh("");
    renameSync(join(path, "Data"), outside);
    symlinkSync(outside, join(path, "Data"));
    await expectBadModel(path, /is a symbolic link that leads out of the model$/, /cp -RL/);
  });

  test.concurrent("a hard link to a file outside is refused", async () => {
    const path = copyDigits(fresh());
    linkSync(join(path, weightFile), fresh(".bin"));
    await expectBadModel(
      path,
      `"${weightFile}" is a hard link to a file outside the model (2 links, 1 inside)`,
      "Copy the model (cp -R) and open the copy",
    );
  });
});

describe("damage", () => {
  test.concurrent.each(["inspect", "infer"])("%s of a truncated model is refused", async (command) => {
    const path = copyDigits(fresh());
    edit(join(path, modelFile), (bytes) => bytes.subarray(0, bytes.length >> 1));
    await expectBadModel(path, new RegExp(`^Cannot open "${path}": .*(ends|beyond|truncated)`), /./, command);
  });

  test.concurrent("random bytes are refused", async () => {
    const path = fresh(".mlmodel");
    writeFileSync(path, randomBytes(4096));
    await expectBadModel(path, new RegExp(`^Cannot open "${path}": `), undefined);
  });

  test.concurrent.each([100, 10_000])(
    "nesting is refused, not followed (%d levels and more)",
    async (levels) => {
      const path = fresh(".mlmodel");
      writeFileSync(path, nestedModel(levels + 10));
      await expectBadModel(path, /messages are nested more than 100 deep/, undefined);
    },
  );

  test.concurrent("a missing weight file is named", async () => {
    const path = writeWithWeight(fresh(), goodWeights);
    rmSync(join(path, weightFile));
    writeFileSync(join(path, "Data/com.apple.CoreML/weights/other.bin"), goodWeights);
    await expectBadModel(
      path,
      /weight file "@model_path\/weights\/weight.bin" does not exist$/,
      "Copy the whole model folder, weights included",
    );
  });

  test.concurrent("a weight outside of its file is refused", async () => {
    await expectBadModel(
      writeWithWeight(fresh(), goodWeights, { offset: 1_000_000 }),
      /has its blob at 1000000 of ".*weight.bin" which has 144 bytes$/,
      undefined,
    );
    const lying = blobFile(floats(1, 2, 3, 4), { offset: 140n });
    await expectBadModel(
      writeWithWeight(fresh(), lying),
      /claims 16 bytes at 140 of a file of 144$/,
      undefined,
    );
  });

  test.concurrent("a weight without its mark is refused", async () => {
    await expectBadModel(
      writeWithWeight(fresh(), blobFile(floats(1, 2, 3, 4), { sentinel: 0x12345678 })),
      /expected the sentinel 0xdeadbeef there, got 0x12345678$/,
      undefined,
    );
  });

  test.concurrent("a weight whose size contradicts its shape is refused", async () => {
    await expectBadModel(
      writeWithWeight(fresh(), goodWeights, { shape: [5] }),
      /needs 20 bytes for its shape \[5\], its blob at 64 in .* claims 16 bytes$/,
      undefined,
    );
  });

  test.concurrent("infer refuses damaged weights before it loads anything", async () => {
    await expectBadModel(
      writeWithWeight(fresh(), blobFile(floats(1, 2, 3, 4), { sentinel: 1 })),
      /expected the sentinel/,
      undefined,
      "infer",
    );
  });
});

describe("a newer model", () => {
  test.concurrent.each(["inspect", "infer"])(
    "%s of specification version 11 asks for a newer coremlx",
    async (command) => {
      const path = writePackage(fresh(), {
        [modelFile]: modelBytes(programModel(undefined, { version: 11 })),
      });
      await expectFailure([command, path], {
        exit: 4,
        code: "BAD_MODEL",
        message: `Cannot open "${path}": it has specification version 11, the newest known is 10`,
        hint: "Use a newer coremlx, or convert the model for an older system",
        details: { specificationVersion: 11 },
      });
    },
  );

  test.concurrent("ops without a lowering are listed all at once, most frequent first, with exit code 5", async () => {
    const operations = [
      unary("relu", "x", "a"),
      unary("quantum_fold", "a", "b"),
      unary("time_travel", "b", "c"),
      unary("quantum_fold", "c", "y"),
    ];
    const path = writePackage(fresh(), { [modelFile]: modelBytes(programModel(operations)) });
    const expected = {
      exit: 5,
      code: "UNSUPPORTED",
      message: 'Cannot run function "main": no lowering for quantum_fold (2), time_travel (1)',
      hint: "Run the model on a Mac with --engine coreml",
      details: { missing: { quantum_fold: 2, time_travel: 1 } },
    } as const;
    await expectFailure(["infer", path], expected);
    await expectFailure(["export", path, "-o", fresh(".onnx")], expected);
  });

  test.concurrent("an engine that this machine lacks is refused with the one it has", async () => {
    await expectFailure(["infer", "examples/digits/Digits.mlpackage", "--engine", "coreml"], {
      exit: 5,
      code: "UNSUPPORTED",
      message: /^Cannot use the Core ML engine: /,
      hint: "Use --engine portable, which runs the same files here",
    });
  });
});
