// The one place that reads the process's environment and its working folder.

export function currentEnvironment(): Readonly<Record<string, string | undefined>> {
  return { ...process.env };
}

/** The working folder; what the shell called it where it has been removed, so that nothing else is opened in its place. */
export function currentFolder(): string {
  try {
    return process.cwd();
  } catch {
    const name = process.env["PWD"];
    return name?.startsWith("/") ? name : "/removed-working-folder";
  }
}
