// The folder of a soak: checkpoint.json to go on from, series.ndjson as it happens, result.json at its end.

import { appendFileSync, existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { makeFolder, writeFileWhole } from "../native/write-file.ts";
import type { SeriesLine } from "../suites/soak.ts";
import { parseCheckpoint, type SoakCheckpoint } from "../suites/soak/checkpoint.ts";
import type { SoakResult } from "../suites/soak/schema.ts";

/** Of a week-long soak of many models it is some MB. */
const largestCheckpointBytes = 256e6;

export class SoakFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** A new one, named by the user or after the model and the time. Throws USAGE where a soak is already. */
  static create(
    given: string | undefined,
    options: { readonly cwd: string; readonly name: string },
  ): SoakFolder {
    const { cwd, name } = options;
    if (given === undefined) {
      const time = new Date().toISOString().replaceAll(/[-:]|\..*/g, "");
      const base = resolve(cwd, `soak-${name.replaceAll(/[^A-Za-z0-9._-]/g, "_")}-${time}`);
      let path = base;
      for (let count = 2; existsSync(path); count++) path = `${base}-${count}`;
      makeFolder(path);
      return new SoakFolder(path);
    }
    const folder = new SoakFolder(resolve(cwd, given));
    if (existsSync(folder.#checkpoint)) {
      throw new CoremlxError("USAGE", `Cannot begin a soak in "${given}": there is one already`, {
        hint: `Continue it with --resume ${given}, or name another --output-dir`,
      });
    }
    makeFolder(folder.path);
    return folder;
  }

  /** Throws BAD_INPUT where there is none that can be continued. */
  static open(given: string, cwd: string): { readonly folder: SoakFolder; readonly before: SoakCheckpoint } {
    const folder = new SoakFolder(resolve(cwd, given));
    return { folder, before: parseCheckpoint(folder.#readCheckpoint(given), given) };
  }

  get #checkpoint(): string {
    return join(this.path, "checkpoint.json");
  }

  saveCheckpoint(checkpoint: SoakCheckpoint): void {
    writeFileWhole(this.#checkpoint, encode(checkpoint));
  }

  saveResult(result: SoakResult): void {
    writeFileWhole(join(this.path, "result.json"), encode(result));
  }

  append(line: SeriesLine): void {
    const path = join(this.path, "series.ndjson");
    try {
      appendFileSync(path, `${JSON.stringify(line)}\n`);
    } catch (error) {
      throw new CoremlxError("IO", `Cannot write "${path}": ${messageOf(error)}`, { cause: error });
    }
  }

  #readCheckpoint(given: string): string {
    try {
      const { size } = statSync(this.#checkpoint);
      if (size > largestCheckpointBytes) throw new Error(`checkpoint.json has ${size} bytes`);
      return readFileSync(this.#checkpoint, "utf8");
    } catch (error) {
      throw new CoremlxError("BAD_INPUT", `Cannot continue the soak of "${given}": ${messageOf(error)}`, {
        cause: error,
        hint: "Name the folder of a soak: the one of its --output-dir",
      });
    }
  }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`);
}
