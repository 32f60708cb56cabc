// A process that runs a graph on two threads and ends without closing anything.

import { f32, numbersOf } from "../../../src/core/tensor.ts";
import { OnnxRuntime } from "../../../src/native/onnxruntime.ts";
import { onnxModel } from "../onnxruntime.ts";

const runtime = OnnxRuntime.open(process.argv[2] ?? "");
const session = runtime.createSession(onnxModel("add"), { threads: 2 });
const results = session.run(
  new Map([
    ["a", f32([1, 2, 3, 4], [1, 4])],
    ["b", f32([10, 20, 30, 40], [1, 4])],
  ]),
);
process.stdout.write(String([...numbersOf(results.get("sum") ?? f32([]))]));
process.exit(0);
