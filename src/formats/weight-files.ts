// Which file a program means by "@model_path/weights/weight.bin", opened once however many values point into it.

import { lstatSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import { type Enclosure, fileError } from "./file-access.ts";
import { WeightFile } from "./weights.ts";

const modelPath = "@model_path";

export interface WeightFolders {
  readonly enclosure: Enclosure;
  /** "@model_path", relative to the enclosure: the folder of the root model file, or of the compiled model. */
  readonly modelFolder: string;
  /** Where to look for the base name when the file is not where the program says: the package's weights item. */
  readonly fallbackFolders?: readonly string[];
}

/** Owns the weight files of one model. Pipelines and functions share it. */
export class WeightFiles implements Disposable {
  readonly #folders: WeightFolders;
  readonly #open = new Map<string, WeightFile>();
  readonly #sizes = new Map<string, number>();

  constructor(folders: WeightFolders) {
    this.#folders = folders;
  }

  /** Borrows: closed with this object. Throws BAD_MODEL for names that are missing or lead elsewhere. */
  get(fileName: string): WeightFile {
    const known = this.#open.get(fileName);
    if (known !== undefined) return known;
    const path = this.#locate(fileName);
    const file = WeightFile.open(this.#folders.enclosure, path);
    this.#open.set(fileName, file);
    this.#sizes.set(join(this.#folders.enclosure.root, path), file.byteLength);
    return file;
  }

  /** The files in use: absolute path inside the enclosure, and size. */
  get sizes(): ReadonlyMap<string, number> {
    return this.#sizes;
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file[Symbol.dispose]();
    this.#open.clear();
  }

  #locate(fileName: string): string {
    const relative = relativePath(fileName);
    const { enclosure, modelFolder, fallbackFolders = [] } = this.#folders;
    const candidates = [
      join(modelFolder, relative),
      ...fallbackFolders.map((folder) => join(folder, basename(relative))),
    ];
    for (const candidate of candidates) {
      if (exists(join(enclosure.root, candidate), fileName)) return candidate;
    }
    throw badModel(`weight file ${quote(fileName)} does not exist`, {
      hint: "Copy the whole model folder, weights included",
      details: { file: fileName },
    });
  }
}

/** `fileName` without "@model_path/", refused when it could lead out of the model's folder. */
function relativePath(fileName: string): string {
  const inner = fileName.startsWith(`${modelPath}/`) ? fileName.slice(modelPath.length + 1) : fileName;
  const parts = inner.split("/");
  if (inner === "" || inner.startsWith("/") || parts.includes("..") || inner.includes("\0")) {
    throw badModel(`weight file ${quote(fileName)} is no path inside the model`, {
      details: { file: fileName },
    });
  }
  return inner;
}

function exists(path: string, name: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return false;
    throw fileError(error, name);
  }
}
