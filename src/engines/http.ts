// The remote engine: a client of the Open Inference Protocol v2. The model runs in a server, ours or another, under the
// name of the model's file without its ending.

import { existsSync } from "node:fs";
import { basename } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { Model } from "../formats/model.ts";
import type { CompiledModel, Engine, LoadedModel, LoadOptions } from "./engine.ts";
import { findFunction } from "./find-function.ts";
import { ProtocolClient } from "./http/client.ts";
import { checkSame, describeRemote, onlyFunction } from "./http/description.ts";
import { readModel, readServer } from "./http/metadata.ts";
import { HttpModel } from "./http/model.ts";

export interface HttpEngineOptions {
  /** "http://127.0.0.1:8000" */
  readonly address: string;
  /** For what a server says of itself and its models. Default 10 s. */
  readonly timeoutMs?: number | undefined;
}

const defaultTimeoutMs = 10_000;

export class HttpEngine implements Engine {
  readonly name = "http";
  /** A connection answers one request at a time, and each thread has its own. */
  readonly loadsPerThread = true;
  readonly version: string;
  readonly #client: ProtocolClient;
  readonly #timeoutMs: number;

  /** Throws USAGE for what is no address, UNAVAILABLE where nobody listens, UNSUPPORTED for a server without binary tensors. */
  static async open({ address, timeoutMs = defaultTimeoutMs }: HttpEngineOptions): Promise<HttpEngine> {
    const client = new ProtocolClient(address);
    return new HttpEngine(client, await readServer(client, { timeoutMs }), timeoutMs);
  }

  private constructor(client: ProtocolClient, server: string, timeoutMs: number) {
    this.#client = client;
    this.version = `${server} at ${client.address}`;
    this.#timeoutMs = timeoutMs;
  }

  /** Its file says what the protocol cannot: pictures, labels, which shapes are allowed. The server must have the same tensors. */
  async load(model: Model, options: LoadOptions = {}): Promise<LoadedModel> {
    const description = findFunction(model, options.functionName);
    refuseChoice(options, model.description.defaultFunction);
    const name = nameOf(model.path);
    const remote = await readModel(this.#client, name, { timeoutMs: this.#timeoutMs });
    checkSame(remote, description);
    const isStateful = description.states.length > 0 && remote.isStateful !== false;
    return new HttpModel({ client: this.#client, name, description, isStateful });
  }

  /** By its name on the server alone, where there is no file. */
  async loadNamed(path: string, options: LoadOptions = {}): Promise<CompiledModel | undefined> {
    if (existsSync(path)) return undefined;
    refuseChoice(options, onlyFunction);
    const started = performance.now();
    const name = nameOf(path);
    const remote = await readModel(this.#client, name, { timeoutMs: this.#timeoutMs });
    const description = describeRemote(remote);
    const [main] = description.functions;
    if (main === undefined) throw new CoremlxError("INTERNAL", "A described model has no function");
    const isStateful = remote.isStateful === true;
    const loaded = new HttpModel({ client: this.#client, name, description: main, isStateful });
    return {
      loaded,
      description,
      digest: undefined,
      openMs: 0,
      loadMs: performance.now() - started,
      [Symbol.asyncDispose]: () => loaded[Symbol.asyncDispose](),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The runtime's pool of connections closes by itself what nobody uses.
  }
}

function nameOf(path: string): string {
  return basename(path).replace(/\.(mlpackage|mlmodelc|mlmodel)$/i, "");
}

/** What runs where is for the server to say: the protocol has no words for it. */
function refuseChoice({ functionName, device = "auto" }: LoadOptions, defaultFunction: string): void {
  if (functionName !== undefined && functionName !== defaultFunction)
    throw new CoremlxError(
      "UNSUPPORTED",
      `Cannot load function "${functionName}": the protocol does not name functions`,
      { hint: "Serve the function as a model of its own" },
    );
  if (device === "auto") return;
  throw new CoremlxError("UNSUPPORTED", `Cannot load on device "${device}": the server chooses it`, {
    hint: "Leave --device out here, and give it to coremlx serve",
  });
}
