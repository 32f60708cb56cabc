// The models a server has, by name and version.

import { CoremlxError } from "../../core/errors.ts";
import type { ServedModel } from "./served-model.ts";

/** Owns its models. */
export class Repository implements AsyncDisposable {
  /** By name, then version; the last version is the one that a request without a version gets. */
  readonly #models = new Map<string, Map<string, ServedModel>>();

  add(served: ServedModel): void {
    const versions = this.#models.get(served.name) ?? new Map<string, ServedModel>();
    versions.set(served.version, served);
    this.#models.set(served.name, versions);
  }

  get served(): readonly ServedModel[] {
    return [...this.#models.values()].flatMap((versions) => [...versions.values()]);
  }

  get isReady(): boolean {
    return true;
  }

  /** Throws NOT_FOUND. */
  find(name: string, version: string | undefined): ServedModel {
    const versions = this.#models.get(name);
    const found = version === undefined ? [...(versions?.values() ?? [])].at(-1) : versions?.get(version);
    if (found) return found;
    throw unknownModel(name, versions && version);
  }

  versionsOf(name: string): readonly string[] {
    return [...(this.#models.get(name)?.keys() ?? [])];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const served = this.served;
    this.#models.clear();
    await Promise.all(served.map((one) => one[Symbol.asyncDispose]()));
  }
}

/** In the words that clients look for. */
export function unknownModel(name: string, version: string | undefined): CoremlxError {
  const which = version === undefined ? "" : ` version ${version.slice(0, 64)}`;
  return new CoremlxError(
    "NOT_FOUND",
    `Request for unknown model: '${name.slice(0, 200)}'${which} is not found`,
  );
}
