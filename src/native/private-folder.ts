// Folders that nobody but this user (and root) can look into or change.

import { chmodSync, lstatSync, mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";

export interface PrivateFolderOptions {
  /** What to do with a folder of ours that others may enter. "tighten" is for those who check what lies in it. */
  readonly looseMode: "refuse" | "tighten";
}

/**
 * The real path of `folder`, made with mode 0700 where it is missing. Throws IO when it is a link, is not ours, can be
 * entered by others, or lies where others could put another one in its place.
 */
export function openPrivateFolder(
  folder: string,
  { looseMode }: PrivateFolderOptions = { looseMode: "refuse" },
): string {
  const refuse = (why: string, hint?: string) =>
    new CoremlxError("IO", `Cannot use the folder ${folder}: ${why}`, {
      hint,
      details: { folder },
    });
  try {
    mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
    const parent = realpathSync(dirname(folder)); // a parent behind a link of the user's own making is fine
    refuseForeignWriters(parent, refuse);
    const path = join(parent, basename(folder));
    makeFolder(path);
    const found = lstatSync(path); // of a link, not of what it points to
    if (found.isSymbolicLink()) throw refuse("it is a link");
    if (!found.isDirectory()) throw refuse("it is no folder");
    if (found.uid !== userId()) throw refuse(`it belongs to user ${found.uid}`);
    if ((found.mode & 0o077) !== 0) {
      if (looseMode === "tighten") {
        chmodSync(path, 0o700);
        return path;
      }
      const mode = (found.mode & 0o777).toString(8);
      throw refuse(`others may enter it (mode ${mode})`, `Run chmod 700 ${folder}, or name a new folder`);
    }
    return path;
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    throw refuse(errnoOf(error) ?? messageOf(error));
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

/** Whoever may write to a parent folder may put another one in the place of ours. */
function refuseForeignWriters(start: string, refuse: (why: string) => CoremlxError): void {
  for (let folder = start; ; folder = dirname(folder)) {
    const { mode, uid } = lstatSync(folder);
    const isSticky = (mode & 0o1000) !== 0; // as /tmp: only the owner of an entry may replace it
    if ((mode & 0o002) !== 0 && !isSticky) throw refuse(`everybody may write to ${folder}`);
    if (uid !== userId() && uid !== 0) throw refuse(`${folder} belongs to user ${uid}`);
    if (folder === dirname(folder)) return;
  }
}

/** -1 where the system has no users. */
export function userId(): number {
  return process.geteuid?.() ?? -1;
}
