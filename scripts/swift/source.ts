// Swift source as text to look into: comments and the contents of strings blanked, every offset kept.

/** The same length; what stands in comments and string literals is spaces, quotes and line ends stay. */
export function blankSwift(source: string): string {
  const out = source.split("");
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  for (let at = 0; at < source.length; ) {
    if (source.startsWith("//", at)) {
      const end = source.indexOf("\n", at);
      blank(at, end < 0 ? source.length : end);
      at = end < 0 ? source.length : end;
    } else if (source.startsWith("/*", at)) {
      const end = source.indexOf("*/", at);
      if (end < 0) throw new Error("A comment does not end");
      blank(at, end + 2);
      at = end + 2;
    } else if (source[at] === '"') {
      at = endOfString(source, at, blank);
    } else at++;
  }
  return out.join("");
}

/** Code inside \( ) stays; strings nest in it. */
function endOfString(source: string, start: number, blank: (from: number, to: number) => void): number {
  const quote = source.startsWith('"""', start) ? '"""' : '"';
  let at = start + quote.length;
  while (!source.startsWith(quote, at)) {
    if (at >= source.length) throw new Error(`A string does not end: ${source.slice(start, start + 40)}`);
    if (source.startsWith("\\(", at)) {
      blank(at, at + 2);
      let depth = 1;
      for (at += 2; depth > 0; ) {
        if (source[at] === '"') at = endOfString(source, at, blank);
        else {
          if (source[at] === "(") depth++;
          if (source[at] === ")") depth--;
          at++;
        }
      }
      blank(at - 1, at);
    } else {
      const length = source[at] === "\\" ? 2 : 1;
      blank(at, at + length);
      at += length;
    }
  }
  return at + quote.length;
}

export function lineOf(source: string, offset: number): number {
  return source.slice(0, offset).split("\n").length;
}

/** "14.4" and "15.0" in the order of systems. */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}
