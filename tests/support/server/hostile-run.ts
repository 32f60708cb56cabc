// Sends hostile requests to a server, and looks at every answer: is it one that is documented, and in the documented form?

import { type HostileRequest, makeHostileRequests } from "./hostile-requests.ts";
import { type RawAnswer, rawRequest, sendRaw } from "./raw.ts";

export interface Attack {
  readonly url: string;
  readonly seed: string;
  readonly count: number;
  readonly callers: number;
  /** Texts that no answer may hold: paths of the machine. */
  readonly secrets: readonly string[];
}

export interface AttackTally {
  readonly requests: number;
  readonly answers: Readonly<Record<number, number>>;
  /** What was wrong, each with the request that led to it. */
  readonly odd: readonly string[];
}

export async function attack({ url, seed, count, callers, secrets }: Attack): Promise<AttackTally> {
  const requests = makeHostileRequests(seed);
  const answers: Record<number, number> = {};
  const odd: string[] = [];
  let sent = 0;
  const call = async () => {
    while (sent < count) {
      const index = sent++;
      const request = requests.next().value as HostileRequest; // it never ends
      for (const problem of await sendOne({ url, request, index, secrets, answers })) {
        odd.push(`${seed} ${index} ${request.kind}: ${problem}: ${shown(request)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return { requests: sent, answers, odd };
}

interface Sending {
  readonly url: string;
  readonly request: HostileRequest;
  readonly index: number;
  readonly secrets: readonly string[];
  readonly answers: Record<number, number>;
}

const probe = rawRequest("GET /v2/health/live", ["Connection: close"]);

async function sendOne({ url, request, index, secrets, answers }: Sending): Promise<string[]> {
  const { bytes, isWhole, isHead } = request;
  // A whole request has another behind it, which is answered only if both sides agree where the first one ends.
  const isProbed = isWhole && !isHead;
  const exchange = await sendRaw(url, bytes, {
    ...(isProbed && { follow: probe }),
    answers: isProbed ? 2 : isHead ? 1 : 9,
    isHead,
    // What is not whole is left when it has been sent, one way or the other.
    ...(!isWhole && { leave: index % 2 === 0 ? "reset" : "half", quietMs: 20 }),
    from: `127.0.0.${2 + (index % 250)}`,
  });
  const problems: string[] = [];
  for (const answer of exchange.answers) {
    answers[answer.status] = (answers[answer.status] ?? 0) + 1;
    const problem = problemOf(answer, { isHead, secrets });
    if (problem !== undefined) problems.push(`${problem} in ${answer.status} ${answer.body.slice(0, 200)}`);
  }
  if (!isWhole) return problems;
  const [first, second] = exchange.answers;
  if (first === undefined) problems.push("no answer");
  else if (isProbed && second?.body !== '{"live":true}' && !/^connection: close$/im.test(first.head)) {
    problems.push(`no answer to the request behind it, but ${second?.status}`);
  }
  return problems;
}

/** Nothing may fail inside the server, so that 500 is none of them. */
const documented = new Set([200, 204, 400, 401, 403, 404, 405, 413, 415, 421, 429, 501, 503, 504]);
/** Of what is no HTTP/1.1. */
const bare = new Set([400, 431, 505]);

function problemOf(
  { status, head, body }: RawAnswer,
  { isHead, secrets }: { readonly isHead: boolean; readonly secrets: readonly string[] },
): string | undefined {
  const type = /^content-type: (.*)$/im.exec(head)?.[1];
  if (type === undefined && body === "" && bare.has(status)) {
    return /^connection: close$/im.test(head) ? undefined : "a bare answer that goes on";
  }
  if (!documented.has(status)) return "a status that is not documented";
  if (!/^x-content-type-options: nosniff$/im.test(head)) return "no headers for browsers";
  if (secrets.some((secret) => body.includes(secret) || head.includes(secret))) return "a path";
  if (isHead || status === 204) return undefined;
  if (status !== 200) return isError(body) ? undefined : "not the form of an error";
  if (type !== "application/json" || /^content-encoding: /im.test(head)) return undefined;
  return parse(body) === undefined ? "no JSON" : undefined;
}

function isError(body: string): boolean {
  const value = parse(body);
  if (typeof value !== "object" || value === null) return false;
  const texts: readonly unknown[] = Object.values(value);
  return Object.keys(value).join() === "error" && typeof texts[0] === "string" && texts[0] !== "";
}

function parse(body: string): unknown {
  try {
    return JSON.parse(Buffer.from(body, "latin1").toString("utf8"));
  } catch {
    return undefined;
  }
}

function shown({ bytes }: HostileRequest): string {
  return JSON.stringify(Buffer.from(bytes).toString("latin1").slice(0, 400));
}
