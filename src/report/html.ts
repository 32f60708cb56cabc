// HTML and SVG put together so that no text can become markup: a template whose values are escaped, each of them.

/** What may go into a page as it is. Only `html` and `trust` make it. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

type Value = string | number | Markup | undefined | readonly Value[];

/** Text and numbers are escaped, for between tags and for attributes in double quotes; undefined is nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  let text = parts[0] ?? "";
  values.forEach((value, index) => (text += render(value) + (parts[index + 1] ?? "")));
  return new Markup(text);
}

/** Only for what is our own: scripts, styles. */
export function trust(text: string): Markup {
  return new Markup(text);
}

/** JSON for a script element that holds data: nothing in it can end the element. */
export function embedJson(value: unknown): Markup {
  return new Markup(JSON.stringify(value).replaceAll("<", String.raw`\u003c`));
}

const names: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeHtml(text: string): string {
  return showControls(text).replaceAll(/[&<>"']/g, (mark) => names[mark] ?? "");
}

/** Control characters, half of a surrogate pair, and the marks that turn the direction of writing. */
const unsafe = /[\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** As visible escapes; line breaks and tabs stay. */
export function showControls(text: string): string {
  return text.replaceAll(unsafe, (mark) =>
    mark === "\n" || mark === "\t" ? mark : String.raw`\u` + mark.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}

function render(value: Value): string {
  if (value === undefined) return "";
  if (value instanceof Markup) return value.toString();
  if (typeof value === "object") return value.map(render).join("");
  return escapeHtml(String(value));
}
