// The header of an npy file is a Python dictionary in text. This reads exactly the dictionaries numpy writes, no Python.

import { CoremlxError } from "../core/errors.ts";

export interface NpyHeader {
  /** undefined: a list, that is, elements with fields. */
  readonly descr: string | undefined;
  readonly isFortranOrder: boolean;
  readonly shape: readonly number[];
}

/** Throws BAD_INPUT when `text` is not a dictionary of exactly descr, fortran_order and shape. */
export function parseNpyHeader(text: string, subject: string): NpyHeader {
  let at = 0;
  const fail = (reason: string): CoremlxError =>
    new CoremlxError("BAD_INPUT", `${subject}: the header is malformed at character ${at}: ${reason}`);
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    const sticky = new RegExp(pattern, "sy");
    sticky.lastIndex = at;
    const match = sticky.exec(text);
    if (match !== null) at = sticky.lastIndex;
    return match ?? undefined;
  };
  const expect = (pattern: RegExp, what: string): RegExpExecArray => {
    const match = take(pattern);
    if (match === undefined) throw fail(`expected ${what}`);
    return match;
  };

  const found = new Map<string, string | boolean | readonly number[] | undefined>();
  expect(/\s*\{\s*/, `"{"`);
  while (take(/\}/) === undefined) {
    const [, , key = ""] = expect(
      /(['"])(descr|fortran_order|shape)\1\s*:\s*/,
      "one of descr, fortran_order, shape",
    );
    if (found.has(key)) throw fail(`"${key}" is there twice`);
    if (key === "descr") found.set(key, readDescr());
    else if (key === "fortran_order")
      found.set(key, expect(/(True|False)\s*/, "True or False")[1] === "True");
    else found.set(key, readShape());
    if (take(/,\s*/) === undefined) {
      expect(/\}/, `"," or "}"`);
      break;
    }
  }
  expect(/\s*$/, "the end");
  const isFortranOrder = found.get("fortran_order");
  const shape = found.get("shape");
  if (!found.has("descr") || typeof isFortranOrder !== "boolean" || !Array.isArray(shape))
    throw fail("descr, fortran_order or shape is missing");
  const descr = found.get("descr");
  return { descr: typeof descr === "string" ? descr : undefined, isFortranOrder, shape };

  function readDescr(): string | undefined {
    const string = take(/(['"])([^'"\\]*)\1\s*/);
    if (string !== undefined) return string[2];
    if (take(/[[(]/) === undefined) throw fail("expected a type");
    // Fields: skip to the matching bracket, which is all we need to refuse it by its right name.
    for (let depth = 1; depth > 0; ) {
      const token = expect(/'[^'\\]*'|"[^"\\]*"|[^'"]/, "the end of the field list")[0];
      if (token === "[" || token === "(") depth++;
      else if (token === "]" || token === ")") depth--;
    }
    take(/\s*/);
    return undefined;
  }

  function readShape(): readonly number[] {
    expect(/\(\s*/, `"("`);
    const axes: number[] = [];
    let separated = true;
    while (take(/\)\s*/) === undefined) {
      if (!separated) throw fail(`expected "," or ")"`);
      const digits = expect(/(\d+)L?\s*/, "a size")[1] ?? ""; // Python 2 wrote 3L
      const axis = Number(digits);
      if (!Number.isSafeInteger(axis)) throw fail(`a size of ${digits.slice(0, 24)} is too large`);
      axes.push(axis);
      separated = take(/,\s*/) !== undefined;
    }
    if (axes.length === 1 && !separated) throw fail("(n) is a number in Python, expected (n,)");
    return axes;
  }
}
