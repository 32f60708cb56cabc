// How fast our lowered graph runs against the same network exported to ONNX by torch, in one ONNX Runtime in one process,
// interleaved, with the same threads. Usage: bun run bench:peers [--runs N] [--threads N] [--json]

import { availableParallelism, cpus } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { decodeNpz } from "../src/codecs/npy.ts";
import { type Tensor, zeros } from "../src/core/tensor.ts";
import { openModel } from "../src/formats/open.ts";
import { lower } from "../src/lowering/lower.ts";
import { locateOnnxRuntime } from "../src/native/library.ts";
import { OnnxRuntime, type OrtSession } from "../src/native/onnxruntime.ts";
import { commonFolder, serializeModel } from "../src/onnx/serialize.ts";
import { defaultCacheDir } from "../src/runtime/session.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "60" },
    threads: { type: "string", default: String(availableParallelism()) },
    loads: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const runs = Number(values.runs);
const loads = Number(values.loads);
const threads = Number(values.threads);
const shared = process.env["COREMLX_SHARED"] ?? resolve(import.meta.dir, "../../shared");

const library = await locateOnnxRuntime({ path: undefined, cacheDir: defaultCacheDir() });
using runtime = OnnxRuntime.open(library);

const results = [];
for (const name of ["fastvit_t8_fp16", "mobilenet_v2_fp16"]) {
  results.push(await compare(name));
}
const machine = `${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores`;
if (values.json) {
  console.log(
    JSON.stringify({ schemaVersion: 1, machine, onnxruntime: runtime.version, threads, runs, results }),
  );
} else {
  console.log(
    `${machine}; ONNX Runtime ${runtime.version}; ${threads} threads; ${runs} interleaved runs, ${loads} loads`,
  );
  for (const row of results) {
    console.log(
      `${row.model}: run ${row.oursMs.toFixed(2)} ms, peer ${row.peerMs.toFixed(2)} ms, ratio ${row.ratio.toFixed(3)} ` +
        `(quartiles ${row.quartiles.map((q) => q.toFixed(3)).join(" to ")}); ` +
        `load ${row.oursLoadMs.toFixed(0)} ms, peer ${row.peerLoadMs.toFixed(0)} ms`,
    );
  }
}

async function compare(name: string) {
  const folder = join(shared, "models/reference", name);
  const ourLoads: number[] = [];
  const peerLoads: number[] = [];
  let ours = await timed(ourLoads, () => loadOurs(folder));
  let peer = await timed(peerLoads, () => loadPeer(folder));
  for (let i = 1; i < loads; i++) {
    ours[Symbol.dispose]();
    peer[Symbol.dispose]();
    ours = await timed(ourLoads, () => loadOurs(folder));
    peer = await timed(peerLoads, () => loadPeer(folder));
  }
  const input = await firstInput(folder);
  // The package scales the picture itself; torch's export wants it scaled.
  const { preprocessing } = JSON.parse(await Bun.file(join(folder, "meta.json")).text());
  const oursInput = feed(ours, input, { scale: 1, bias: [0, 0, 0] });
  const peerInput = feed(peer, input, preprocessing);
  for (let i = 0; i < 5; i++) {
    ours.run(oursInput);
    peer.run(peerInput);
  }
  const oursTimes: number[] = [];
  const peerTimes: number[] = [];
  const ratios: number[] = [];
  for (let i = 0; i < runs; i++) {
    // Every other pair in the opposite order, so that neither always follows the other's cache.
    const first = i % 2 === 0;
    const a = first ? time(() => ours.run(oursInput)) : 0;
    const b = time(() => peer.run(peerInput));
    const c = first ? a : time(() => ours.run(oursInput));
    oursTimes.push(c);
    peerTimes.push(b);
    ratios.push(c / b);
  }
  ours[Symbol.dispose]();
  peer[Symbol.dispose]();
  return {
    model: name,
    oursMs: quantile(oursTimes, 0.5),
    peerMs: quantile(peerTimes, 0.5),
    ratio: quantile(ratios, 0.5),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    oursLoadMs: quantile(ourLoads, 0.5),
    peerLoadMs: quantile(peerLoads, 0.5),
  };
}

async function loadOurs(folder: string): Promise<OrtSession> {
  using model = await openModel(join(folder, "model.mlpackage"));
  if (model.body.kind !== "mlProgram") throw new Error("not an ML program");
  const [fn] = [...model.body.program.functions.values()];
  if (fn === undefined) throw new Error("no function");
  const { graph } = lower(fn);
  const externalDataFolder = commonFolder(graph);
  const external = externalDataFolder === undefined ? {} : { external: { folder: externalDataFolder } };
  return runtime.createSession(serializeModel(graph, external).bytes, { threads, externalDataFolder });
}

async function loadPeer(folder: string): Promise<OrtSession> {
  return runtime.createSession(new Uint8Array(await Bun.file(join(folder, "peer.onnx")).arrayBuffer()), {
    threads,
  });
}

/** The first recorded picture: uint8 [H, W, 3]. */
async function firstInput(folder: string): Promise<Tensor> {
  const bytes = new Uint8Array(await Bun.file(join(folder, "inputs.npz")).arrayBuffer());
  for (const tensor of decodeNpz(bytes, "inputs.npz").values()) if (tensor.shape.length === 3) return tensor;
  throw new Error("no picture in inputs.npz");
}

interface Preprocessing {
  readonly scale: number;
  readonly bias: readonly number[];
}

function feed(
  session: OrtSession,
  picture: Tensor,
  { scale, bias }: Preprocessing,
): ReadonlyMap<string, Tensor> {
  const [input] = session.inputs;
  if (input === undefined) throw new Error("no input");
  const [height = 0, width = 0] = picture.shape;
  const planes = zeros("float32", [1, 3, height, width]);
  const target = new Float32Array(planes.bytes.buffer);
  for (let c = 0; c < 3; c++) {
    for (let p = 0; p < height * width; p++)
      target[c * height * width + p] = (picture.bytes[p * 3 + c] ?? 0) * scale + (bias[c] ?? 0);
  }
  return new Map([[input.name, planes]]);
}

async function timed<T>(times: number[], work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  times.push(performance.now() - started);
  return result;
}

function time(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

function quantile(samples: readonly number[], at: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? 0;
}
