// A button that loads a model or unloads it, where the server lets clients do that, and what became of it.

import { changeModel } from "./api.ts";
import { make, setText } from "./dom.ts";

const words = {
  load: { label: "Load", underWay: "loading …" },
  unload: { label: "Unload", underWay: "unloading …" },
} as const;

export interface ControlOptions {
  readonly name: string;
  readonly action: keyof typeof words;
  /** When the server has done it. */
  readonly onDone: () => void;
}

export function makeModelControl({ name, action, onDone }: ControlOptions): HTMLElement {
  const { label, underWay } = words[action];
  const button = make("button", { type: "button" }, `${label} ${name}`);
  const outcome = make("span", { className: "quiet" });
  outcome.setAttribute("role", "status");
  button.addEventListener("click", () => {
    button.disabled = true;
    setText(outcome, underWay);
    changeModel(name, action).then(
      () => {
        setText(outcome, "");
        button.disabled = false;
        onDone();
      },
      (error: unknown) => {
        setText(outcome, error instanceof Error ? error.message : String(error));
        button.disabled = false;
      },
    );
  });
  return make("p", {}, button, " ", outcome);
}
