// A process that loads what is no model and runs what cannot work. Prints the codes of both errors, and no more.

import { CoremlxError } from "../../../src/core/errors.ts";
import { f32, tensorOf } from "../../../src/core/tensor.ts";
import { OnnxRuntime } from "../../../src/native/onnxruntime.ts";
import { onnxModel } from "../onnxruntime.ts";

using runtime = OnnxRuntime.open(process.argv[2] ?? "");
using session = runtime.createSession(onnxModel("gather"));
const attempts = [
  () => runtime.createSession(new Uint8Array([1, 2, 3])),
  () =>
    session.run(
      new Map([
        ["x", f32([1, 2, 3])],
        ["index", tensorOf("int64", [9])],
      ]),
    ),
];
const codes = attempts.map((attempt) => {
  try {
    attempt();
    return "none";
  } catch (error) {
    return error instanceof CoremlxError ? error.code : String(error);
  }
});
process.stdout.write(codes.join(" "));
