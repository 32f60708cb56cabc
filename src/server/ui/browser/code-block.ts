// A text to copy.

import { make, makeButton } from "./dom.ts";

export function makeCodeBlock(title: string, text: string): HTMLElement {
  const code = make("code", {}, text);
  const said = make("span", { className: "quiet", aria: { role: "status" } });
  const copy = makeButton("Copy", () => {
    void copyText(text, code).then((isCopied) => {
      said.textContent = isCopied ? "copied" : "selected: copy it with your keyboard";
    });
  });
  copy.setAttribute("aria-label", `Copy ${title}`);
  const pre = make("pre", { tabIndex: 0, aria: { role: "region", "aria-label": title } }, code);
  return make(
    "div",
    { className: "code" },
    make(
      "div",
      { className: "row head" },
      make("h4", {}, title),
      make("span", { className: "row" }, said, copy),
    ),
    pre,
  );
}

/** Pages over plain HTTP from another machine have no clipboard: there the text is only selected. */
async function copyText(text: string, shown: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(shown);
    return false;
  }
}

/** A button that saves a text as a file. */
export function makeSaveButton(fileName: string, text: string): HTMLButtonElement {
  return makeButton(`Save ${fileName}`, () => {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    make("a", { href: url, download: fileName }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
  });
}
