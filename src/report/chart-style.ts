// How charts look, in the light and in the dark: the same names of colours in pages and in files of their own.

/** Told apart also by those who do not see red or green: they differ in lightness. */
export const seriesColors = ["#2b6cd4", "#c2620a", "#1b8a5a", "#8a4bbf", "#b0306a", "#5d6b00"] as const;

const darkColors = ["#7eb0ff", "#f0a35c", "#63cf9b", "#c79bf2", "#f08ab6", "#c4d15a"] as const;

/** For both: the page has the same names with its own variables. */
export const chartStyle = [
  ".chart text,text{font:12px system-ui,sans-serif;fill:var(--text)}",
  ".quiet{fill:var(--quiet)}",
  ".grid{stroke:var(--line);stroke-width:1}",
  ".axis{stroke:var(--quiet);stroke-width:1}",
  ".limit{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:6 4}",
  ".mark{stroke:var(--quiet);stroke-width:1.5;stroke-dasharray:3 3}",
  "text.limit-label{fill:var(--bad);stroke:none}",
  ".line{fill:none;stroke-width:1.75;stroke-linejoin:round}",
  ".bar,.plain-fill{fill:var(--bar)}",
  ".good-fill{fill:var(--good)}.bad-fill{fill:var(--bad)}.doubt-fill{fill:var(--doubt)}",
  ".whisker{stroke:var(--text);stroke-width:1.5}",
  ...seriesColors.map((_, index) => `.s${index}{stroke:var(--s${index})}.f${index}{fill:var(--s${index})}`),
].join("\n");

export function variables(scheme: "light" | "dark"): string {
  const light = {
    card: "#ffffff",
    text: "#1a1d21",
    quiet: "#565d68",
    line: "#dde1e7",
    bar: "#7fabe8",
    good: "#14713d",
    bad: "#b3261e",
    doubt: "#8a5a00",
  };
  const dark = {
    card: "#1d2026",
    text: "#e8eaee",
    quiet: "#a3abb8",
    line: "#363c47",
    bar: "#4577c0",
    good: "#6fd69b",
    bad: "#ff9d94",
    doubt: "#f0c060",
  };
  const series = scheme === "light" ? seriesColors : darkColors;
  return [
    ...Object.entries(scheme === "light" ? light : dark).map(([name, color]) => `--${name}:${color}`),
    ...series.map((color, index) => `--s${index}:${color}`),
  ].join(";");
}

/** For a page: paper is light. */
export function pageColors(): string {
  return `:root{color-scheme:light dark;--back:#f6f7f9;${variables("light")}}
@media screen and (prefers-color-scheme:dark){:root{--back:#14161a;${variables("dark")}}}`;
}
