// The models a server has, by name and version: which are ready, and how they come and go while requests are under way.

import { CoremlxError, messageOf } from "../../core/errors.ts";
import type { ModelLabels } from "../../core/meter-names.ts";
import { type Telemetry } from "../../core/telemetry.ts";
import { refuse } from "../status.ts";
import { fingerprint, type ModelFiles } from "./layout.ts";
import type { ServedModel } from "./served-model.ts";

/** none: what was there at the start. explicit: by request. poll: what is in the folder. */
export type ModelControl = "none" | "explicit" | "poll";

export type ModelState = "UNAVAILABLE" | "LOADING" | "READY" | "UNLOADING";

export interface IndexRow {
  readonly name: string;
  readonly version: string;
  readonly state: ModelState;
  readonly reason: string;
}

export interface RepositoryOptions {
  readonly control: ModelControl;
  /** What there is to load at this moment, by name. Throws IO, USAGE. */
  readonly find: () => ReadonlyMap<string, ModelFiles>;
  /** All wanted versions of one model, ready to answer. */
  readonly load: (files: ModelFiles) => Promise<readonly ServedModel[]>;
  /** A model's numbers are not shown any more. */
  readonly forget?: ((labels: ModelLabels) => void) | undefined;
  readonly telemetry: Telemetry;
}

interface Entry {
  readonly name: string;
  /** By version, highest last. Requests are served from here, whatever is being loaded. */
  served: ReadonlyMap<string, ServedModel>;
  /** Wanted by whoever decides, so that the server is not ready without it. */
  isWanted: boolean;
  state: ModelState;
  reason: string;
  /** Of the files that were loaded, or that loading failed for. */
  mark: string | undefined;
  /** Seen at the last poll and not yet loaded: whoever is still writing changes it again. */
  pendingMark: string | undefined;
  /** Loads and unloads of one model come one after the other. Never rejects. */
  tail: Promise<void>;
}

/** Owns its models. Invariant: a model that requests can find is loaded, and stays so until the last of them has its answer. */
export class Repository implements AsyncDisposable {
  readonly #options: RepositoryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #retiring = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  get control(): ModelControl {
    return this.#options.control;
  }

  get served(): readonly ServedModel[] {
    return [...this.#entries.values()].flatMap(({ served }) => [...served.values()]);
  }

  /** Every wanted model answers. */
  get isReady(): boolean {
    for (const { isWanted, served } of this.#entries.values())
      if (isWanted && served.size === 0) return false;
    return true;
  }

  /** Throws NOT_FOUND, and 503 for one that is on its way. */
  find(name: string, version: string | undefined): ServedModel {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw unknownModel(name, undefined);
    const found = version === undefined ? lastOf(entry.served) : entry.served.get(version);
    if (found) return found;
    if (entry.state === "LOADING") throw refuse(503, `Model '${name}' is not ready: it is being loaded`);
    throw unknownModel(name, entry.served.size > 0 ? version : undefined);
  }

  versionsOf(name: string): readonly string[] {
    return [...(this.#entries.get(name)?.served.keys() ?? [])];
  }

  /** Those that were to be loaded at some time, without a look into the folders. */
  get known(): readonly IndexRow[] {
    return [...this.#entries.values()].flatMap((entry) => rowsOf(entry));
  }

  index(): readonly IndexRow[] {
    const rows = new Map<string, readonly IndexRow[]>();
    for (const files of this.#options.find().values()) {
      rows.set(
        files.name,
        [...files.versions.keys()].map((version) => notLoaded(files.name, version)),
      );
    }
    for (const entry of this.#entries.values()) rows.set(entry.name, rowsOf(entry, rows.get(entry.name)));
    return [...rows.values()].flat();
  }

  /** What there is, all of it, or the models named. Throws for the first that fails, unless the folder is polled. */
  async open(names?: readonly string[]): Promise<void> {
    const found = this.#options.find();
    const wanted = names ?? [...found.keys()];
    const loads = wanted.map((name) => this.#loadFrom(found, name));
    const failed = (await Promise.allSettled(loads)).find((result) => result.status === "rejected");
    if (failed !== undefined && this.control !== "poll") throw failed.reason;
  }

  /** Loads it, or loads it again; until that has succeeded, requests are served as before. Throws NOT_FOUND, and as loading does. */
  async load(name: string): Promise<void> {
    await this.#loadFrom(this.#options.find(), name);
  }

  /** Throws NOT_FOUND for a model that is not loaded. */
  async unload(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw unknownModel(name, undefined);
    await this.#inTurn(entry, async () => {
      entry.isWanted = false;
      entry.mark = undefined;
      this.#replace(entry, new Map());
      entry.state = "UNAVAILABLE";
      entry.reason = "unloaded";
    });
  }

  /** Brings what is loaded in line with what there is. A model whose files still change waits for the next poll. */
  async poll(): Promise<void> {
    const found = this.#options.find();
    const work: Promise<void>[] = [];
    for (const entry of this.#entries.values()) {
      if (!found.has(entry.name) && (entry.isWanted || entry.served.size > 0))
        work.push(this.unload(entry.name));
    }
    for (const files of found.values()) {
      const mark = fingerprint(files);
      const entry = this.#entryOf(files.name);
      if (entry.mark === mark) continue;
      const isSettled = entry.pendingMark === mark;
      entry.pendingMark = mark;
      if (isSettled) work.push(this.#loadFrom(found, files.name));
    }
    await Promise.allSettled(work); // each has said in its entry, and in the log, what went wrong
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#entries.values()].map(({ tail }) => tail));
    for (const entry of this.#entries.values()) this.#replace(entry, new Map());
    await Promise.all(this.#retiring);
  }

  async #loadFrom(found: ReadonlyMap<string, ModelFiles>, name: string): Promise<void> {
    const files = found.get(name);
    if (files === undefined) {
      throw new CoremlxError(
        "NOT_FOUND",
        `failed to load '${name.slice(0, 200)}', it is not in the model repository`,
      );
    }
    const entry = this.#entryOf(name);
    entry.isWanted = true;
    await this.#inTurn(entry, () => this.#reload(entry, files));
  }

  async #reload(entry: Entry, files: ModelFiles): Promise<void> {
    const mark = fingerprint(files);
    entry.mark = mark;
    entry.pendingMark = undefined;
    entry.state = "LOADING";
    entry.reason = "";
    try {
      const loaded = await this.#options.load(files);
      this.#replace(entry, new Map(loaded.map((served) => [served.version, served])));
      entry.state = "READY";
    } catch (error) {
      entry.state = entry.served.size > 0 ? "READY" : "UNAVAILABLE";
      entry.reason = messageOf(error);
      throw error;
    }
  }

  /** The old ones go when their last request has its answer. */
  #replace(entry: Entry, served: ReadonlyMap<string, ServedModel>): void {
    const old = entry.served;
    entry.served = served;
    for (const one of old.values()) {
      const retiring = one[Symbol.asyncDispose]().finally(() => {
        this.#retiring.delete(retiring);
        if (!entry.served.has(one.version)) this.#options.forget?.({ model: one.name, version: one.version });
      });
      this.#retiring.add(retiring);
    }
  }

  #entryOf(name: string): Entry {
    const known = this.#entries.get(name);
    if (known) return known;
    const entry: Entry = {
      name,
      served: new Map(),
      isWanted: false,
      state: "UNAVAILABLE",
      reason: "",
      mark: undefined,
      pendingMark: undefined,
      tail: Promise.resolve(),
    };
    this.#entries.set(name, entry);
    return entry;
  }

  async #inTurn(entry: Entry, work: () => Promise<void>): Promise<void> {
    const turn = entry.tail.then(() => {
      if (this.#isClosed) throw new CoremlxError("UNAVAILABLE", "The server is shutting down");
      return work();
    });
    entry.tail = turn.catch(() => {
      // The caller is told; whoever comes next starts afresh.
    });
    await turn;
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

function lastOf(served: ReadonlyMap<string, ServedModel>): ServedModel | undefined {
  let last: ServedModel | undefined;
  for (const one of served.values()) last = one;
  return last;
}

function notLoaded(name: string, version: string): IndexRow {
  return { name, version, state: "UNAVAILABLE", reason: "" };
}

function rowsOf(
  { name, served, state, reason }: Entry,
  files: readonly IndexRow[] = [],
): readonly IndexRow[] {
  const versions = new Set([...served.keys(), ...files.map(({ version }) => version)]);
  if (versions.size === 0) return [{ name, version: "", state, reason }];
  return [...versions].map((version) => {
    if (served.has(version)) return { name, version, state: "READY", reason };
    return { name, version, state: state === "READY" ? "UNAVAILABLE" : state, reason };
  });
}
