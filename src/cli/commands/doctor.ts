// coremlx doctor: what this machine offers, what is missing, and what to do about it.

import { resolve } from "node:path";
import { type Diagnosis, diagnose } from "../../runtime/doctor.ts";
import { command, engineFlags } from "../command.ts";
import { hostRows } from "../host-text.ts";
import { type Io, painter, type Paint, plainLine, Reported, table } from "../output.ts";
import { cacheDirOf } from "../session.ts";

export const doctor = command({
  meta: {
    name: "doctor",
    description: "Show what this machine offers, what is missing, and what to do about it",
  },
  flags: {
    onnxruntime: engineFlags.onnxruntime,
    coreml: engineFlags.coreml,
    "cache-dir": engineFlags["cache-dir"],
  },
  examples: ["coremlx doctor", "coremlx doctor --json"],
  async run({ flags, io }) {
    const diagnosis = await diagnose({
      cacheDir: cacheDirOf(flags["cache-dir"], io),
      onnxruntimePath: flags.onnxruntime === undefined ? undefined : resolve(io.cwd, flags.onnxruntime),
      coremlPath: flags.coreml === undefined ? undefined : resolve(io.cwd, flags.coreml),
    });
    if (flags.json) io.stdout(`${JSON.stringify({ schemaVersion: 1, ...diagnosis })}\n`);
    else print(diagnosis, io, painter(io, flags.color, "stdout"));
    if (!diagnosis.isUsable) throw new Reported("UNSUPPORTED");
  },
});

const marks = { ok: ["green", "ok"], note: ["yellow", "note"], missing: ["red", "missing"] } as const;

function print({ tool, host, condition, checks }: Diagnosis, io: Io, paint: Paint): void {
  const facts = [
    [
      "coremlx",
      `${tool.version}${tool.commit === null ? "" : ` (${tool.commit.slice(0, 12)})`}, Bun ${tool.bun}`,
    ],
    ...hostRows(host, condition),
  ];
  io.stdout(`${table(facts.map((row) => row.map(plainLine)))}\n\n`);
  const rows = checks.flatMap(({ name, status, detail, remedy }) => {
    const [style, mark] = marks[status];
    const row = [paint(style, mark), name, plainLine(detail)];
    return remedy === undefined ? [row] : [row, ["", "", paint("dim", `→ ${plainLine(remedy)}`)]];
  });
  io.stdout(`${table(rows)}\n`);
}
