// A Python with the packages of tests/python/requirements.txt, made on first use under .venv.

import { join, resolve } from "node:path";
import { findVenv, must } from "./venv.ts";

const root = resolve(import.meta.dir, "../..");
const judge = join(root, "tests/python/judge.py");

/** The interpreter, if there can be one. */
export function findPython(): Promise<string | undefined> {
  return findVenv(join(root, ".venv"), join(root, "tests/python/requirements.txt"));
}

/** Runs a command of judge.py; gives what it prints. */
export async function ask(python: string, ...args: readonly string[]): Promise<unknown> {
  const parsed: unknown = JSON.parse(await must([python, judge, ...args], root));
  return parsed;
}
