// Two servers behind nginx with the configuration of docs/serve.md, and a restart of one after the other. Run by `bun run test:clients`.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { digitPicture, digitsPackage } from "../support/digits.ts";
import { type RunningProgram, start } from "../support/program.ts";
import { binaryRequest, jsonRequest } from "../support/server/inference-requests.ts";
import { startLoyalCallers } from "../support/server/loyal-callers.ts";
import { tempFolder } from "../support/temp.ts";
import { findNginx } from "./nginx.ts";

setDefaultTimeout(120_000);

const nginx = await findNginx();
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

/** The only block of its kind, as readers copy it. */
function documentedConfiguration(): string {
  const text = readFileSync(resolve(import.meta.dir, "../../docs/serve.md"), "utf8");
  const found = /^```nginx\n(.*?)^```$/ms.exec(text)?.[1];
  if (found === undefined) throw new Error("docs/serve.md has no nginx block");
  return found;
}

interface Served {
  readonly program: RunningProgram;
  readonly port: number;
}

async function serveDigits(port: number): Promise<Served> {
  const program = start([
    "serve",
    digitsPackage,
    "--port",
    String(port),
    "--drain-delay",
    "100ms",
    "--verbose",
  ]);
  const [url = ""] = await program.finds(/listening url=(\S+)/);
  while (!(await fetch(`${url}v2/health/ready`)).ok) await new Promise((done) => setTimeout(done, 10));
  return { program, port: Number(new URL(url).port) };
}

async function end({ program }: Served): Promise<number | null> {
  program.signal("SIGTERM");
  return (await program.result).code;
}

function replaceOnce(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2) throw new Error(`"${from}" is not there once`);
  return text.replace(from, to);
}

function startNginx(program: string, servers: readonly Served[], socketPath: string) {
  let site = replaceOnce(documentedConfiguration(), "listen 8080;", `listen unix:${socketPath};`);
  for (const [i, { port }] of servers.entries())
    site = replaceOnce(site, `127.0.0.1:800${i + 1}`, `127.0.0.1:${port}`);
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${name};`,
  );
  const around = `pid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temp.join("\n")}\n${site}}\n`;
  const prefix = join(folder.path, "nginx");
  mkdirSync(prefix);
  writeFileSync(join(prefix, "nginx.conf"), around);
  const args = ["-p", prefix, "-c", join(prefix, "nginx.conf"), "-e", "stderr", "-g", "daemon off;"];
  return Bun.spawn([program, ...args], { stdout: "ignore", stderr: "pipe" });
}

describe.skipIf(nginx === undefined)("nginx in front of two servers", () => {
  test("loses no request while one after the other is restarted", async () => {
    const servers = [await serveDigits(0), await serveDigits(0)];
    const socketPath = join(folder.path, "site.sock");
    const proxy = startNginx(nginx ?? "", servers, socketPath);
    try {
      while (!(await answers(socketPath))) await new Promise((done) => setTimeout(done, 10));
      const { bytes: picture } = await digitPicture(7);
      const image = { name: "image", datatype: "UINT8", shape: [28, 28] };
      const requests = [
        jsonRequest("Digits", { inputs: [{ ...image, data: [...picture] }] }),
        binaryRequest("Digits", image, picture),
      ];
      const callers = startLoyalCallers({ unixPath: socketPath, callers: 16, requests, comesBack: true });
      const served: number[] = [];
      for (let round = 0; round < 2; round++) {
        for (const [i, server] of servers.entries()) {
          const before = callers.answered;
          while (callers.answered < before + 500) await new Promise((done) => setTimeout(done, 5));
          served.push(await countOf(server));
          expect(await end(server)).toBe(0);
          servers[i] = await serveDigits(server.port);
        }
      }
      callers.stop();
      expect(await callers.gone).toEqual({ answers: { 200: callers.answered }, broken: 0, refused: 0 });
      for (const count of served) expect(count).toBeGreaterThan(50);
    } finally {
      proxy.kill();
      await proxy.exited;
      await Promise.all(servers.map(end));
    }
  });
});

async function answers(socketPath: string): Promise<boolean> {
  const init = { unix: socketPath };
  return fetch("http://localhost/v2/health/ready", init).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function countOf({ port }: Served): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/v2/models/Digits/stats`);
  const { model_stats } = (await answer.json()) as {
    readonly model_stats: readonly { readonly inference_count: number }[];
  };
  return model_stats[0]?.inference_count ?? 0;
}
