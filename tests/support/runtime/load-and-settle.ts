// A process that loads one model through the compile cache in a given folder, waits for the background, and says in one
// JSON document what happened.

import { openSession } from "../../../src/runtime/session.ts";

const [path = "", cacheDir] = process.argv.slice(2);
const events: unknown[] = [];
const telemetry = { log: (...event: readonly unknown[]) => void events.push(event) };
await using session = await openSession({ cacheDir, telemetry });
const model = await session.load(path);
await session.settleCache();
process.stdout.write(JSON.stringify({ cache: model.stats.load.cache, events }));
