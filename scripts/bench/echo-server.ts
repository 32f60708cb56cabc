// The least that hono can do with a request: gives its body back, as bytes, or read as JSON and written again.

import { Hono } from "hono";

const app = new Hono();
const path = "/v2/models/:model/infer";
if (process.argv[2] === "json") app.post(path, async (c) => c.json(await c.req.json()));
else app.post(path, async (c) => c.body(await c.req.arrayBuffer()));
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", development: false, fetch: app.fetch });
console.log(JSON.stringify({ url: server.url.href, pid: process.pid }));
