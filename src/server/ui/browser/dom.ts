// Elements, made of text and other elements. Strings become text nodes: nothing that a server or model says is ever markup.

export type Child = Node | string | undefined;

type Properties<K extends keyof HTMLElementTagNameMap> = Partial<
  Pick<
    HTMLElementTagNameMap[K],
    Extract<
      keyof HTMLElementTagNameMap[K],
      | "className"
      | "id"
      | "hidden"
      | "type"
      | "href"
      | "htmlFor"
      | "value"
      | "rows"
      | "accept"
      | "checked"
      | "open"
      | "scope"
      | "tabIndex"
      | "spellcheck"
      | "placeholder"
      | "inputMode"
      | "alt"
      | "src"
      | "download"
    >
  >
>;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties<K> & { readonly aria?: Readonly<Record<string, string>> } = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const { aria = {}, ...own } = properties;
  const element = Object.assign(document.createElement(tag), own);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

export function makeButton(text: string, onClick: () => void, className = ""): HTMLButtonElement {
  const button = make("button", { type: "button", className }, text);
  button.addEventListener("click", onClick);
  return button;
}

/** Only where it differs: else a screen reader would say it again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Of the page itself. Throws when it is not there. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no element "${id}"`);
  return found;
}

let lastId = 0;

export function newId(): string {
  return `e${++lastId}`;
}
