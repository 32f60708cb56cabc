// Loaded into a server before it begins: SIGUSR2 collects all garbage at once, so that its memory can be read without that.

process.on("SIGUSR2", () => Bun.gc(true));
