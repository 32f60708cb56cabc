// One version of a model as the server has it: loaded, with its interface in the protocol's words.

import type { SessionModel } from "../../runtime/session.ts";
import { describeInterface, type ModelInterface } from "../protocol/interface.ts";

/** Owns its model. */
export class ServedModel implements AsyncDisposable {
  readonly name: string;
  readonly version: string;
  readonly model: SessionModel;
  readonly ports: ModelInterface;

  constructor(name: string, version: string, model: SessionModel) {
    this.name = name;
    this.version = version;
    this.model = model;
    this.ports = describeInterface(model.function, model.description);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}
