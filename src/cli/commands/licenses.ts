// coremlx licenses: the licence texts of everything inside the executable.

import { embeddedNotices } from "../../native/embedded.ts";
import { command } from "../command.ts";

export const licenses = command({
  meta: { name: "licenses", description: "Print the licences of what the executable contains" },
  flags: {},
  examples: ["coremlx licenses"],
  async run({ flags, io }) {
    const notices = await Promise.all(
      embeddedNotices.map(async ({ title, path }) => ({ title, text: await Bun.file(path).text() })),
    );
    if (flags.json) {
      io.stdout(`${JSON.stringify({ schemaVersion: 1, notices })}\n`);
      return;
    }
    if (notices.length === 0) {
      io.stdout("Nothing is embedded here: this is coremlx run from source; the texts are in licenses/\n");
      return;
    }
    for (const { title, text } of notices) io.stdout(`=== ${title} ===\n\n${text.trimEnd()}\n\n`);
  },
});
