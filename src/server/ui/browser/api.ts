// Calls to the server that the page came from, and to nobody else.

import type { AnswerOutput } from "../answer-plan.ts";
import { parseWholly } from "../json-text.ts";
import type { ModelForm, ServerState } from "../page-data.ts";
import type { RequestPlan } from "../request-plan.ts";

/** Where the server's paths begin; ends with a slash. */
export const baseUrl = new URL(location.pathname.replace(/docs\/?$/, ""), location.origin).href;

/** What the server said in place of an answer. */
export class Refusal extends Error {
  /** Another key may do. */
  readonly needsKey: boolean;

  constructor(message: string, status: number) {
    super(message);
    this.needsKey = status === 401 || status === 403;
  }
}

/** As long as the page is open, and nowhere else. */
let key = "";

export function setKey(text: string): void {
  key = text.trim();
}

export function hasKey(): boolean {
  return key !== "";
}

function keyHeaders(): Readonly<Record<string, string>> {
  return hasKey() ? { authorization: `Bearer ${key}` } : {};
}

export async function fetchState(): Promise<ServerState> {
  return (await getJson("page/models")) as ServerState;
}

export async function fetchForm(name: string, version: string): Promise<ModelForm> {
  const path = `page/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;
  return (await getJson(path)) as ModelForm;
}

/** Ends when the server has done it. Throws with its own words. */
export async function changeModel(name: string, action: "load" | "unload"): Promise<void> {
  const path = `v2/repository/models/${encodeURIComponent(name)}/${action}`;
  const response = await fetch(baseUrl + path, { method: "POST", headers: keyHeaders() });
  const text = await response.text();
  if (!response.ok) throw new Refusal(errorIn(text, response), response.status);
}

/** Throws with the server's own words. */
export async function getJson(path: string): Promise<unknown> {
  const response = await fetch(baseUrl + path, { headers: { accept: "application/json", ...keyHeaders() } });
  const text = await response.text();
  if (!response.ok) throw new Refusal(errorIn(text, response), response.status);
  return JSON.parse(text);
}

export interface Answered {
  readonly outputs: readonly AnswerOutput[];
  readonly text: string;
  readonly ms: number;
}

export async function sendRequest(plan: RequestPlan, signal: AbortSignal): Promise<Answered> {
  const [type, body] =
    plan.kind === "json"
      ? ["application/json", plan.text]
      : [plan.picture.mediaType, new Blob([plan.picture.bytes])];
  const started = performance.now();
  const response = await fetch(baseUrl + plan.path, {
    method: "POST",
    headers: { "content-type": type, ...keyHeaders() },
    body,
    signal,
  });
  const text = await response.text();
  const ms = performance.now() - started;
  if (!response.ok) throw new Refusal(errorIn(text, response), response.status);
  // Looking at each number's digits takes time, and only these need it.
  const answer = (/"U?INT64"/.test(text) ? parseWholly(text) : JSON.parse(text)) as {
    readonly outputs: readonly AnswerOutput[];
  };
  return { outputs: answer.outputs, text, ms };
}

function errorIn(text: string, { status, statusText }: Response): string {
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown };
    if (typeof error === "string") return error;
  } catch {
    // Not from our server: something stands between.
  }
  return `The answer was ${status} ${statusText}`;
}
