// Asks for an API key, where the server wants one.

import { setKey } from "./api.ts";
import { make, newId } from "./dom.ts";

export function makeKeyForm(reason: string, onKey: () => void): HTMLElement {
  const field = make("input", { type: "password", id: newId() });
  const form = make(
    "form",
    { aria: { "aria-label": "API key" } },
    make("h2", {}, "This server wants a key"),
    make("p", { className: "bad", aria: { role: "alert" } }, reason),
    make(
      "div",
      { className: "row" },
      make("label", { htmlFor: field.id }, "API key"),
      field,
      make("button", { className: "main" }, "Use it"),
    ),
    make(
      "p",
      { className: "quiet" },
      "It is kept until this page is closed or loaded again, and nowhere else.",
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(field.value);
    onKey();
  });
  return make("section", {}, form);
}
