// What actionlint (bun run check:workflows) cannot know: that the workflows call what is here, and how little they are allowed.

import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import packageJson from "../../../package.json" with { type: "json" };

const root = resolve(import.meta.dir, "../../..");
const folder = join(root, ".github/workflows");

interface Step {
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Workflow {
  readonly permissions: unknown;
  readonly jobs: Readonly<
    Record<
      string,
      { readonly steps: readonly Step[]; readonly permissions?: unknown; readonly "timeout-minutes": number }
    >
  >;
}

describe.each(readdirSync(folder).toSorted())("%s", (name) => {
  const workflow = Bun.YAML.parse(readFileSync(join(folder, name), "utf8")) as Workflow;
  const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);

  test("runs only scripts that are here", () => {
    const text = steps.map((step) => step.run ?? "").join("\n");
    const files = [...text.matchAll(/\b(?:scripts|\.ci|examples)\/[\w./-]+/g)].map(([path]) => path);
    expect(files.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const called = [...text.matchAll(/\bbun run ([\w:]+)/g)].map(([, script = ""]) => script);
    expect(called.filter((script) => !Object.hasOwn(packageJson.scripts, script))).toEqual([]);
  });

  test("may only read, but for the job that publishes; leaves no credentials behind; and ends", () => {
    expect(workflow.permissions).toEqual({ contents: "read" });
    for (const [job, { permissions, "timeout-minutes": minutes }] of Object.entries(workflow.jobs)) {
      expect({ job, isAllowedMore: permissions !== undefined }).toEqual({
        job,
        isAllowedMore: job === "publish",
      });
      expect(minutes).toBeGreaterThan(0);
    }
    const checkouts = steps.filter((step) => step.uses?.startsWith("actions/checkout@"));
    expect(checkouts.length).toBeGreaterThan(0);
    for (const { with: options } of checkouts) expect(options?.["persist-credentials"]).toBe(false);
  });

  test("puts nothing that others write into a shell's text", () => {
    for (const { run = "" } of steps) expect(run).not.toMatch(/\$\{\{/);
  });

  test("installs the version of Bun that the lock file has", () => {
    for (const { run = "" } of steps) {
      for (const [, version] of run.matchAll(/npx --yes bun@(\S+)/g)) {
        expect(version).toBe(packageJson.devDependencies.bun);
      }
    }
  });
});
